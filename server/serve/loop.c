#include "serve/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "serve/pool.h"

enum {
    /* So that those who are connected already get their turn, a few milliseconds later, and yet a
     * flood does not fill the kernel's queue, behind which every newcomer would wait: between two
     * rounds of LIMIT_ROUND_US thousands a second have their place. */
    ACCEPTS_AT_ONCE = 256,
    /* Long enough not to spin, too short for a client to notice. Milliseconds. */
    PAUSE_MS = 100,
};

enum outcome {
    OUTCOME_ACCEPTED,
    OUTCOME_GONE,    /* the client left, or was never fit to be accepted */
    OUTCOME_NOTHING, /* nobody waits */
    OUTCOME_SHORT,   /* descriptors or memory are used up */
    OUTCOME_BROKEN,  /* the listener does not work */
};

struct loop {
    int control;                      /* borrowed; the event of the control socket points here */
    int epoll;                        /* owned; -1 before it is made */
    struct pool *pool;                /* owned */
    const struct entrance *entrances; /* borrowed; event.data.ptr points at one of them */
    size_t entrance_count;
    int accepts;    /* tried at a listener in this turn; 1 to ACCEPTS_AT_ONCE */
    int came;       /* the most that a listener had, the last time that one was ready */
    int64_t resume; /* when listeners are watched again; INT64_MAX when that is not put off */
    struct shortage shortage;
    int64_t drain_deadline; /* INT64_MAX until told to drain */
    bool orphaned;          /* the supervisor is gone */
    size_t event_count;
    /* One for everything that may be ready, so that a client is not overlooked behind a flood of
     * others: the pool decides who goes on first. */
    struct epoll_event events[];
};

struct loop *loop_new(int control, const struct entrance *entrances, size_t count,
                      const struct connection_setting *setting, size_t capacity)
{
    size_t event_count = capacity + count + 1;
    struct loop *loop = calloc(1, sizeof(*loop) + event_count * sizeof(loop->events[0]));
    if (loop == NULL)
        return NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &loop->control};
    loop->control = control;
    loop->event_count = event_count;
    loop->entrances = entrances;
    loop->entrance_count = count;
    loop->accepts = ACCEPTS_AT_ONCE;
    loop->resume = INT64_MAX;
    loop->drain_deadline = INT64_MAX;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, control, &event) != 0)
        goto fail;
    loop->pool = pool_new(loop->epoll, setting, capacity);
    if (loop->pool == NULL) {
        errno = ENOMEM;
        goto fail;
    }
    return loop;

fail:;
    int reason = errno;
    loop_free(loop);
    errno = reason;
    return NULL;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    pool_free(loop->pool);
    if (loop->epoll >= 0)
        (void)close(loop->epoll); /* Nothing was written through it. */
    free(loop);
}

static void unwatch(struct loop *loop)
{
    for (size_t i = 0; i < loop->entrance_count; i++)
        /* It fails for a listener that is not watched, which is as well. */
        (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, loop->entrances[i].fd, NULL);
}

/* One newcomer wakes one worker. False, with errno, when the kernel refuses. */
static bool watch(struct loop *loop)
{
    for (size_t i = 0; i < loop->entrance_count; i++) {
        struct epoll_event event = {
            .events = EPOLLIN | EPOLLEXCLUSIVE,
            .data.ptr = (void *)(uintptr_t)&loop->entrances[i],
        };
        if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->entrances[i].fd, &event) != 0) {
            int reason = errno;
            unwatch(loop);
            errno = reason;
            return false;
        }
    }
    return true;
}

/* accept(2): Linux passes on errors that the new connection has met already. */
static enum outcome outcome_of(int reason)
{
    switch (reason) {
    case EAGAIN:
        return OUTCOME_NOTHING;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return OUTCOME_SHORT;
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENOTSOCK:
        return OUTCOME_BROKEN;
    default:
        return OUTCOME_GONE;
    }
}

