#include "shared/stats.h"

#include <stdatomic.h>
#include <string.h>

#include "base/table.h"

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

void fetch_record_set(char *field, size_t size, struct span text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    for (size_t i = 0; i < len; i++)
        field[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?';
    field[len] = '\0';
}

/* Never 0. The parts come from clients, so the hash is seeded: none can meet another's on purpose. */
static uint64_t key_of(const struct fetch_record *visit)
{
    const char *parts[] = {visit->domain, visit->agent, visit->network};
    char whole[sizeof(visit->domain) + sizeof(visit->agent) + sizeof(visit->network)];
    size_t len = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t size = strlen(parts[i]) + 1; /* with the NUL, which is in no part */
        memcpy(whole + len, parts[i], size);
        len += size;
    }
    return table_hash((struct span){whole, len}) | 1;
}

/* The entry with the key, else a free one, else the oldest. */
static size_t place_of(const struct fetch_records *visits, uint64_t key)
{
    size_t oldest = 0;
    for (size_t i = 0; i < LIMIT_FETCH_RECORDS; i++) {
        uint64_t other = load(&visits->keys[i]);
        if (other == key || other == 0)
            return i;
        if (atomic_load_explicit(&visits->lasts[i], memory_order_relaxed) <
            atomic_load_explicit(&visits->lasts[oldest], memory_order_relaxed))
            oldest = i;
    }
    return oldest;
}

/* False when somebody is writing it. */
static bool read_entry(const struct fetch_records *visits, size_t index,
                       struct fetch_record *ret_visit)
{
    uint64_t words[FETCH_RECORD_WORDS];
    uint64_t turn = atomic_load_explicit(&visits->turns[index], memory_order_acquire);
    for (size_t i = 0; i < FETCH_RECORD_WORDS; i++)
        words[i] = load(&visits->words[index][i]);
    atomic_thread_fence(memory_order_acquire);
    if (turn % 2 != 0 || load(&visits->turns[index]) != turn)
        return false;
    memcpy(ret_visit, words, sizeof(*ret_visit));
    ret_visit->domain[sizeof(ret_visit->domain) - 1] = '\0';
    ret_visit->agent[sizeof(ret_visit->agent) - 1] = '\0';
    ret_visit->network[sizeof(ret_visit->network) - 1] = '\0';
    ret_visit->id[sizeof(ret_visit->id) - 1] = '\0';
    return true;
}

/* A worker that dies in the middle leaves an odd turn, which the next one here makes even. */
static void write_entry(struct fetch_records *visits, size_t index,
                        const struct fetch_record *visit)
{
    uint64_t words[FETCH_RECORD_WORDS] = {0};
    uint64_t turn = load(&visits->turns[index]) | 1;
    memcpy(words, visit, sizeof(*visit));
    store(&visits->turns[index], turn);
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < FETCH_RECORD_WORDS; i++)
        store(&visits->words[index][i], words[i]);
    atomic_store_explicit(&visits->turns[index], turn + 1, memory_order_release);
}

void fetch_records_add(struct fetch_records *visits, const struct fetch_record *visit)
{
    uint64_t key = key_of(visit);
    size_t index = place_of(visits, key);
    struct fetch_record noted = *visit, before;
    noted.count = 1;
    if (load(&visits->keys[index]) == key && read_entry(visits, index, &before))
        noted.count = before.count + 1;
    write_entry(visits, index, &noted);
    store(&visits->domains[index], table_hash(span_of(visit->domain)));
    atomic_store_explicit(&visits->lasts[index], visit->last, memory_order_relaxed);
    store(&visits->keys[index], key);
}

bool fetch_records_next(const struct fetch_records *visits, struct span domain, size_t *index,
                        struct fetch_record *ret_visit)
{
    uint64_t hash = table_hash(domain);
    while (*index < LIMIT_FETCH_RECORDS) {
        size_t i = (*index)++;
        if (load(&visits->keys[i]) != 0 && load(&visits->domains[i]) == hash &&
            read_entry(visits, i, ret_visit) && span_equal(span_of(ret_visit->domain), domain))
            return true;
    }
    return false;
}
