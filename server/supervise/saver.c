#include "supervise/saver.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"
#include "load/state.h"

/* A socket that it kept open while the disk hangs would hold the port when the supervisor is gone. */
static _Noreturn void save(const struct configuration *configuration, pid_t supervisor)
{
    static const int kept[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    const char *folder = configuration->settings.state;
    bool good = true;
    descriptors_keep_only(kept, sizeof(kept) / sizeof(kept[0]));
    log_begin();
    /* It can only fail for a signal that does not exist. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() == supervisor)
        good = state_write(folder, configuration->site);
    if (!good)
        log_line(LOG_LEVEL_ERROR, "cannot save the last valid policies in %s: %s", folder,
                 strerror(errno));
    _exit(good ? 0 : 1);
}

void saver_begin(struct saver *saver, const struct configuration *configuration, int64_t now)
{
    pid_t supervisor = getpid();
    saver->again = saver->pid != 0;
    if (saver->again || configuration->settings.state == NULL)
        return;
    pid_t pid = fork();
    if (pid == 0)
        save(configuration, supervisor);
    if (pid < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot save the last valid policies in %s: %s",
                 configuration->settings.state, strerror(errno));
        return;
    }
    saver->pid = pid;
    saver->deadline = now + LIMIT_SAVE_MS;
}

bool saver_is_waited_for(const struct saver *saver)
{
    return saver->pid != 0 && saver->deadline != INT64_MAX;
}

void saver_expire(struct saver *saver, int64_t now)
{
    if (!saver_is_waited_for(saver) || now < saver->deadline)
        return;
    saver->deadline = INT64_MAX;
    log_line(LOG_LEVEL_WARNING,
             "the last valid policies are not saved yet: the disk of the state folder does not "
             "answer; the server goes on without them");
}

void saver_close(struct saver *saver)
{
    enum { TRIES = 20, PAUSE_MS = 10 };
    if (saver->pid == 0)
        return;
    (void)kill(saver->pid, SIGKILL); /* not yet reaped, so it exists */
    for (int i = 0; i < TRIES && waitpid(saver->pid, NULL, WNOHANG) == 0; i++)
        (void)poll(NULL, 0, PAUSE_MS); /* a pause that is too short is no harm */
    saver->pid = 0;
}

bool saver_end(struct saver *saver, pid_t pid, int status,
               const struct configuration *configuration, int64_t now)
{
    if (saver->pid != pid || pid == 0)
        return false;
    bool late = saver->deadline == INT64_MAX;
    saver->pid = 0;
    if (WIFSIGNALED(status))
        log_line(LOG_LEVEL_ERROR, "cannot save the last valid policies: the process died: %s",
                 strsignal(WTERMSIG(status)));
    else if (late && WEXITSTATUS(status) == 0)
        log_line(LOG_LEVEL_NOTICE, "the last valid policies are saved after all");
    if (saver->again && configuration != NULL)
        saver_begin(saver, configuration, now);
    return true;
}
