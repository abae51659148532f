#include "supervise/child.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "sandbox/privilege.h"

enum { NO_SOCKET = -1 };

static const struct {
    const char *name;    /* in messages */
    const char *command; /* of the process, as ps(1) shows it */
    int socket_type;     /* of the pair; or NO_SOCKET */
    bool yields;         /* its work is done again when it dies, and no client waits for it */
} kinds[] = {
    [CHILD_LOADER] = {"loader", "mta-sts-loader", SOCK_SEQPACKET, true},
    [CHILD_WATCHER] = {"watcher", "mta-sts-watcher", SOCK_SEQPACKET | SOCK_NONBLOCK, true},
    [CHILD_SAVER] = {"saver", "mta-sts-saver", NO_SOCKET, true},
    [CHILD_WORKER] = {"worker", "mta-sts-worker", SOCK_SEQPACKET | SOCK_NONBLOCK, false},
};

/* Of all processes it is one that the kernel ends first when memory is short; as far as that can be had.
 * While a process is protected from being traced, its files in /proc are root's. */
static void yield_memory(void)
{
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "1000", 4);
        (void)close(fd);
    }
    (void)prctl(PR_SET_DUMPABLE, dumpable == 1 ? 1 : 0, 0, 0, 0);
}

/* The child's first steps. A parent that is gone already needs no child; a listener that a child kept open
 * while its disk hangs would hold the port when the supervisor is gone. */
static void settle(enum child_kind kind, pid_t supervisor, int socket, const int *kept,
                   size_t count)
{
    int open[4 + CHILD_KEPT_MOST] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, socket};
    assert(count <= CHILD_KEPT_MOST);
    if (count > 0)
        memcpy(open + 4, kept, count * sizeof(*kept));
    if (!privilege_follow(supervisor))
        _exit(0);
    descriptors_keep_only(open, 4 + count);
    log_begin();
    (void)prctl(PR_SET_NAME, kinds[kind].command, 0, 0, 0); /* it cannot fail for a text */
    if (kinds[kind].yields)
        yield_memory();
}

pid_t child_begin(enum child_kind kind, const int *kept, size_t count, int *ret_socket)
{
    int pair[2] = {-1, -1}, type = kinds[kind].socket_type;
    pid_t supervisor = getpid();
    *ret_socket = -1;
    if (type != NO_SOCKET && socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        settle(kind, supervisor, pair[1], kept, count);
        *ret_socket = pair[1];
        return 0;
    }
    descriptor_close(&pair[1]); /* the child's; here only a copy */
    if (pid > 0)
        *ret_socket = pair[0];
    else
        descriptor_close(&pair[0]);
    return pid;
}

void child_kill(pid_t pid)
{
    if (pid > 0)
        (void)kill(pid, SIGKILL); /* not yet reaped, so it exists */
}

void child_wait_all(void)
{
    enum { PAUSE_MS = 10 };
    int64_t end = clock_monotonic_ms() + LIMIT_KILLED_MS;
    for (pid_t pid = 1; pid > 0 || (pid == 0 && clock_monotonic_ms() < end);) {
        pid = waitpid(-1, NULL, WNOHANG);
        if (pid == 0)
            (void)poll(NULL, 0, PAUSE_MS); /* a pause that is too short is no harm */
    }
}

void child_report_death(enum child_kind kind, pid_t pid, int status)
{
    const char *name = kinds[kind].name;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        log_line(LOG_LEVEL_ERROR,
                 "%s %d died: it made a system call that no %s needs; the kernel's log "
                 "has its number",
                 name, (int)pid, name);
    else if (WIFSIGNALED(status))
        log_line(LOG_LEVEL_ERROR, "%s %d died: %s", name, (int)pid, strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        log_line(LOG_LEVEL_ERROR, "%s %d ended with status %d", name, (int)pid,
                 WEXITSTATUS(status));
}

int64_t backoff_pause(struct backoff *backoff, bool others, int64_t now)
{
    int64_t most = others ? LIMIT_PAUSE_MOST_MS : LIMIT_PAUSE_ALONE_MS;
    if (now - backoff->last >= LIMIT_CRASHES_MS)
        backoff->deaths = 0;
    backoff->last = now;
    if (backoff->deaths < LIMIT_CRASHES)
        backoff->deaths++;
    else
        return most;
    if (backoff->deaths <= LIMIT_CRASHES_FEW)
        return 0;
    int64_t pause = (int64_t)LIMIT_PAUSE_MS << (backoff->deaths - LIMIT_CRASHES_FEW - 1);
    return pause < most ? pause : most;
}

int64_t child_replace(enum child_kind kind, pid_t pid, struct backoff *backoff, bool others,
                      int64_t now)
{
    int64_t pause = backoff_pause(backoff, others, now);
    if (pause == 0)
        log_line(LOG_LEVEL_NOTICE, "%s %d is replaced", kinds[kind].name, (int)pid);
    else
        log_line(LOG_LEVEL_WARNING,
                 "%s %d is replaced after a pause of %" PRId64 " ms, because many have died",
                 kinds[kind].name, (int)pid, pause);
    return pause;
}

bool backoff_is_hopeless(struct backoff *backoff, bool works, int64_t now)
{
    if (works)
        backoff->worked = now;
    return backoff->deaths >= LIMIT_CRASHES && now - backoff->worked >= LIMIT_CRASHES_MS;
}
