/*
 * A hash table from a key to the index of an item in an array that somebody
 * else owns. It holds no keys: whoever owns the items tells the key of an
 * index. Its hash is seeded, so that nobody can choose keys that collide. No
 * item is removed. Used by the loader, the site and the diagnostics;
 * the worker uses the hash.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct table_bucket {
    uint32_t hash;
    uint32_t place; /* index plus 1; 0 when empty */
};

/* Begin with {0}; end with table_free. */
struct table {
    struct table_bucket *buckets; /* owned */
    size_t bucket_count;          /* 0 or a power of two, at least twice count */
    size_t count;
    uint64_t seed[2]; /* of the hash; in the table, so that it is the same wherever the table is */
};

#define TABLE_NONE SIZE_MAX

/* The key of the item at the index; items is what the caller passed. */
typedef struct span table_key(const void *items, size_t index);

/* Defines the one of an array of the type: TABLE_KEY(name_of, struct named, item->name); */
#define TABLE_KEY(function, type, key)                           \
    static struct span function(const void *items, size_t index) \
    {                                                            \
        type const *item = (type const *)items + index;          \
        return key;                                              \
    }                                                            \
    static table_key function

void table_free(struct table *table);

/* The index of the item with the key, or TABLE_NONE. */
size_t table_find(const struct table *table, struct span key, table_key *key_of, const void *items);

/* Adds an index whose key is not in the table yet; below UINT32_MAX. It never lacks memory
 * (base/heap.h). */
void table_add(struct table *table, struct span key, size_t index);

/* The same kind of hash for whoever has a table of another form: the same in this process and in those that
 * are forked from it, another at the next start. */
uint64_t table_hash(struct span key);

/* The key, which is in the table with the index from, is now that of the item at the index to. */
void table_move(struct table *table, struct span key, size_t from, size_t to);

#endif
