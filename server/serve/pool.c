#include "serve/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "serve/networks.h"

enum {
    /* What ends for one that needs memory to begin. The memory of one is enough, but it lies in
     * pieces, of which some must be neighbours. */
    EVICTIONS_FOR_ONE = 64,
    /* More than a connection takes before it is heard. Bytes. */
    MEMORY_TO_BEGIN = 1024,
};

/* A connection whose socket is ready. */
struct turn {
    struct connection *connection; /* borrowed */
    struct usage_rank rank;
    uint32_t order; /* in which epoll named it */
};

struct pool {
    struct connection_setting setting;
    struct networks *networks; /* owned */
    struct connection *ended;  /* owned; those to be freed, one behind the other */
    int epoll;                 /* borrowed */
    size_t count;
    size_t capacity;
    size_t most_a_network;
    size_t most_handshakes_a_network;
    char request[LIMIT_REQUEST_HEAD];
    struct turn turns[]; /* as many as the capacity */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct pool *pool_new(int epoll, const struct connection_setting *setting, size_t capacity)
{
    assert(capacity > 0 && capacity <= LIMIT_CONNECTIONS);
    struct pool *pool = calloc(1, sizeof(*pool) + capacity * sizeof(pool->turns[0]));
    if (pool == NULL)
        return NULL;
    /* Whatever the capacity is, one network alone does not fill it. */
    size_t share = capacity > 1 ? capacity / 2 : 1;
    pool->epoll = epoll;
    pool->capacity = capacity;
    pool->most_a_network = smaller(share, LIMIT_CONNECTIONS_A_NETWORK);
    pool->most_handshakes_a_network = smaller(share, LIMIT_HANDSHAKES_A_NETWORK);
    pool->setting = *setting;
    pool->setting.request = pool->request;
    pool->networks = networks_new(capacity);
    if (pool->networks == NULL) {
        pool_free(pool);
        return NULL;
    }
    return pool;
}

/* Closing the socket takes it out of the epoll instance. An event of this round, or a caller that
 * walks a list, may still name the connection, so it is freed later. */
static void remove_connection(struct pool *pool, struct connection *connection)
{
    networks_leave(pool->networks, &connection->member);
    connection_end(connection);
    connection->next = pool->ended;
    pool->ended = connection;
    pool->count--;
    stats_set_connections(pool->setting.stats, pool->count);
}

static struct connection *cheapest_to_drop_in(const struct network *network)
{
    struct connection *lingering = queue_oldest(&network->stages[NETWORK_LINGERING]);
    struct connection *idle = queue_oldest(&network->stages[NETWORK_IDLE]);
    struct connection *busy = queue_oldest(&network->stages[NETWORK_BUSY]);
    struct connection *handshake = queue_oldest(&network->stages[NETWORK_HANDSHAKE]);

    if (lingering != NULL || idle != NULL)
        return lingering != NULL ? lingering : idle;
    if (busy == NULL || handshake == NULL)
        return busy != NULL ? busy : handshake;
    return busy->timer.deadline < handshake->timer.deadline ? busy : handshake;
}

/* Among those that have begun something the one that began first: a newcomer behind a proxy, whose
 * header was not read yet, would else give way to the next one. */
static struct connection *cheapest_to_drop_of_all(const struct pool *pool)
{
    const struct queue *queues = pool->setting.timers.queues;
    struct connection *least = queue_oldest(&queues[TIMER_LINGERING]);
    if (least == NULL)
        least = queue_oldest(&queues[TIMER_IDLE]);
    if (least != NULL)
        return least;
    struct connection *introduction = queue_oldest(&queues[TIMER_INTRODUCTION]);
    least = queue_oldest(&queues[TIMER_UNFINISHED]);
    if (least == NULL ||
        (introduction != NULL && timers_begun(&introduction->timer) < timers_begun(&least->timer)))
        least = introduction;
    return least;
}

/* NULL when there is none. */
static struct connection *cheapest_to_drop(const struct pool *pool)
{
    const struct network *largest = networks_largest(pool->networks);
    if (largest == NULL)
        return NULL;
    return largest->count > LIMIT_CONNECTIONS_FEW ? cheapest_to_drop_in(largest)
                                                  : cheapest_to_drop_of_all(pool);
}

static bool evict(struct pool *pool, struct connection *connection)
{
    if (connection == NULL)
        return false;
    remove_connection(pool, connection);
    return true;
}

bool pool_evict(struct pool *pool)
{
    if (!evict(pool, cheapest_to_drop(pool)))
        return false;
    stats_count(pool->setting.stats, STATS_EVICTED);
    return true;
}

/* For want of memory a connection gives way to one of the network: the least loss of the network that
 * holds most. If that is the network itself, what it holds is as good as what it begins, and false is
 * the answer; so it is if none is a lesser loss than the connection that goes on (NULL: a new one). */
static bool evict_for(struct pool *pool, const struct network *network,
                      const struct connection *connection)
{
    return networks_largest(pool->networks) != network && cheapest_to_drop(pool) != connection &&
           pool_evict(pool);
}

void pool_free_ended(struct pool *pool)
{
    while (pool->ended != NULL) {
        struct connection *connection = pool->ended;
        pool->ended = connection->next;
        connection_free(connection);
    }
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->networks != NULL && evict(pool, cheapest_to_drop(pool)))
        ;
    assert(pool->count == 0);
    pool_free_ended(pool);
    networks_free(pool->networks);
    free(pool);
}

