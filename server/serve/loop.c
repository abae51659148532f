#include "serve/worker.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "serve/networks.h"

enum {
    /* So that those who are connected already get their turn, a few milliseconds later, and yet a
     * flood does not fill the kernel's queue, behind which every newcomer would wait: between two
     * rounds of LIMIT_ROUND_US thousands a second have their place. */
    ACCEPTS_AT_ONCE = 256,
    /* Long enough not to spin, too short for a client to notice. Milliseconds. */
    PAUSE_MS = 100,
    /* What ends for one that needs memory to begin. The memory of one is enough, but it lies in
     * pieces, of which some must be neighbours. */
    EVICTIONS_FOR_ONE = 64,
    /* More than a connection takes before it is heard. Bytes. */
    MEMORY_TO_BEGIN = 1024,
};

enum outcome {
    OUTCOME_ACCEPTED,
    OUTCOME_GONE,    /* the client left, or was never fit to be accepted */
    OUTCOME_NOTHING, /* nobody waits */
    OUTCOME_SHORT,   /* descriptors or memory are used up */
    OUTCOME_BROKEN,  /* the listener does not work */
};

/* A connection whose socket is ready. */
struct turn {
    struct connection *connection; /* borrowed */
    struct usage_rank rank;
    uint32_t order; /* in which epoll named it */
};

struct loop *loop_new(const struct worker_options *options, struct tls_context *tls,
                      size_t capacity)
{
    assert(capacity > 0 && capacity <= LIMIT_CONNECTIONS);
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return NULL;
    /* Whatever the capacity is, one network alone does not fill it. */
    size_t share = capacity > 1 ? capacity / 2 : 1;
    *loop = (struct loop){
        .control = options->control,
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .setting = {.tls = tls,
                    .site = options->site,
                    .challenges = options->challenges,
                    .stats = options->stats,
                    .request = loop->request},
        .capacity = capacity,
        .most_a_network = share < LIMIT_CONNECTIONS_A_NETWORK ? share : LIMIT_CONNECTIONS_A_NETWORK,
        .most_handshakes_a_network =
            share < LIMIT_HANDSHAKES_A_NETWORK ? share : LIMIT_HANDSHAKES_A_NETWORK,
        .entrances = options->entrances,
        .entrance_count = options->entrance_count,
        .accepts = ACCEPTS_AT_ONCE,
        .resume = INT64_MAX,
        .drain_deadline = INT64_MAX,
        .event_count = capacity + options->entrance_count + 1,
    };
    for (size_t i = 0; i < options->entrance_count; i++)
        if (options->entrances[i].endpoint->service == ENDPOINT_METRICS)
            loop->setting.records_fetches = true;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &loop->control};
    if (loop->epoll < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->control, &event) != 0)
        goto fail;
    loop->networks = networks_new(capacity);
    loop->events = calloc(loop->event_count, sizeof(loop->events[0]));
    loop->turns = calloc(capacity, sizeof(loop->turns[0]));
    errno = ENOMEM;
    if (loop->networks != NULL && loop->events != NULL && loop->turns != NULL)
        return loop;

fail:;
    int reason = errno;
    loop_free(loop);
    errno = reason;
    return NULL;
}

/* Closing the socket takes it out of the epoll instance. An event of this round, or a caller that
 * walks a list, may still name the connection, so it is freed later. */
