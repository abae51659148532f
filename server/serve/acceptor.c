#include "serve/acceptor.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

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

struct acceptor acceptor_of(int epoll, const struct entrance *entrances, size_t count,
                            struct pool *pool)
{
    return (struct acceptor){
        .epoll = epoll,
        .entrances = entrances,
        .count = count,
        .pool = pool,
        .resume = INT64_MAX,
    };
}

bool acceptor_has(const struct acceptor *acceptor, const void *pointer)
{
    for (size_t i = 0; i < acceptor->count; i++)
        if (pointer == &acceptor->entrances[i])
            return true;
    return false;
}

static void unwatch(struct acceptor *acceptor)
{
    for (size_t i = 0; i < acceptor->count; i++)
        /* It fails for a listener that is not watched, which is as well. */
        (void)epoll_ctl(acceptor->epoll, EPOLL_CTL_DEL, acceptor->entrances[i].fd, NULL);
}

bool acceptor_watch(struct acceptor *acceptor)
{
    for (size_t i = 0; i < acceptor->count; i++) {
        struct epoll_event event = {
            .events = EPOLLIN | EPOLLEXCLUSIVE,
            .data.ptr = (void *)(uintptr_t)&acceptor->entrances[i],
        };
        if (epoll_ctl(acceptor->epoll, EPOLL_CTL_ADD, acceptor->entrances[i].fd, &event) != 0) {
            int reason = errno;
            unwatch(acceptor);
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

static enum outcome accept_one(struct acceptor *acceptor, const struct entrance *entrance,
                               int64_t now)
{
    struct sockaddr_storage client = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(client);
    int fd = accept4(entrance->fd, (struct sockaddr *)&client, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return outcome_of(errno);
    pool_admit(acceptor->pool, fd, entrance->endpoint, (const struct sockaddr *)&client, now);
    return OUTCOME_ACCEPTED;
}

void acceptor_accept(struct acceptor *acceptor, const struct entrance *entrance, int64_t now)
{
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        enum outcome outcome = accept_one(acceptor, entrance, now);
        if (outcome == OUTCOME_SHORT || outcome == OUTCOME_BROKEN)
            shortage_tell(&acceptor->shortage, "accept a connection", errno, now);
        /* One connection gives way for the newcomer. When even that does not help, the shortage is not
         * ours to end, and ending more connections would be a loss. */
        if (outcome == OUTCOME_SHORT && pool_evict(acceptor->pool))
            outcome = accept_one(acceptor, entrance, now);
        if (outcome == OUTCOME_SHORT || outcome == OUTCOME_BROKEN) {
            unwatch(acceptor);
            acceptor->resume = now + PAUSE_MS;
        }
        if (outcome != OUTCOME_ACCEPTED && outcome != OUTCOME_GONE)
            return;
    }
}

void acceptor_resume(struct acceptor *acceptor, int64_t now)
{
    if (now >= acceptor->resume)
        acceptor->resume = acceptor_watch(acceptor) ? INT64_MAX : now + PAUSE_MS;
}

void acceptor_stop(struct acceptor *acceptor, int64_t now)
{
    for (size_t i = 0; i < acceptor->count; i++)
        acceptor_accept(acceptor, &acceptor->entrances[i], now);
    unwatch(acceptor);
    /* While any copy is open the kernel lets clients connect, and nobody would answer them. */
    for (size_t i = 0; i < acceptor->count; i++)
        (void)close(acceptor->entrances[i].fd); /* It only listened. */
    acceptor->count = 0;
    acceptor->resume = INT64_MAX;
}
