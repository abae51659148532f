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
#include "base/descriptors.h"
#include "base/limits.h"

enum { TICK_US = 1000000 };

/* A place for one child at a time, as its parent sees it. */
struct member {
    pid_t pid;
    int end;             /* of a socket by which it says that it is done; -1: there is no child */
    size_t index;        /* of its job */
    int64_t deadline_us; /* when it is ended */
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

/* Begins the next job, if there is one and there can be a child. */
static void begin_job(struct crowd *crowd, struct member *member)
{
    const struct probe_jobs *jobs = crowd->jobs;
    int ends[2] = {-1, -1};
    if (crowd->next == jobs->count)
        return;
    memset(result_of(crowd, member), 0, jobs->result_size);
    bool has_ends = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
    member->pid = has_ends ? fork() : -1;
    if (member->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* without it, the job's end comes a little later */
        jobs->run(jobs->context, crowd->next, result_of(crowd, member));
        (void)send(ends[1], "", 1, MSG_NOSIGNAL); /* else it is lost */
        (void)recv(ends[1], &(char){0}, 1, 0);    /* until the parent ends it */
        _exit(0);
    }
    if (member->pid < 0) {
        crowd->reason = errno;
        descriptor_close(&ends[0]);
    } else {
        member->index = crowd->next++;
        member->deadline_us = clock_monotonic_us() + jobs->timeout_ms * 1000;
    }
    descriptor_close(&ends[1]); /* else it would not close with the child */
    member->end = ends[0];
}

/* Ends the child. Returns the signal that it has died of, or 0. */
static int end_child(struct member *member)
{
    int status = 0;
    descriptor_close(&member->end);
    (void)kill(member->pid, SIGKILL); /* it is not reaped yet, so the number is its own */
    while (waitpid(member->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* The child has finished its job, or died, or is late: it sees to every wait, but not to all that it
 * computes. */
static void end_job(struct crowd *crowd, struct member *member, bool is_late)
{
    const struct probe_jobs *jobs = crowd->jobs;
    void *result = result_of(crowd, member);
    char byte;
    if (!is_late && recv(member->end, &byte, 1, MSG_DONTWAIT) == 1) {
        jobs->done(jobs->context, member->index, result);
        (void)end_child(member);
        return;
    }
    int signal = end_child(member);
    if (!is_late)
        memset(result, 0, jobs->result_size);
    jobs->lost(jobs->context, member->index, result, is_late, signal);
    jobs->done(jobs->context, member->index, result);
}

/* True while there is a child. */
static bool wait_for_some(struct crowd *crowd)
{
    struct pollfd polled[LIMIT_PROBES];
    int64_t now = clock_monotonic_us(), until = now + TICK_US;
    size_t working = 0;
    for (size_t i = 0; i < crowd->member_count; i++) {
        const struct member *member = &crowd->members[i];
        polled[i] = (struct pollfd){.fd = member->end, .events = POLLIN};
        working += member->end >= 0 ? 1 : 0;
        if (member->end >= 0 && member->deadline_us < until)
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
        if (polled[i].revents == 0 && (member->end < 0 || member->deadline_us > now))
            continue;
        end_job(crowd, member, polled[i].revents == 0);
        begin_job(crowd, member);
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
        begin_job(&crowd, &crowd.members[crowd.member_count]);
    while (wait_for_some(&crowd))
        continue;
    (void)munmap(crowd.results, size); /* it was mapped above */
    errno = crowd.reason;
    return crowd.next == jobs->count;
}
