#include "shared/stats.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory_file.h"
#include "base/table.h"

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

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
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
        sum += load(&slot_of(stats, i)->counters[counter]);
    return sum;
}

const struct fetch_records *stats_fetch_records(const struct stats *stats, size_t slot)
{
    return slot < stats->count ? &slot_of(stats, slot)->records : NULL;
}

int64_t stats_gauge(const struct stats *stats, enum stats_gauge gauge)
{
    const struct head *head = stats->head.readable;
    return atomic_load_explicit(&head->gauges[gauge], memory_order_relaxed);
}

void fetch_record_set(char *field, size_t size, struct span text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    for (size_t i = 0; i < len; i++)
        field[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?';
    field[len] = '\0';
}

/* The entry with the key, else a free one, else the oldest. */
static size_t place_of(const struct fetch_records *records, uint64_t key)
{
    size_t oldest = 0;
    for (size_t i = 0; i < LIMIT_FETCH_RECORDS; i++) {
        uint64_t other = load(&records->keys[i]);
        if (other == key || other == 0)
            return i;
        if (load(&records->lasts[i]) < load(&records->lasts[oldest]))
            oldest = i;
    }
    return oldest;
}

/* False when somebody is writing it. */
static bool read_entry(const struct fetch_records *records, size_t index,
                       struct fetch_record *ret_record)
{
    uint64_t words[FETCH_RECORD_WORDS];
    uint64_t turn = atomic_load_explicit(&records->turns[index], memory_order_acquire);
    for (size_t i = 0; i < FETCH_RECORD_WORDS; i++)
        words[i] = load(&records->words[index][i]);
    atomic_thread_fence(memory_order_acquire);
    if (turn % 2 != 0 || load(&records->turns[index]) != turn)
        return false;
    memcpy(ret_record, words, sizeof(*ret_record));
    ret_record->domain[sizeof(ret_record->domain) - 1] = '\0';
    ret_record->agent[sizeof(ret_record->agent) - 1] = '\0';
    ret_record->network[sizeof(ret_record->network) - 1] = '\0';
    ret_record->id[sizeof(ret_record->id) - 1] = '\0';
    return true;
}

/* A worker that dies in the middle leaves an odd turn, which the next one here makes even. */
static void write_entry(struct fetch_records *records, size_t index,
                        const struct fetch_record *record)
{
    uint64_t words[FETCH_RECORD_WORDS] = {0};
    uint64_t turn = load(&records->turns[index]) | 1;
    memcpy(words, record, sizeof(*record));
    store(&records->turns[index], turn);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < FETCH_RECORD_WORDS; i++)
        store(&records->words[index][i], words[i]);
    atomic_store_explicit(&records->turns[index], turn + 1, memory_order_release);
}

void fetch_records_add(struct fetch_records *records, const struct fetch_record *record)
{
    /* Of domain, agent and network; never 0. They come from clients, so the hash is seeded: none can meet
     * another's on purpose. */
    const struct span who = {(const char *)record, offsetof(struct fetch_record, id)};
    uint64_t key = table_hash(who) | 1;
    size_t index = place_of(records, key);
    struct fetch_record noted = *record, before;
    noted.count = 1;
    if (load(&records->keys[index]) == key && read_entry(records, index, &before))
        noted.count = before.count + 1;
    write_entry(records, index, &noted);
    store(&records->domains[index], table_hash(span_of(record->domain)));
    store(&records->lasts[index], (uint64_t)record->last);
    store(&records->keys[index], key);
}

bool fetch_records_next(const struct fetch_records *records, struct span domain, size_t *index,
                        struct fetch_record *ret_record)
{
    uint64_t hash = table_hash(domain);
    while (*index < LIMIT_FETCH_RECORDS) {
        size_t i = (*index)++;
        if (load(&records->keys[i]) != 0 && load(&records->domains[i]) == hash &&
            read_entry(records, i, ret_record) && span_equal(span_of(ret_record->domain), domain))
            return true;
    }
    return false;
}
