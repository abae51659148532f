#include "serve/networks.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/limits.h"

enum {
    /* Two places for each network, of which the smaller one counts: two networks seldom share both. */
    ROWS = 2,
    PLACE_BITS = 11,
    PLACES = 1 << PLACE_BITS,
    IPV4_BITS = 32,
};

struct place {
    uint32_t period; /* of LIMIT_USAGE_HALF_MS, in which it was changed last */
    uint32_t used;   /* microseconds */
};

/* Bits of the key that a network of each level leaves out. */
static const unsigned shifts_v4[USAGE_LEVELS] = {16, 8, 0};
static const unsigned shifts_v6[USAGE_LEVELS] = {32, 16, 0};

struct networks {
    struct network *entries;  /* owned; the first ones in use so far, free ones among them */
    struct queue *ranks;      /* behind the entries; by the number of members, 0 to capacity */
    struct network **buckets; /* behind the ranks; a power of two of them */
    struct network *unused;   /* was in use and is free */
    size_t capacity;
    size_t entered; /* entries that were ever in use */
    size_t largest; /* the highest rank that is not empty; 0: all are */
    unsigned shift; /* of a hash to a bucket */
    uint32_t round;
    uint64_t seeds[1 + ROWS][2]; /* of the buckets and of each row; the first one of each is odd */
    struct place places[USAGE_LEVELS][ROWS][PLACES];
};

struct networks *networks_new(size_t capacity)
{
    assert(capacity > 0 && capacity <= LIMIT_CONNECTIONS);
    /* Both pieces are so large that they come from the kernel: pages that were never touched cost
     * nothing. */
    struct networks *networks = calloc(1, sizeof(*networks));
    if (networks == NULL)
        return NULL;
    size_t buckets = 2;
    networks->shift = 63;
    for (; buckets < capacity; buckets *= 2)
        networks->shift--;
    networks->capacity = capacity;
    networks->round = 1;
    networks->entries =
        calloc(1, capacity * sizeof(struct network) + (capacity + 1) * sizeof(struct queue) +
                      buckets * sizeof(struct network *));
    if (networks->entries == NULL || getrandom(networks->seeds, sizeof(networks->seeds), 0) !=
                                         (ssize_t)sizeof(networks->seeds)) {
        networks_free(networks);
        return NULL;
    }
    networks->ranks = (struct queue *)(networks->entries + capacity);
    networks->buckets = (struct network **)(networks->ranks + capacity + 1);
    for (size_t i = 0; i <= ROWS; i++)
        networks->seeds[i][0] |= 1;
    return networks;
}

void networks_free(struct networks *networks)
{
    if (networks == NULL)
        return;
    assert(networks->largest == 0);
    free(networks->entries);
    free(networks);
}

/* IPv4 takes the keys below 2^32. As prefixes they lie in ::/8, which is
 * reserved (RFC 4291 section 2.4), so they are no network of IPv6. */
uint64_t network_key(const struct sockaddr *address)
{
    uint32_t words[4];

    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        return ntohl(v4.sin_addr.s_addr);
    }
    if (address->sa_family != AF_INET6)
        return 0;
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof(v6));
    memcpy(words, &v6.sin6_addr, sizeof(words));
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
        return ntohl(words[3]);
    return (uint64_t)ntohl(words[0]) << 32 | ntohl(words[1]);
}

/* Universal hashing (Dietzfelbinger and others, 1997): whichever keys somebody
 * brings who does not know the seed, two of them meet in a bucket about as
 * seldom as random ones. */
static uint64_t hash_of(const uint64_t seed[static 2], uint64_t key)
{
    return seed[0] * key + seed[1];
}

static struct network **bucket_of(const struct networks *networks, uint64_t key)
{
    return &networks->buckets[hash_of(networks->seeds[0], key) >> networks->shift];
}

struct network *networks_find(const struct networks *networks, uint64_t key)
{
    struct network *network = *bucket_of(networks, key);
    while (network != NULL && network->key != key)
        network = network->next;
    return network;
}

struct network *networks_largest(const struct networks *networks)
{
    return queue_oldest(&networks->ranks[networks->largest]);
}

/* Rank 0 stays empty: a network without members is none. A count changes by one, so the highest rank
 * does so at most. */
static void set_count(struct networks *networks, struct network *network, uint32_t count)
{
    if (network->count > 0)
        queue_leave(&networks->ranks[network->count], &network->rank);
    network->count = count;
    if (count > 0)
        queue_enter(&networks->ranks[count], &network->rank);
    if (count > networks->largest)
        networks->largest = count;
    else if (networks->largest > 0 && networks->ranks[networks->largest].count == 0)
        networks->largest--;
}