static bool watch(const struct pool *pool, struct connection *connection, int operation)
{
    struct epoll_event event = {
        .events = connection->wish == CONNECTION_WRITE ? EPOLLOUT : EPOLLIN,
        .data.ptr = connection,
    };
    connection->watched = connection->wish;
    return epoll_ctl(pool->epoll, operation, connection->fd, &event) == 0;
}

/* Whoever is at its limit pays for its newcomer itself. */
static void make_room_in_network(struct pool *pool, uint64_t key)
{
    const struct network *network = networks_find(pool->networks, key);
    struct connection *loss = NULL;
    if (network != NULL &&
        network->stages[NETWORK_HANDSHAKE].count >= pool->most_handshakes_a_network)
        loss = queue_oldest(&network->stages[NETWORK_HANDSHAKE]);
    else if (network != NULL && network->count >= pool->most_a_network)
        loss = cheapest_to_drop_in(network);
    if (loss == NULL)
        return;
    remove_connection(pool, loss);
    stats_count(pool->setting.stats, STATS_LIMITED);
}

/* Whether there is memory for another connection. Asked only where it has been short before. */
static bool has_memory(const struct pool *pool)
{
    void *volatile room = pool->setting.shortage.count > 0 ? malloc(MEMORY_TO_BEGIN) : NULL;
    bool has = pool->setting.shortage.count == 0 || room != NULL;
    free(room);
    return has;
}

void pool_admit(struct pool *pool, int fd, const struct endpoint *endpoint,
                const struct sockaddr *client, int64_t now)
{
    uint64_t key = network_key(client);
    make_room_in_network(pool, key);
    while (pool->count >= pool->capacity && pool_evict(pool))
        ;
    for (int i = 0; i < EVICTIONS_FOR_ONE && !has_memory(pool); i++)
        if (!evict_for(pool, networks_find(pool->networks, key), NULL))
            break;
    struct connection *connection = connection_new(&pool->setting, fd, endpoint, client, now);
    if (connection == NULL) {
        shortage_tell(&pool->setting.shortage, "hold another connection", ENOMEM, now);
        (void)close(fd); /* Nothing was sent that could be lost. */
        return;
    }
    pool->count++;
    stats_set_connections(pool->setting.stats, pool->count);
    networks_enter(pool->networks, &connection->member, key);
    if (!watch(pool, connection, EPOLL_CTL_ADD)) {
        shortage_tell(&pool->setting.shortage, "wait for another connection", errno, now);
        remove_connection(pool, connection);
    }
}

/* A proxy has said whom the connection serves: that one's network answers for it from now on. */
static void move_to_client_network(struct pool *pool, struct connection *connection)
{
    struct network_member *member = &connection->member;
    uint64_t key = network_key(&connection->client.any);
    if (networks_find(pool->networks, key) == member->network)
        return;
    make_room_in_network(pool, key);
    networks_leave(pool->networks, member);
    networks_enter(pool->networks, member, key);
}

/* Does what the connection wishes since it went on. */
static void apply_wish(struct pool *pool, struct connection *connection)
{
    move_to_client_network(pool, connection);
    network_move(&connection->member, connection_stage(connection));
    if (connection->wish == CONNECTION_OVER ||
        (connection->wish != connection->watched && !watch(pool, connection, EPOLL_CTL_MOD)))
        remove_connection(pool, connection);
}

/* Lets it go on. A connection that finds no memory to begin with takes that of others. One that found
 * too little later is lost, but the next one shall find more. */
static void go_on(struct pool *pool, struct connection *connection, int64_t now)
{
    uint64_t shortages = pool->setting.shortage.count;
    connection_advance(connection, now);
    for (int i = 0; connection->wish == CONNECTION_MEMORY; i++) {
        if (i < EVICTIONS_FOR_ONE && evict_for(pool, connection->member.network, connection))
            connection_advance(connection, now);
        else
            connection_give_up(connection, now);
    }
    const struct network *network = connection->member.network;
    for (int i = 0; pool->setting.shortage.count > shortages && i < EVICTIONS_FOR_ONE; i++)
        if (!evict_for(pool, network, connection))
            break;
}

