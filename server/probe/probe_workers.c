#include "probe/probe_workers.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

enum { TICK_US = 1000000 };

/* One child, as its parent sees it. The socket carries an index down and, when the report is there,
 * the same index up. */
struct member {
    pid_t pid;
    int fd;              /* -1: there is none */
    size_t index;        /* of the job that it does now */
    int64_t deadline_us; /* when it is ended, unless the job is done before */
};

struct crowd {
    const struct probe_jobs *jobs;
    size_t next;   /* the first job that was not begun */
    char *results; /* one a member, shared with it */
    struct member members[LIMIT_PROBES];
    size_t member_count;
    int reason; /* errno of the last child that could not be started */
};

static void *result_of(const struct crowd *crowd, const struct member *member)
{
    return crowd->results + (size_t)(member - crowd->members) * crowd->jobs->result_size;
}

/* An index is whole or not there on a socket that keeps messages apart. */
static bool send_index(int fd, size_t index)
{
    return send(fd, &index, sizeof(index), MSG_NOSIGNAL) == (ssize_t)sizeof(index);
}

static bool receive_index(int fd, size_t *ret_index)
{
    ssize_t count;
    do
        count = recv(fd, ret_index, sizeof(*ret_index), 0);
    while (count < 0 && errno == EINTR);
    return count == (ssize_t)sizeof(*ret_index);
}

static _Noreturn void live(const struct crowd *crowd, int fd, void *result)
{
    size_t index;
    const struct probe_jobs *jobs = crowd->jobs;
    /* If another child's socket were open here, that child would not notice the parent's end. */
    for (size_t i = 0; i < crowd->member_count; i++)
        if (crowd->members[i].fd >= 0)
            (void)close(crowd->members[i].fd);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* without it, the socket's end does, a little later */
    while (receive_index(fd, &index)) {
        jobs->run(jobs->context, index, result);
        if (!send_index(fd, index))
            break;
    }
    _exit(0);
}

static bool begin_member(struct crowd *crowd, struct member *member)
{
    int fds[2];
    member->fd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
        crowd->reason = errno;
        return false;
    }
    member->pid = fork();
    if (member->pid == 0) {
        (void)close(fds[0]);
        live(crowd, fds[1], result_of(crowd, member));
    }
    if (member->pid < 0)
        crowd->reason = errno;
    (void)close(fds[1]);
    if (member->pid > 0)
        member->fd = fds[0];
    else
        (void)close(fds[0]);
    return member->fd >= 0;
}

/* Ends the child, which has nothing to do, is late, or does not do what it should. Returns its status. */
static int end_member(struct member *member)
{
    int status = 0;
    (void)close(member->fd);
    member->fd = -1;
    (void)kill(member->pid, SIGKILL); /* it is not reaped yet, so the number is its own */
    while (waitpid(member->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* Gives the member a job, or ends it when there is none. */
static void employ(struct crowd *crowd, struct member *member)
{
    const struct probe_jobs *jobs = crowd->jobs;
    if (crowd->next == jobs->count) {
        (void)end_member(member); /* it is done with its last job */
        return;
    }
    member->index = crowd->next++;
    member->deadline_us = clock_monotonic_us() + jobs->timeout_ms * 1000;
    memset(result_of(crowd, member), 0, jobs->result_size);
    (void)send_index(member->fd, member->index); /* a dead one shows when it is listened to */
}

/* The member has finished its job, or died, or is late: a child sees to every wait, but not to all that it
 * computes. */
static void conclude(struct crowd *crowd, struct member *member, bool is_late)
{
    size_t index;
    const struct probe_jobs *jobs = crowd->jobs;
    void *result = result_of(crowd, member);
    bool is_lost = is_late || !receive_index(member->fd, &index) || index != member->index;
    if (is_lost) {
        int status = end_member(member);
        if (!is_late)
            memset(result, 0, jobs->result_size);
        jobs->lost(jobs->context, member->index, result, is_late, status);
    }
    jobs->done(jobs->context, member->index, result);
    /* Where there cannot be another child, the others do the work. */
    if (!is_lost || begin_member(crowd, member))
        employ(crowd, member);
}

/* True while somebody works. */
static bool wait_for_some(struct crowd *crowd)
{
    struct pollfd polled[LIMIT_PROBES];
    int64_t now = clock_monotonic_us(), until = now + TICK_US;
    size_t working = 0;
    for (size_t i = 0; i < crowd->member_count; i++) {
        const struct member *member = &crowd->members[i];
        polled[i] = (struct pollfd){.fd = member->fd, .events = POLLIN};
        working += member->fd >= 0 ? 1 : 0;
        if (member->fd >= 0 && member->deadline_us < until)
            until = member->deadline_us;
    }
    if (working == 0)
        return false;
    int64_t left_ms = until <= now ? 0 : (until - now + 999) / 1000;
    if (poll(polled, crowd->member_count, left_ms > INT_MAX ? INT_MAX : (int)left_ms) < 0)
        return true;
    now = clock_monotonic_us();
    for (size_t i = 0; i < crowd->member_count; i++) {
        struct member *member = &crowd->members[i];
        bool is_late = member->fd >= 0 && member->deadline_us <= now;
        if (polled[i].revents != 0 || is_late)
            conclude(crowd, member, polled[i].revents == 0);
    }
    if (crowd->jobs->tick != NULL)
        crowd->jobs->tick(crowd->jobs->context);
    return true;
}

bool probe_workers_run(const struct probe_jobs *jobs)
{
    struct crowd crowd = {.jobs = jobs};
    size_t wanted = jobs->count < LIMIT_PROBES ? jobs->count : LIMIT_PROBES;
    size_t size = wanted * jobs->result_size;
    if (jobs->count == 0)
        return true;
    crowd.results = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (crowd.results == MAP_FAILED)
        return false;
    for (; crowd.member_count < wanted; crowd.member_count++)
        if (!begin_member(&crowd, &crowd.members[crowd.member_count]))
            break;
    for (size_t i = 0; i < crowd.member_count; i++)
        employ(&crowd, &crowd.members[i]);
    while (wait_for_some(&crowd))
        continue;
    (void)munmap(crowd.results, size); /* it was mapped above */
    errno = crowd.reason;
    return crowd.next == jobs->count;
}
