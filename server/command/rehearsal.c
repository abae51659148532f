#include "command/rehearsal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"

/* What the child tells: less than a pipe's least, so it comes as a whole. */
struct result {
    const char *failed; /* the sentence; a static text, the same in both processes */
    int reason;
    struct seal_report report;
};

/* It stays to be looked at until the parent closes the other end, which is told as an error. */
static _Noreturn void be_sealed(const struct seal *seal, int out)
{
    struct result result = {0};
    struct pollfd end = {.fd = out};
    const int kept[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, out, seal->void_fd};
    descriptors_keep_only(kept, sizeof(kept) / sizeof(kept[0]));
    log_begin();
    result.failed = seal_process(seal, &result.report);
    result.reason = errno;
    if (write(out, &result, sizeof(result)) == (ssize_t)sizeof(result))
        (void)poll(&end, 1, -1); /* whatever ends it sooner is as good */
    _exit(0);
}

/* Of a process that is there until we wait for it. */
static void read_status(pid_t pid, struct text *out)
{
    char path[64], chunk[4096];
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid); /* it fits */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    for (ssize_t count; (count = read(fd, chunk, sizeof(chunk))) > 0;)
        text_append(out, (struct span){chunk, (size_t)count});
    (void)close(fd); /* it was only read */
}

/* False with errno: 0 when the child has ended without a word, ETIMEDOUT when it hangs. */
static bool read_result(int in, struct result *ret_result)
{
    const int64_t deadline = clock_monotonic_ms() + LIMIT_READY_MS;
    struct pollfd polled = {.fd = in, .events = POLLIN};
    for (;;) {
        int64_t left = deadline - clock_monotonic_ms();
        int ready = poll(&polled, 1, left < 0 ? 0 : (int)left);
        ssize_t count = ready == 1 ? read(in, ret_result, sizeof(*ret_result)) : -1;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (count < 0 && errno == EINTR)
            continue;
        if (count >= 0)
            errno = 0;
        return count == (ssize_t)sizeof(*ret_result);
    }
}

/* The child, or -1 with errno. ret_in is then where it will tell. */
static pid_t start(const struct seal *seal, int *ret_in)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        be_sealed(seal, ends[1]);
    int reason = errno;
    (void)close(ends[1]); /* the child's; here only a copy */
    *ret_in = ends[0];
    if (pid < 0)
        (void)close(ends[0]); /* nobody will write */
    errno = reason;
    return pid;
}

bool rehearsal_run(const struct identity *identity, int void_fd, struct seal_report *ret_report,
                   struct text *ret_status)
{
    struct result result = {0};
    int in = -1, status = 0;
    const struct seal seal = {
        .keep_identity = identity->keep,
        .uid = identity->uid,
        .gid = identity->gid,
        .supervisor = getpid(),
        .void_fd = void_fd,
    };
    pid_t pid = start(&seal, &in);
    if (pid < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot rehearse the seal: %s", strerror(errno));
        return false;
    }
    bool told = read_result(in, &result);
    if (told && ret_status != NULL)
        read_status(pid, ret_status);
    int reason = errno;
    (void)close(in); /* it was only read */
    if (told || reason == ETIMEDOUT)
        (void)kill(pid, SIGKILL); /* whatever it does now; it is not yet reaped, so it exists */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!told && reason == ETIMEDOUT)
        log_line(LOG_LEVEL_ERROR,
                 "cannot rehearse the seal: the process that tested it does not end");
    else if (!told)
        log_line(LOG_LEVEL_ERROR, "cannot rehearse the seal: the process that tried it died: %s",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ended");
    else if (result.failed != NULL)
        log_line(LOG_LEVEL_ERROR, "cannot %s: %s", result.failed, strerror(result.reason));
    *ret_report = result.report;
    return told && result.failed == NULL;
}
