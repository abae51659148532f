#include "serve/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

struct loop {
    int control;       /* borrowed; the event of the control socket points here */
    int epoll;         /* owned; -1 before it is made */
    struct pool *pool; /* owned */
    struct acceptor acceptor;
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
    loop->drain_deadline = INT64_MAX;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, control, &event) != 0)
        goto fail;
    loop->pool = pool_new(loop->epoll, setting, capacity);
    if (loop->pool == NULL) {
        errno = ENOMEM;
        goto fail;
    }
    loop->acceptor = acceptor_of(loop->epoll, entrances, count, loop->pool);
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

bool loop_open(struct loop *loop)
{
    const char ready = WORKER_READY;
    return acceptor_watch(&loop->acceptor) && send(loop->control, &ready, 1, MSG_NOSIGNAL) == 1;
}

static void drain(struct loop *loop, int64_t now)
{
    if (loop->drain_deadline != INT64_MAX)
        return;
    loop->drain_deadline = now + LIMIT_DRAIN_MS;
    acceptor_stop(&loop->acceptor, now);
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
        else if (acceptor_has(&loop->acceptor, source))
            entrances[newcomers++] = source;
        else
            events[connections++] = events[i];
    }
    pool_advance(loop->pool, events, connections, now);
    for (size_t i = 0; i < newcomers; i++)
        acceptor_accept(&loop->acceptor, entrances[i], now);
    if (told)
        listen_to_supervisor(loop, now);
    pool_expire(loop->pool, now);
    acceptor_resume(&loop->acceptor, now);
    pool_free_ended(loop->pool);
}

/* Milliseconds for epoll_wait until something has to be done without an event. */
static int time_to_wait(const struct loop *loop)
{
    int64_t next = pool_next_deadline(loop->pool);

    if (loop->acceptor.resume < next)
        next = loop->acceptor.resume;
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
