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
#include "base/memory_file.h"
#include "load/history.h"
#include "load/state.h"
#include "load/state_file.h"

static void report_failure(enum saver_part part, const char *folder)
{
    log_line(LOG_LEVEL_ERROR,
             part == SAVER_POLICIES ? "cannot save the last valid policies in %s: %s"
                                    : "cannot record what is served in %s: %s",
             folder, strerror(errno));
}

static _Noreturn void save(const char *folder, enum saver_part part, int bytes, pid_t supervisor)
{
    struct memory_map map = {0};
    /* A socket that it kept open while the disk hangs would hold the port when the supervisor is gone. */
    const int kept[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, bytes};
    descriptors_keep_only(kept, sizeof(kept) / sizeof(kept[0]));
    log_begin();
    (void)prctl(PR_SET_NAME, SAVER_NAME, 0, 0, 0); /* it cannot fail for a text */
    /* It can only fail for a signal that does not exist. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != supervisor)
        _exit(0);
    bool good = memory_file_map(bytes, LIMIT_STATE_FILE, &map);
    if (good) {
        const struct text text = {.data = (char *)(uintptr_t)map.data, .len = map.size};
        good = part == SAVER_POLICIES ? state_save(folder, &text)
                                      : state_file_write(folder, HISTORY_PROMISES, &text);
    }
    if (!good)
        report_failure(part, folder);
    _exit(good ? 0 : 1);
}

/* Something newer takes its place. */
static void forget_waiting(struct saver *saver, enum saver_part part)
{
    if (saver->waiting[part] >= 0)
        (void)close(saver->waiting[part]); /* it was only read */
    saver->waiting[part] = -1;
}

void saver_begin(struct saver *saver, const struct settings *settings, enum saver_part part,
                 int bytes, int64_t now)
{
    pid_t supervisor = getpid();
    forget_waiting(saver, part);
    if (part == SAVER_PROMISES)
        forget_waiting(saver, SAVER_PROMISES_AFTER); /* which is of a load before */
    if (saver->pid != 0)
        saver->waiting[part] = bytes;
    if (saver->pid != 0 || bytes < 0)
        return;
    if (settings->state == NULL) {
        (void)close(bytes); /* there is no place for them any more */
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        save(settings->state, part, bytes, supervisor);
    if (pid < 0)
        report_failure(part, settings->state);
    (void)close(bytes); /* the child has them */
    if (pid < 0)
        return;
    saver->pid = pid;
    saver->deadline = saver->is_late          ? INT64_MAX
                      : settings->state_hangs ? now
                                              : now + LIMIT_SAVE_MS;
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
    saver->is_late = true;
    log_line(LOG_LEVEL_WARNING,
             "the last valid policies are not saved yet: the disk of the state folder does not "
             "answer; the server goes on without them");
}

void saver_close(struct saver *saver)
{
    enum { TRIES = 20, PAUSE_MS = 10 };
    for (size_t i = 0; i < SAVER_PARTS; i++)
        forget_waiting(saver, (enum saver_part)i);
    if (saver->pid == 0)
        return;
    (void)kill(saver->pid, SIGKILL); /* not yet reaped, so it exists */
    for (int i = 0; i < TRIES && waitpid(saver->pid, NULL, WNOHANG) == 0; i++)
        (void)poll(NULL, 0, PAUSE_MS); /* a pause that is too short is no harm */
    saver->pid = 0;
}

bool saver_end(struct saver *saver, pid_t pid, int status, const struct settings *settings,
               int64_t now)
{
    if (saver->pid != pid || pid == 0)
        return false;
    saver->pid = 0;
    saver->deadline = INT64_MAX;
    if (WIFSIGNALED(status))
        log_line(LOG_LEVEL_ERROR, "cannot save the last valid policies: the process died: %s",
                 strsignal(WTERMSIG(status)));
    for (size_t i = 0; i < SAVER_PARTS && saver->pid == 0; i++) {
        int bytes = saver->waiting[i];
        saver->waiting[i] = -1;
        if (bytes >= 0)
            saver_begin(saver, settings, (enum saver_part)i, bytes, now);
    }
    if (saver->is_late && saver->pid == 0) {
        saver->is_late = false;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            log_line(LOG_LEVEL_NOTICE, "the last valid policies are saved after all");
    }
    return true;
}
