#include "base/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/heap.h"

void table_free(struct table *table)
{
    free(table->buckets);
    *table = (struct table){0};
}

struct sip {
    uint64_t v[4];
};

static uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static void sip_rounds(struct sip *sip, int count)
{
    uint64_t *v = sip->v;
    for (int i = 0; i < count; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static void sip_word(struct sip *sip, uint64_t word)
{
    sip->v[3] ^= word;
    sip_rounds(sip, 1);
    sip->v[0] ^= word;
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012): whoever does not know the seed cannot choose keys that
 * collide. */
static uint64_t keyed_hash_whole(const uint64_t seed[2], struct span key)
{
    struct sip sip = {
        {seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
         seed[0] ^ UINT64_C(0x6c7967656e657261), seed[1] ^ UINT64_C(0x7465646279746573)}};
    uint64_t word = 0;
    size_t whole = key.len / sizeof(word) * sizeof(word);
    for (size_t i = 0; i < whole; i += sizeof(word)) {
        memcpy(&word, key.data + i, sizeof(word));
        sip_word(&sip, word);
    }
    word = 0;
    if (key.len > whole)
        memcpy(&word, key.data + whole, key.len - whole);
    sip_word(&sip, word ^ (uint64_t)key.len << 56);
    sip.v[2] ^= 0xff;
    sip_rounds(&sip, 3);
    return sip.v[0] ^ sip.v[1] ^ sip.v[2] ^ sip.v[3];
}

static uint32_t keyed_hash(const uint64_t seed[2], struct span key)
{
    uint64_t hash = keyed_hash_whole(seed, key);
    return (uint32_t)(hash ^ hash >> 32);
}

/* The kernel gives every program 16 random bytes when it starts; children inherit them. */
static void choose_seed(uint64_t ret_seed[2])
{
    unsigned long at = getauxval(AT_RANDOM);
    const void *bytes = NULL;
    memcpy(&bytes, &at, sizeof(bytes));
    if (bytes != NULL)
        memcpy(ret_seed, bytes, 2 * sizeof(*ret_seed));
}

uint64_t table_hash(struct span key)
{
    uint64_t seed[2] = {0};
    choose_seed(seed);
    return keyed_hash_whole(seed, key);
}

size_t table_find(const struct table *table, struct span key, table_key *key_of, const void *items)
{
    if (table->count == 0)
        return TABLE_NONE;
    size_t mask = table->bucket_count - 1;
    uint32_t hash = keyed_hash(table->seed, key);
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

static void grow(struct table *table)
{
    struct table larger = {
        .bucket_count = table->bucket_count == 0 ? 16 : table->bucket_count * 2,
        .count = table->count,
        .seed = {table->seed[0], table->seed[1]},
    };
    larger.buckets = heap_take(larger.bucket_count, sizeof(*larger.buckets));
    if (table->buckets == NULL)
        choose_seed(larger.seed);
    for (size_t i = 0; table->buckets != NULL && i < table->bucket_count; i++)
        if (table->buckets[i].place != 0)
            put(&larger, table->buckets[i]);
    free(table->buckets);
    *table = larger;
}

void table_add(struct table *table, struct span key, size_t index)
{
    assert(index < UINT32_MAX);
    if ((table->count + 1) * 2 > table->bucket_count)
        grow(table);
    put(table, (struct table_bucket){keyed_hash(table->seed, key), (uint32_t)index + 1});
    table->count++;
}

void table_move(struct table *table, struct span key, size_t from, size_t to)
{
    assert(table->count > 0 && from < UINT32_MAX && to < UINT32_MAX);
    size_t mask = table->bucket_count - 1;
    size_t at = keyed_hash(table->seed, key) & mask;
    while (table->buckets[at].place != (uint32_t)from + 1) {
        assert(table->buckets[at].place != 0);
        at = (at + 1) & mask;
    }
    table->buckets[at].place = (uint32_t)to + 1;
}
