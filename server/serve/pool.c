#include "serve/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>

struct pool {
    struct connection_setting setting;
    struct timers timers;
    int epoll; /* borrowed */
    size_t count;
    size_t capacity;
};

struct pool *pool_new(int epoll, const struct site *site, struct tls_context *tls, size_t capacity)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    assert(capacity > 0);
    pool->epoll = epoll;
    pool->capacity = capacity;
    pool->setting = (struct connection_setting){tls, &pool->timers, site, false};
    return pool;
}

/* Closing the socket takes it out of the epoll instance. */
static void remove_connection(struct pool *pool, struct connection *connection)
{
    connection_free(connection);
    pool->count--;
}

bool pool_evict(struct pool *pool)
{
    for (enum timer_kind kind = 0; kind < TIMER_KINDS; kind++) {
        struct timer *oldest = timers_oldest(&pool->timers, kind);
        if (oldest != NULL) {
            remove_connection(pool, oldest->owner);
            return true;
        }
    }
    return false;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    while (pool_evict(pool))
        ;
    assert(pool->count == 0);
    free(pool);
}

static bool watch(const struct pool *pool, struct connection *connection, int operation)
{
    struct epoll_event event = {
        .events = connection_wish(connection) == CONNECTION_WRITE ? EPOLLOUT : EPOLLIN,
        .data.ptr = connection,
    };
    return epoll_ctl(pool->epoll, operation, connection_fd(connection), &event) == 0;
}

bool pool_admit(struct pool *pool, int fd, int64_t now)
{
    while (pool->count >= pool->capacity && pool_evict(pool))
        ;
    struct connection *connection = connection_new(&pool->setting, fd, now);
    if (connection == NULL)
        return false;
    pool->count++;
    if (!watch(pool, connection, EPOLL_CTL_ADD)) {
        remove_connection(pool, connection);
        return false;
    }
    return true;
}

/* Does what the connection wishes after it went on from the earlier wish. */
static void follow(struct pool *pool, struct connection *connection, enum connection_wish earlier)
{
    enum connection_wish wish = connection_wish(connection);
    if (wish == CONNECTION_OVER || (wish != earlier && !watch(pool, connection, EPOLL_CTL_MOD)))
        remove_connection(pool, connection);
}

void pool_advance(struct pool *pool, struct connection *connection, int64_t now)
{
    enum connection_wish earlier = connection_wish(connection);
    connection_advance(connection, now);
    follow(pool, connection, earlier);
}

/* An expired connection is gone or lingers with a new deadline, so this ends. */
void pool_expire(struct pool *pool, int64_t now)
{
    for (struct timer *timer = timers_expired(&pool->timers, now); timer != NULL;
         timer = timers_expired(&pool->timers, now)) {
        struct connection *connection = timer->owner;
        enum connection_wish earlier = connection_wish(connection);
        connection_expire(connection, now);
        follow(pool, connection, earlier);
    }
}

/* An idle connection answers a request that has just come in, else it leaves;
 * in both cases it is idle no more. The count is there for the one that cannot. */
void pool_drain(struct pool *pool, int64_t now)
{
    pool->setting.draining = true;
    for (size_t rounds = pool->count; rounds > 0; rounds--) {
        struct timer *oldest = timers_oldest(&pool->timers, TIMER_IDLE);
        if (oldest == NULL)
            break;
        pool_advance(pool, oldest->owner, now);
    }
}

size_t pool_count(const struct pool *pool)
{
    return pool->count;
}

int64_t pool_next_deadline(const struct pool *pool)
{
    return timers_next(&pool->timers);
}
