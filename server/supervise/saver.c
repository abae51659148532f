#include "supervise/saver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"
#include "load/state.h"

/* What the child begins with. A socket that it kept open while the disk hangs would hold the port when
 * the supervisor is gone. out is kept, too; or -1. */
static void begin_child(pid_t supervisor, int out)
{
    const int kept[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, out};
    descriptors_keep_only(kept, sizeof(kept) / sizeof(kept[0]));
    log_begin();
    /* It can only fail for a signal that does not exist. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != supervisor)
        _exit(0);
}

/* Its status is 0 or the reason, an errno: those are small. */
static _Noreturn void read_for(const char *folder, int out)
{
    struct text bytes = {0};
    bool good = state_read_file(folder, &bytes) && (bytes.len == 0 || text_write(&bytes, out));
    _exit(good ? 0 : errno);
}

/* All that the child writes, until it ends. False with errno. */
static bool take_bytes(int in, int64_t deadline, struct text *ret_bytes)
{
    char chunk[64 * 1024];
    for (;;) {
        struct pollfd polled = {.fd = in, .events = POLLIN};
        int64_t left = deadline - clock_monotonic_ms();
        int ready = poll(&polled, 1, left < 0 ? 0 : (int)left);
        ssize_t count = ready == 1 ? read(in, chunk, sizeof(chunk)) : -1;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (count == 0)
            return true;
        if (count > 0)
            text_append(ret_bytes, (struct span){chunk, (size_t)count});
        else if (errno != EINTR)
            return false;
    }
}

bool saver_read(const char *folder, struct text *ret_bytes)
{
    int ends[2], status = 0;
    pid_t supervisor = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        begin_child(supervisor, ends[1]);
        read_for(folder, ends[1]);
    }
    int reason = errno;
    (void)close(ends[1]); /* the child's; here only a copy */
    bool good = pid > 0 && take_bytes(ends[0], clock_monotonic_ms() + LIMIT_SAVE_MS, ret_bytes);
    if (pid > 0)
        reason = errno;
    (void)close(ends[0]); /* it was only read */
    if (pid > 0 && !good)
        (void)kill(pid, SIGKILL); /* a disk that hangs may keep it; it is reaped like any child */
    while (good && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (good && status != 0)
        reason = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
    errno = ret_bytes->failed ? ENOMEM : reason;
    return good && status == 0 && !ret_bytes->failed;
}

static _Noreturn void save(const struct configuration *configuration, pid_t supervisor)
{
    const char *folder = configuration->settings.state;
    begin_child(supervisor, -1);
    bool good = state_write(folder, configuration->site);
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
    saver->deadline = configuration->settings.state_hangs ? now : now + LIMIT_SAVE_MS;
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
