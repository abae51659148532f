#include "serve/networks.h"

#include <stdlib.h>
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

struct usage {
    uint64_t seeds[ROWS][2]; /* the first one of each is odd */
    struct place places[USAGE_LEVELS][ROWS][PLACES];
};

/* Bits of the key that a network of each level leaves out. */
static const unsigned shifts_v4[USAGE_LEVELS] = {16, 8, 0};
static const unsigned shifts_v6[USAGE_LEVELS] = {32, 16, 0};

struct usage *usage_new(void)
{
    /* So large that it comes from the kernel: pages that were never touched cost nothing. */
    struct usage *usage = calloc(1, sizeof(*usage));
    if (usage == NULL)
        return NULL;
    if (getrandom(usage->seeds, sizeof(usage->seeds), 0) != (ssize_t)sizeof(usage->seeds)) {
        usage_free(usage);
        return NULL;
    }
    for (size_t row = 0; row < ROWS; row++)
        usage->seeds[row][0] |= 1;
    return usage;
}

void usage_free(struct usage *usage)
{
    free(usage);
}

/* Universal hashing, as in serve/networks.c. */
static size_t place_of(const struct usage *usage, size_t row, size_t level, uint64_t key)
{
    const unsigned *shifts = key >> IPV4_BITS == 0 ? shifts_v4 : shifts_v6;
    uint64_t hash = usage->seeds[row][0] * (key >> shifts[level]) + usage->seeds[row][1];
    return hash >> (64 - PLACE_BITS);
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

void usage_add(struct usage *usage, uint64_t key, int64_t microseconds, int64_t now)
{
    uint32_t period = period_of(now);
    uint32_t most = UINT32_MAX / 2;
    for (size_t level = 0; level < USAGE_LEVELS; level++) {
        for (size_t row = 0; row < ROWS; row++) {
            struct place *place = &usage->places[level][row][place_of(usage, row, level, key)];
            uint32_t used = used_in(place, period);
            place->used = microseconds < most - used ? used + (uint32_t)microseconds : most;
            place->period = period;
        }
    }
}

struct usage_rank usage_of(const struct usage *usage, uint64_t key, int64_t now)
{
    uint32_t period = period_of(now);
    struct usage_rank rank;
    for (size_t level = 0; level < USAGE_LEVELS; level++) {
        rank.used[level] = UINT32_MAX;
        for (size_t row = 0; row < ROWS; row++) {
            size_t place = place_of(usage, row, level, key);
            uint32_t used = used_in(&usage->places[level][row][place], period);
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