static void remove_connection(struct loop *loop, struct connection *connection)
{
    networks_leave(loop->networks, &connection->member);
    connection_end(connection);
    connection->next = loop->ended;
    loop->ended = connection;
    loop->count--;
    stats_set_connections(loop->setting.stats, loop->count);
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
static struct connection *cheapest_to_drop_of_all(const struct loop *loop)
{
    const struct queue *queues = loop->setting.timers.queues;
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
static struct connection *cheapest_to_drop(const struct loop *loop)
{
    const struct network *largest = networks_largest(loop->networks);
    if (largest == NULL)
        return NULL;
    return largest->count > LIMIT_CONNECTIONS_FEW ? cheapest_to_drop_in(largest)
                                                  : cheapest_to_drop_of_all(loop);
}

bool loop_evict(struct loop *loop)
{
    struct connection *connection = cheapest_to_drop(loop);
    if (connection == NULL)
        return false;
    remove_connection(loop, connection);
    stats_count(loop->setting.stats, STATS_EVICTED);
    return true;
}

/* For want of memory a connection gives way to one of the network: the least loss of the network that
 * holds most. If that is the network itself, what it holds is as good as what it begins, and false is
 * the answer; so it is if none is a lesser loss than the connection that goes on (NULL: a new one). */
static bool evict_for(struct loop *loop, const struct network *network,
                      const struct connection *connection)
{
    return networks_largest(loop->networks) != network && cheapest_to_drop(loop) != connection &&
           loop_evict(loop);
}

void loop_free_ended(struct loop *loop)
{
    while (loop->ended != NULL) {
        struct connection *connection = loop->ended;
        loop->ended = connection->next;
        connection_free(connection);
    }
}

static bool watch_connection(const struct loop *loop, struct connection *connection, int operation)
{
    struct epoll_event event = {
        .events = connection->wish == CONNECTION_WRITE ? EPOLLOUT : EPOLLIN,
        .data.ptr = connection,
    };
    connection->watched = connection->wish;
    return epoll_ctl(loop->epoll, operation, connection->fd, &event) == 0;
}

/* A network at its limit loses one of its own connections. */
static void make_room_in_network(struct loop *loop, uint64_t key)
{
    const struct network *network = networks_find(loop->networks, key);
    struct connection *loss = NULL;
    if (network != NULL &&
        network->stages[NETWORK_HANDSHAKE].count >= loop->most_handshakes_a_network)
        loss = queue_oldest(&network->stages[NETWORK_HANDSHAKE]);
    else if (network != NULL && network->count >= loop->most_a_network)
        loss = cheapest_to_drop_in(network);
    if (loss == NULL)
        return;
    remove_connection(loop, loss);
    stats_count(loop->setting.stats, STATS_LIMITED);
}

void loop_admit(struct loop *loop, int fd, const struct endpoint *endpoint,
                const struct sockaddr *client, int64_t now)
{
    uint64_t key = network_key(client);
    make_room_in_network(loop, key);
    while (loop->count >= loop->capacity && loop_evict(loop))
        ;
    bool was_short = loop->setting.shortage.count > 0;
    for (int i = 0; was_short && i < EVICTIONS_FOR_ONE && !memory_has(MEMORY_TO_BEGIN); i++)
        if (!evict_for(loop, networks_find(loop->networks, key), NULL))
            break;
    struct connection *connection = connection_new(&loop->setting, fd, endpoint, client, now);
    if (connection == NULL) {
        shortage_tell(&loop->setting.shortage, "hold another connection", ENOMEM, now);
        (void)close(fd); /* Nothing was sent that could be lost. */
        return;
    }
    loop->count++;
    stats_set_connections(loop->setting.stats, loop->count);
    networks_enter(loop->networks, &connection->member, key);
    if (!watch_connection(loop, connection, EPOLL_CTL_ADD)) {
        shortage_tell(&loop->setting.shortage, "wait for another connection", errno, now);
        remove_connection(loop, connection);
    }
}

/* A proxy has named the client: the connection counts for the client's network from now on. */
static void move_to_client_network(struct loop *loop, struct connection *connection)
{
    struct network_member *member = &connection->member;
    uint64_t key = network_key(&connection->client.any);
    if (networks_find(loop->networks, key) == member->network)
        return;
    make_room_in_network(loop, key);
    networks_leave(loop->networks, member);
    networks_enter(loop->networks, member, key);
}

/* Does what the connection wishes since it went on. */
static void apply_wish(struct loop *loop, struct connection *connection)
{
    move_to_client_network(loop, connection);
    network_move(&connection->member, connection_stage(connection));
    if (connection->wish == CONNECTION_OVER || (connection->wish != connection->watched &&
                                                !watch_connection(loop, connection, EPOLL_CTL_MOD)))
        remove_connection(loop, connection);
}

/* Lets it go on. A connection that finds no memory to begin with takes that of others. One that found
 * too little later is lost, but the next one shall find more. */
static void go_on(struct loop *loop, struct connection *connection, int64_t now)
{
    uint64_t shortages = loop->setting.shortage.count;
    connection_advance(connection, now);
    for (int i = 0; connection->wish == CONNECTION_MEMORY; i++) {
        if (i < EVICTIONS_FOR_ONE && evict_for(loop, connection->member.network, connection))
            connection_advance(connection, now);
        else
            connection_give_up(connection, now);
    }
    const struct network *network = connection->member.network;
    for (int i = 0; loop->setting.shortage.count > shortages && i < EVICTIONS_FOR_ONE; i++)
        if (!evict_for(loop, network, connection))
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

/* Ends those that were reset, and gathers the others. Sets ret_mixed when they are of several networks. */
static size_t gather(struct loop *loop, const struct epoll_event *events, size_t count, int64_t now,
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
            remove_connection(loop, connection);
            continue;
        }
        assert(turns < loop->capacity);
        const struct network *network = connection->member.network;
        loop->turns[turns] = (struct turn){
            connection, networks_rank(loop->networks, network->key, now), (uint32_t)turns};
        if (turns > 0 && network != loop->turns[0].connection->member.network)
            *ret_mixed = true;
        turns++;
    }
    for (size_t place = turns / 2; *ret_mixed && place > 0; place--)
        sift_down(loop->turns, turns, place - 1);
    return turns;
}

/* What a client makes us compute is found out by looking at the clock. */
void loop_advance(struct loop *loop, const struct epoll_event *events, size_t count, int64_t now)
{
    int64_t used_us = 0;
    bool is_mixed;
    size_t turns = gather(loop, events, count, now, &is_mixed);

    networks_begin_round(loop->networks);
    while (turns > 0 && used_us < LIMIT_ROUND_US) {
        struct connection *connection = loop->turns[0].connection;
        loop->turns[0] = loop->turns[--turns];
        sift_down(loop->turns, turns, 0);
        if (connection_has_ended(connection))
            continue;
        struct network *network = connection->member.network;
        if (is_mixed && !networks_has_time(loop->networks, network))
            continue;
        int64_t begin = clock_monotonic_us();
        go_on(loop, connection, now);
        int64_t used = clock_monotonic_us() - begin;
        used_us += used;
        networks_charge(loop->networks, network, used, now);
        apply_wish(loop, connection);
    }
}

/* An expired connection is gone or lingers with a new deadline, so this ends. */
void loop_expire(struct loop *loop, int64_t now)
{
    if (now >= answer_next(&loop->setting.rate))
        answer_tell_left_out(&loop->setting.rate, now);
    struct connection *next;
    while ((next = timers_next(&loop->setting.timers)) != NULL && next->timer.deadline <= now) {
        connection_expire(next, now);
        apply_wish(loop, next);
    }
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    while (loop->count > 0)
        remove_connection(loop, cheapest_to_drop(loop));
    loop_free_ended(loop);
    networks_free(loop->networks);
    if (loop->epoll >= 0)
        (void)close(loop->epoll); /* Nothing was written through it. */
    free(loop->events);
    free(loop->turns);
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
    loop_admit(loop, fd, entrance->endpoint, (const struct sockaddr *)&client, now);
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
            shortage_tell(&loop->accept_shortage, "accept a connection", errno, now);
        /* One connection gives way for the newcomer. When even that does not help, the shortage is not
         * ours to end, and ending more connections would be a loss. */
        if (outcome == OUTCOME_SHORT && loop_evict(loop))
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

/* From now on every response is the last of its connection. An idle one answers a request that has just
 * come in, else it leaves; in both cases it is idle no more. The count is there for the one that cannot. */
void loop_drain(struct loop *loop, int64_t now)
{
    if (loop->setting.draining)
        return;
    loop->drain_deadline = now + LIMIT_DRAIN_MS;
    stop_listening(loop, now);
    loop->setting.draining = true;
    for (size_t rounds = loop->count; rounds > 0; rounds--) {
        struct connection *connection = queue_oldest(&loop->setting.timers.queues[TIMER_IDLE]);
        if (connection == NULL)
            break;
        go_on(loop, connection, now);
        apply_wish(loop, connection);
    }
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
            loop_drain(loop, now);
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
    loop_advance(loop, events, connections, now);
    accept_newcomers(loop, entrances, newcomers, now);
    if (told)
        listen_to_supervisor(loop, now);
    loop_expire(loop, now);
    if (now >= loop->resume)
        loop->resume = watch(loop) ? INT64_MAX : now + PAUSE_MS;
    loop_free_ended(loop);
}

/* Milliseconds for epoll_wait until something has to be done without an event. */
static int time_to_wait(const struct loop *loop)
{
    const struct connection *first = timers_next(&loop->setting.timers);
    int64_t next = answer_next(&loop->setting.rate);

    if (first != NULL && first->timer.deadline < next)
        next = first->timer.deadline;
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
                      (loop->count == 0 || clock_monotonic_ms() >= loop->drain_deadline);
    return is_drained ? LOOP_DRAINED : LOOP_RUNS;
}
