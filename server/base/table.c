#include "base/table.h"

#include <assert.h>
#include <stdlib.h>

void table_free(struct table *table)
{
    free(table->buckets);
    *table = (struct table){0};
}

/* Both halves of the hash, because FNV's low bits alone are its weakest. */
static uint32_t short_hash(struct span key)
{
    uint64_t hash = span_hash(key);
    return (uint32_t)(hash ^ hash >> 32);
}

size_t table_find(const struct table *table, struct span key, table_key *key_of, const void *items)
{
    if (table->count == 0)
        return TABLE_NONE;
    size_t mask = table->bucket_count - 1;
    uint32_t hash = short_hash(key);
    for (size_t at = hash & mask; table->buckets[at].place != 0; at = (at + 1) & mask) {
        size_t index = table->buckets[at].place - 1;
        if (table->buckets[at].hash == hash && span_equal(key_of(items, index), key))
            return index;
    }
    return TABLE_NONE;
}

static void put(struct table *table, struct table_bucket bucket)
{
    size_t mask = table->bucket_count - 1;
    size_t at = bucket.hash & mask;
    while (table->buckets[at].place != 0)
        at = (at + 1) & mask;
    table->buckets[at] = bucket;
}

static bool grow(struct table *table)
{
    struct table larger = {
        .bucket_count = table->bucket_count == 0 ? 16 : table->bucket_count * 2,
        .count = table->count,
    };
    larger.buckets = calloc(larger.bucket_count, sizeof(*larger.buckets));
    if (larger.buckets == NULL)
        return false;
    for (size_t i = 0; i < table->bucket_count; i++)
        if (table->buckets[i].place != 0)
            put(&larger, table->buckets[i]);
    free(table->buckets);
    *table = larger;
    return true;
}

bool table_add(struct table *table, struct span key, size_t index)
{
    assert(index < UINT32_MAX);
    if ((table->count + 1) * 2 > table->bucket_count && !grow(table))
        return false;
    put(table, (struct table_bucket){short_hash(key), (uint32_t)index + 1});
    table->count++;
    return true;
}

void table_move(struct table *table, struct span key, size_t from, size_t to)
{
    assert(table->count > 0 && from < UINT32_MAX && to < UINT32_MAX);
    size_t mask = table->bucket_count - 1;
    size_t at = short_hash(key) & mask;
    while (table->buckets[at].place != (uint32_t)from + 1) {
        assert(table->buckets[at].place != 0);
        at = (at + 1) & mask;
    }
    table->buckets[at].place = (uint32_t)to + 1;
}
