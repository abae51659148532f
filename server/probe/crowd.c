#include "probe/crowd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* One child, as its parent sees it. The socket carries an index down and, when the report is there,
 * the same index up. */
struct member {
    pid_t pid;
    int fd;       /* -1: there is none */
    size_t index; /* of the domain that it probes now */
};

struct crowd {
    const struct probe *probe;
    const struct probe_domain *domains;
    size_t count;
    size_t next;            /* the first domain that nobody probes yet */
    struct report *reports; /* one a member, shared with it */
    struct member members[LIMIT_PROBES];
    size_t member_count;
};

/* Short enough to be whole or not at all on a socket that keeps messages apart. */
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

static _Noreturn void live(const struct crowd *crowd, int fd, struct report *report)
{
    size_t index;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* without it, the socket's end does, a little later */
    probe_begin(crowd->probe);
    while (receive_index(fd, &index)) {
        probe_run(crowd->probe, &crowd->domains[index], report);
        if (!send_index(fd, index))
            break;
    }
    _exit(0);
}

/* False with the reason in errno. */
static bool begin_member(struct crowd *crowd, size_t which)
{
    int fds[2];
    struct member *member = &crowd->members[which];
    member->fd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    member->pid = fork();
    if (member->pid == 0) {
        /* A socket of a sister in this process would keep her from noticing her parent's end. */
        for (size_t i = 0; i < crowd->member_count; i++)
            if (crowd->members[i].fd >= 0)
                (void)close(crowd->members[i].fd);
        (void)close(fds[0]);
        live(crowd, fds[1], &crowd->reports[which]);
    }
    int reason = errno;
    (void)close(fds[1]);
    if (member->pid < 0) {
        (void)close(fds[0]);
        errno = reason;
        return false;
    }
    member->fd = fds[0];
    return true;
}

static void end_member(struct member *member)
{
    if (member->fd < 0)
        return;
    (void)close(member->fd); /* tells the child to end */
    member->fd = -1;
    while (waitpid(member->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* Gives the member a domain, or lets it go when there is none. */
static void employ(struct crowd *crowd, struct member *member)
{
    if (member->fd < 0)
        return;
    if (crowd->next == crowd->count) {
        end_member(member);
        return;
    }
    member->index = crowd->next++;
    (void)send_index(member->fd, member->index); /* a dead one shows when it is listened to */
}

/* The member has spoken, or died. */
static void listen_to(struct crowd *crowd, size_t which, crowd_report *report, void *context)
{
    size_t index;
    struct member *member = &crowd->members[which];
    struct report *shared = &crowd->reports[which];
    if (!receive_index(member->fd, &index) || index != member->index) {
        report_begin(shared, crowd->domains[member->index].name);
        report_add(shared, NULL, FAULT_INTERNAL,
                   "the process that probed this domain died of what it was told");
        end_member(member);
        report(context, member->index, shared);
        (void)begin_member(crowd, which); /* when it cannot be, the others do the work */
    } else {
        report(context, member->index, shared);
    }
    employ(crowd, member);
}

/* True while somebody works. */
static bool wait_for_some(struct crowd *crowd, crowd_report *report, void *context)
{
    struct pollfd polled[LIMIT_PROBES];
    size_t working = 0;
    for (size_t i = 0; i < crowd->member_count; i++) {
        polled[i] = (struct pollfd){.fd = crowd->members[i].fd, .events = POLLIN};
        working += crowd->members[i].fd >= 0 ? 1 : 0;
    }
    if (working == 0)
        return false;
    if (poll(polled, crowd->member_count, -1) > 0)
        for (size_t i = 0; i < crowd->member_count; i++)
            if (polled[i].revents != 0)
                listen_to(crowd, i, report, context);
    return true;
}

bool crowd_run(const struct probe *probe, const struct probe_domain *domains, size_t count,
               crowd_report *report, void *context)
{
    struct crowd crowd = {.probe = probe, .domains = domains, .count = count};
    size_t wanted = count < LIMIT_PROBES ? count : LIMIT_PROBES;
    size_t size = wanted * sizeof(*crowd.reports);
    if (count == 0)
        return true;
    crowd.reports = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (crowd.reports == MAP_FAILED)
        return false;
    for (; crowd.member_count < wanted; crowd.member_count++)
        if (!begin_member(&crowd, crowd.member_count))
            break;
    int reason = errno;
    for (size_t i = 0; i < crowd.member_count; i++)
        employ(&crowd, &crowd.members[i]);
    while (wait_for_some(&crowd, report, context))
        continue;
    bool good = crowd.next == count;
    (void)munmap(crowd.reports, size); /* it was mapped above */
    errno = reason;
    return good;
}