static enum outcome accept_one(struct loop *loop, const struct entrance *entrance, int64_t now)
{
    struct sockaddr_storage client = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(client);
    int fd = accept4(entrance->fd, (struct sockaddr *)&client, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return outcome_of(errno);
    pool_admit(loop->pool, fd, entrance->endpoint, (const struct sockaddr *)&client, now);
    return OUTCOME_ACCEPTED;
}

/* Accepts some of those who wait at the entrance, as far as descriptors and memory allow. To learn that
 * nobody waits any more costs almost as much as to accept a client, so no more are tried than came the
 * last time. Who still waits makes the next turn begin at once, and that one tries more. */
static void accept_clients(struct loop *loop, const struct entrance *entrance, int64_t now)
{
    enum outcome outcome = OUTCOME_ACCEPTED;
    int tries = 0;
    while (tries < loop->accepts && (outcome == OUTCOME_ACCEPTED || outcome == OUTCOME_GONE)) {
        outcome = accept_one(loop, entrance, now);
        if (outcome == OUTCOME_SHORT || outcome == OUTCOME_BROKEN)
            shortage_tell(&loop->shortage, "accept a connection", errno, now);
        /* One connection gives way for the newcomer. When even that does not help, the shortage is not
         * ours to end, and ending more connections would be a loss. */
        if (outcome == OUTCOME_SHORT && pool_evict(loop->pool))
            outcome = accept_one(loop, entrance, now);
        if (outcome == OUTCOME_SHORT || outcome == OUTCOME_BROKEN) {
            unwatch(loop);
            loop->resume = now + PAUSE_MS;
        }
        tries += outcome != OUTCOME_NOTHING;
    }
    if (tries > loop->came)
        loop->came = tries;
}

/* Those whose listeners are ready, in the order in which epoll named them. */
static void accept_newcomers(struct loop *loop, const struct entrance *const *entrances,
                             size_t count, int64_t now)
{
    if (count > 0)
        loop->came = 0;
    for (size_t i = 0; i < count; i++)
        accept_clients(loop, entrances[i], now);
    int more = count > 0 && loop->came == loop->accepts ? 4 * loop->came : loop->came;
    loop->accepts = more < 1 ? 1 : more < ACCEPTS_AT_ONCE ? more : ACCEPTS_AT_ONCE;
}

/* Leaves off for good. Whoever came in with the last event is still accepted: that event was sent to no
 * other worker. */
static void stop_listening(struct loop *loop, int64_t now)
{
    loop->accepts = ACCEPTS_AT_ONCE;
    for (size_t i = 0; i < loop->entrance_count; i++)
        accept_clients(loop, &loop->entrances[i], now);
    unwatch(loop);
    /* While any copy is open the kernel lets clients connect, and nobody would answer them. */
    for (size_t i = 0; i < loop->entrance_count; i++)
        (void)close(loop->entrances[i].fd); /* It only listened. */
    loop->entrance_count = 0;
    loop->resume = INT64_MAX;
}

bool loop_open(struct loop *loop)
{
    const char ready = WORKER_READY;
    return watch(loop) && send(loop->control, &ready, 1, MSG_NOSIGNAL) == 1;
}

static void drain(struct loop *loop, int64_t now)
{
    if (loop->drain_deadline != INT64_MAX)
        return;
    loop->drain_deadline = now + LIMIT_DRAIN_MS;
    stop_listening(loop, now);
    pool_drain(loop->pool, now);
}

static void listen_to_supervisor(struct loop *loop, int64_t now)
{
    char messages[16];
    ssize_t len = recv(loop->control, messages, sizeof(messages), 0);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    loop->orphaned = len <= 0;
    for (ssize_t i = 0; i < len; i++)
        if (messages[i] == WORKER_DRAIN)
            drain(loop, now);
}

static bool is_entrance(const struct loop *loop, const void *source)
{
    for (size_t i = 0; i < loop->entrance_count; i++)
        if (source == &loop->entrances[i])
            return true;
    return false;
}

/* Connections come first: those that are here already go before newcomers. */
static void dispatch(struct loop *loop, int count)
{
    const struct entrance *entrances[LIMIT_LISTENERS];
    struct epoll_event *events = loop->events;
    int64_t now = clock_monotonic_ms();
    size_t connections = 0, newcomers = 0;
    bool told = false;

    for (int i = 0; i < count; i++) {
        void *source = events[i].data.ptr;
        if (source == &loop->control)
            told = true;
        else if (is_entrance(loop, source))
            entrances[newcomers++] = source;
        else
            events[connections++] = events[i];
    }
    pool_advance(loop->pool, events, connections, now);
    accept_newcomers(loop, entrances, newcomers, now);
    if (told)
        listen_to_supervisor(loop, now);
    pool_expire(loop->pool, now);
    if (now >= loop->resume)
        loop->resume = watch(loop) ? INT64_MAX : now + PAUSE_MS;
    pool_free_ended(loop->pool);
}

/* Milliseconds for epoll_wait until something has to be done without an event. */
static int time_to_wait(const struct loop *loop)
{
    int64_t next = pool_next_deadline(loop->pool);

    if (loop->resume < next)
        next = loop->resume;
    if (loop->drain_deadline < next)
        next = loop->drain_deadline;
    if (next == INT64_MAX)
        return -1;
    int64_t left = next - clock_monotonic_ms();
    if (left < 0)
        return 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

enum loop_state loop_turn(struct loop *loop)
{
    int count = epoll_wait(loop->epoll, loop->events, (int)loop->event_count, time_to_wait(loop));
    if (count < 0 && errno != EINTR)
        return LOOP_FAILED;
    dispatch(loop, count);
    if (loop->orphaned)
        return LOOP_ORPHANED;
    bool is_drained = loop->drain_deadline != INT64_MAX &&
                      (pool_count(loop->pool) == 0 || clock_monotonic_ms() >= loop->drain_deadline);
    return is_drained ? LOOP_DRAINED : LOOP_RUNS;
}