static struct network *add(struct networks *networks, uint64_t key)
{
    struct network **bucket = bucket_of(networks, key);
    struct network *network = networks->unused;
    if (network != NULL) {
        networks->unused = network->next;
    } else {
        assert(networks->entered < networks->capacity);
        network = &networks->entries[networks->entered++];
    }
    *network = (struct network){.key = key, .next = *bucket, .rank.owner = network};
    *bucket = network;
    return network;
}

static void remove_network(struct networks *networks, struct network *network)
{
    struct network **link = bucket_of(networks, network->key);
    while (*link != network)
        link = &(*link)->next;
    *link = network->next;
    network->next = networks->unused;
    networks->unused = network;
}

void networks_enter(struct networks *networks, struct network_member *member, uint64_t key)
{
    assert(member->network == NULL);
    member->network = networks_find(networks, key);
    if (member->network == NULL)
        member->network = add(networks, key);
    member->stage = NETWORK_HANDSHAKE;
    queue_enter(&member->network->stages[member->stage], &member->link);
    set_count(networks, member->network, member->network->count + 1);
}

void networks_leave(struct networks *networks, struct network_member *member)
{
    struct network *network = member->network;
    if (network == NULL)
        return;
    queue_leave(&network->stages[member->stage], &member->link);
    member->network = NULL;
    set_count(networks, network, network->count - 1);
    if (network->count == 0)
        remove_network(networks, network);
}

void network_move(struct network_member *member, enum network_stage stage)
{
    if (member->stage == stage)
        return;
    queue_leave(&member->network->stages[member->stage], &member->link);
    member->stage = stage;
    queue_enter(&member->network->stages[stage], &member->link);
}

void networks_begin_round(struct networks *networks)
{
    networks->round++;
}

/* What it has used of its slice in this round, with what it owes from earlier ones. */
static int64_t used_of(const struct networks *networks, const struct network *network)
{
    uint32_t rounds = networks->round - network->round;
    int64_t paid = (int64_t)rounds * LIMIT_NETWORK_SLICE_US;
    return network->used_us > paid ? network->used_us - paid : 0;
}

bool networks_has_time(const struct networks *networks, const struct network *network)
{
    return used_of(networks, network) < LIMIT_NETWORK_SLICE_US;
}

/* One of the places of the network of this level around that of the key. */
static size_t place_of(const struct networks *networks, size_t row, size_t level, uint64_t key)
{
    const unsigned *shifts = key >> IPV4_BITS == 0 ? shifts_v4 : shifts_v6;
    return hash_of(networks->seeds[1 + row], key >> shifts[level]) >> (64 - PLACE_BITS);
}

static uint32_t period_of(int64_t now)
{
    return (uint32_t)(now / LIMIT_USAGE_HALF_MS);
}

static uint32_t used_in(const struct place *place, uint32_t period)
{
    uint32_t elapsed = period - place->period;
    return elapsed < 32 ? place->used >> elapsed : 0;
}

void networks_charge(struct networks *networks, struct network *network, int64_t microseconds,
                     int64_t now)
{
    int64_t owed = used_of(networks, network) + microseconds;
    uint32_t period = period_of(now), most = UINT32_MAX / 2;
    network->used_us = owed < LIMIT_NETWORK_DEBT_US ? owed : LIMIT_NETWORK_DEBT_US;
    network->round = networks->round;
    for (size_t level = 0; level < USAGE_LEVELS; level++) {
        for (size_t row = 0; row < ROWS; row++) {
            size_t index = place_of(networks, row, level, network->key);
            struct place *place = &networks->places[level][row][index];
            uint32_t used = used_in(place, period);
            place->used = microseconds < most - used ? used + (uint32_t)microseconds : most;
            place->period = period;
        }
    }
}

struct usage_rank networks_rank(const struct networks *networks, uint64_t key, int64_t now)
{
    uint32_t period = period_of(now);
    struct usage_rank rank;
    for (size_t level = 0; level < USAGE_LEVELS; level++) {
        rank.used[level] = UINT32_MAX;
        for (size_t row = 0; row < ROWS; row++) {
            size_t index = place_of(networks, row, level, key);
            uint32_t used = used_in(&networks->places[level][row][index], period);
            if (used < rank.used[level])
                rank.used[level] = used;
        }
    }
    return rank;
}

int usage_compare(const struct usage_rank *one, const struct usage_rank *other)
{
    for (size_t level = 0; level < USAGE_LEVELS; level++)
        if (one->used[level] != other->used[level])
            return one->used[level] < other->used[level] ? -1 : 1;
    return 0;
}
