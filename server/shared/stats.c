#include "shared/stats.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/memory_file.h"

/* The generation that serves and the one that drains. */
enum { SLOTS = 2 * LIMIT_WORKERS };

/* A lock in memory that a worker can be killed in would hold up all others. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters of 64 bits without a lock");

struct slot {
    _Atomic uint64_t counters[STATS_COUNTERS];
    struct fetch_records records;
};

/* What the supervisor alone writes. */
struct head {
    _Atomic int64_t gauges[STATS_GAUGES];
};

/* The head and each slot are memory by themselves, so that a worker can keep its own and give up every
 * other, and that there are only as many slots as workers have needed. */
struct stats {
    struct shared_memory head;
    struct shared_memory slots[SLOTS];
    size_t count;     /* slots that are there; in a worker: those that were when it was forked */
    struct slot *own; /* a worker's; NULL in the supervisor */
};

static const struct head *head_of(const struct stats *stats)
{
    return stats->head.readable;
}

static const struct slot *slot_of(const struct stats *stats, size_t slot)
{
    return stats->slots[slot].readable;
}

struct stats *stats_new(void)
{
    struct stats *stats = calloc(1, sizeof(*stats));
    if (stats != NULL && shared_memory_new(sizeof(struct head), &stats->head))
        return stats;
    free(stats);
    return NULL;
}

void stats_free(struct stats *stats)
{
    if (stats == NULL)
        return;
    for (size_t i = 0; i < stats->count; i++)
        shared_memory_free(&stats->slots[i]);
    shared_memory_free(&stats->head);
    free(stats);
}

bool stats_reserve(struct stats *stats, size_t workers)
{
    assert(workers <= LIMIT_WORKERS);
    for (; stats->count < 2 * workers; stats->count++)
        if (!shared_memory_new(sizeof(struct slot), &stats->slots[stats->count]))
            return false;
    return true;
}

void stats_end_worker(struct stats *stats, size_t slot)
{
    assert(slot < stats->count);
    struct slot *ended = stats->slots[slot].writable;
    atomic_store_explicit(&ended->counters[STATS_CONNECTIONS], 0, memory_order_relaxed);
}

void stats_set(struct stats *stats, enum stats_gauge gauge, int64_t value)
{
    struct head *head = stats->head.writable;
    atomic_store_explicit(&head->gauges[gauge], value, memory_order_relaxed);
}

void stats_add(struct stats *stats, enum stats_gauge gauge)
{
    struct head *head = stats->head.writable;
    (void)atomic_fetch_add_explicit(&head->gauges[gauge], 1, memory_order_relaxed);
}

bool stats_attach(struct stats *stats, size_t slot)
{
    assert(slot < stats->count && stats->own == NULL);
    if (!shared_memory_give_up(&stats->head))
        return false;
    for (size_t i = 0; i < stats->count; i++)
        if (i != slot && !shared_memory_give_up(&stats->slots[i]))
            return false;
    stats->own = stats->slots[slot].writable;
    return true;
}

void stats_count(struct stats *stats, enum stats_counter counter)
{
    if (stats != NULL)
        (void)atomic_fetch_add_explicit(&stats->own->counters[counter], 1, memory_order_relaxed);
}

void stats_record_fetch(struct stats *stats, const struct fetch_record *record)
{
    if (stats != NULL)
        fetch_records_add(&stats->own->records, record);
}

void stats_set_connections(struct stats *stats, size_t connections)
{
    if (stats != NULL)
        atomic_store_explicit(&stats->own->counters[STATS_CONNECTIONS], connections,
                              memory_order_relaxed);
}

uint64_t stats_sum(const struct stats *stats, enum stats_counter counter)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < stats->count; i++)
        sum += atomic_load_explicit(&slot_of(stats, i)->counters[counter], memory_order_relaxed);
    return sum;
}

const struct fetch_records *stats_fetch_records(const struct stats *stats, size_t slot)
{
    return slot < stats->count ? &slot_of(stats, slot)->records : NULL;
}

int64_t stats_gauge(const struct stats *stats, enum stats_gauge gauge)
{
    return atomic_load_explicit(&head_of(stats)->gauges[gauge], memory_order_relaxed);
}