static bool is_before(const struct turn *one, const struct turn *other)
{
    int difference = usage_compare(&one->rank, &other->rank);
    return difference < 0 || (difference == 0 && one->order < other->order);
}

/* Turns are a heap: the one that is before all others stands first, and each before the two at twice
 * its place. Few of many thousands come to their turn in a round, so sorting all would be too much
 * (and qsort() makes system calls). Moves the one at the place to where it belongs. */
static void sift_down(struct turn *turns, size_t count, size_t place)
{
    for (size_t child = 2 * place + 1; child < count; child = 2 * place + 1) {
        if (child + 1 < count && is_before(&turns[child + 1], &turns[child]))
            child++;
        if (is_before(&turns[place], &turns[child]))
            return;
        const struct turn moved = turns[place];
        turns[place] = turns[child];
        turns[child] = moved;
        place = child;
    }
}

static struct connection *take_first(struct turn *turns, size_t *count)
{
    struct connection *first = turns[0].connection;
    turns[0] = turns[--*count];
    sift_down(turns, *count, 0);
    return first;
}

/* Ends those that were reset, and gathers the others. Sets ret_mixed when they are of several networks. */
static size_t gather(struct pool *pool, const struct epoll_event *events, size_t count, int64_t now,
                     bool *ret_mixed)
{
    size_t turns = 0;
    *ret_mixed = false;
    for (size_t i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (connection_has_ended(connection))
            continue;
        /* Reset, or closed on both sides. What lingers has closed its own side, and reads to the client's
         * end, for to close a socket with unread bytes would be a reset, which may overtake the response. */
        if ((events[i].events & EPOLLERR) != 0 ||
            ((events[i].events & EPOLLHUP) != 0 &&
             connection_stage(connection) != NETWORK_LINGERING)) {
            connection_break(connection, now);
            remove_connection(pool, connection);
            continue;
        }
        assert(turns < pool->capacity);
        const struct network *network = connection->member.network;
        pool->turns[turns] = (struct turn){
            connection, networks_rank(pool->networks, network->key, now), (uint32_t)turns};
        if (turns > 0 && network != pool->turns[0].connection->member.network)
            *ret_mixed = true;
        turns++;
    }
    for (size_t place = turns / 2; *ret_mixed && place > 0; place--)
        sift_down(pool->turns, turns, place - 1);
    return turns;
}

/* What a client makes us compute is found out by looking at the clock. */
void pool_advance(struct pool *pool, const struct epoll_event *events, size_t count, int64_t now)
{
    int64_t used_us = 0;
    bool is_mixed;
    size_t turns = gather(pool, events, count, now, &is_mixed);

    networks_begin_round(pool->networks);
    while (turns > 0 && used_us < LIMIT_ROUND_US) {
        struct connection *connection = take_first(pool->turns, &turns);
        if (connection_has_ended(connection))
            continue;
        struct network *network = connection->member.network;
        if (is_mixed && !networks_has_time(pool->networks, network))
            continue;
        int64_t begin = clock_monotonic_us();
        go_on(pool, connection, now);
        int64_t used = clock_monotonic_us() - begin;
        used_us += used;
        networks_charge(pool->networks, network, used, now);
        apply_wish(pool, connection);
    }
}

/* An expired connection is gone or lingers with a new deadline, so this ends. */
void pool_expire(struct pool *pool, int64_t now)
{
    if (now >= access_next(&pool->setting.rate))
        access_tell_left_out(&pool->setting.rate, now);
    struct connection *next;
    while ((next = timers_next(&pool->setting.timers)) != NULL && next->timer.deadline <= now) {
        connection_expire(next, now);
        apply_wish(pool, next);
    }
}

/* An idle connection answers a request that has just come in, else it leaves;
 * in both cases it is idle no more. The count is there for the one that cannot. */
void pool_drain(struct pool *pool, int64_t now)
{
    pool->setting.draining = true;
    for (size_t rounds = pool->count; rounds > 0; rounds--) {
        struct connection *connection = queue_oldest(&pool->setting.timers.queues[TIMER_IDLE]);
        if (connection == NULL)
            break;
        go_on(pool, connection, now);
        apply_wish(pool, connection);
    }
}

size_t pool_count(const struct pool *pool)
{
    return pool->count;
}

int64_t pool_next_deadline(const struct pool *pool)
{
    const struct connection *next = timers_next(&pool->setting.timers);
    int64_t left_out = access_next(&pool->setting.rate);
    return next != NULL && next->timer.deadline < left_out ? next->timer.deadline : left_out;
}
