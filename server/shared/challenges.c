#include "shared/challenges.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/memory_file.h"

/* A reader that was overtaken so often gives up: nobody publishes in such haste. */
enum { TRIES = 100 };

/* Where the bytes of a challenge begin: name, answer and key follow each other. */
struct entry {
    _Atomic uint32_t kind;
    _Atomic uint32_t begin;
    _Atomic uint32_t name_len;
    _Atomic uint32_t answer_len;
    _Atomic uint32_t key_len;
};

struct half {
    _Atomic uint32_t count;
    struct entry entries[LIMIT_CHALLENGES];
    _Atomic unsigned char bytes[LIMIT_CHALLENGES_BYTES];
};

/* The half of an even number is read while the sequence is even. The other one is written, and only
 * then the sequence goes on: so a reader has been disturbed exactly when the sequence has changed.
 * Every access is atomic, and relaxed but for the sequence, so that a disturbed reader reads old
 * and new bytes and never what no one has written. Pages that nobody uses cost nothing. */
struct shared {
    _Atomic uint64_t sequence;
    struct half halves[2];
};

struct challenges {
    struct shared_memory memory;
};

static const struct shared *shared_of(const struct challenges *challenges)
{
    return challenges->memory.readable;
}

static uint32_t get(const _Atomic uint32_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint32_t *value, size_t number)
{
    atomic_store_explicit(value, (uint32_t)number, memory_order_relaxed);
}

struct challenges *challenges_new(void)
{
    struct challenges *challenges = calloc(1, sizeof(*challenges));
    if (challenges == NULL)
        return NULL;
    if (shared_memory_new(sizeof(struct shared), &challenges->memory))
        return challenges; /* zero bytes: no challenge */
    free(challenges);
    return NULL;
}

void challenges_free(struct challenges *challenges)
{
    if (challenges == NULL)
        return;
    shared_memory_free(&challenges->memory);
    free(challenges);
}

bool challenges_protect(struct challenges *challenges)
{
    return shared_memory_give_up(&challenges->memory);
}

static uint32_t write_bytes(struct half *half, uint32_t end, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        atomic_store_explicit(&half->bytes[end + i], (unsigned char)bytes.data[i],
                              memory_order_relaxed);
    return end + (uint32_t)bytes.len;
}

size_t challenges_publish(struct challenges *challenges, const struct challenge *items,
                          size_t count)
{
    struct shared *shared = challenges->memory.writable;
    assert(shared != NULL); /* who has given it up publishes nothing */
    uint64_t next = atomic_load_explicit(&shared->sequence, memory_order_relaxed) + 1;
    struct half *half = &shared->halves[next % 2];
    size_t taken = 0;
    uint32_t end = 0;

    /* Who sees one of the bytes below sees the sequence above, too. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < count && taken < LIMIT_CHALLENGES; i++) {
        const struct challenge *item = &items[i];
        size_t len = item->name.len + item->answer.len + item->key.len;
        if (len > LIMIT_CHALLENGE || len > LIMIT_CHALLENGES_BYTES - end)
            continue;
        struct entry *entry = &half->entries[taken++];
        set(&entry->kind, item->kind);
        set(&entry->begin, end);
        set(&entry->name_len, item->name.len);
        set(&entry->answer_len, item->answer.len);
        set(&entry->key_len, item->key.len);
        end = write_bytes(half, end, item->name);
        end = write_bytes(half, end, item->answer);
        end = write_bytes(half, end, item->key);
    }
    set(&half->count, taken);
    atomic_store_explicit(&shared->sequence, next, memory_order_release);
    return taken;
}

static const struct half *current(const struct challenges *challenges, uint64_t *ret_sequence)
{
    const struct shared *shared = shared_of(challenges);
    *ret_sequence = atomic_load_explicit(&shared->sequence, memory_order_acquire);
    return &shared->halves[*ret_sequence % 2];
}

bool challenges_pending(const struct challenges *challenges, enum challenge_kind kind)
{
    uint64_t sequence;
    const struct half *half = challenges == NULL ? NULL : current(challenges, &sequence);
    for (size_t i = 0; half != NULL && i < get(&half->count) && i < LIMIT_CHALLENGES; i++)
        if (get(&half->entries[i].kind) == kind)
            return true;
    return false;
}

static bool is_named(const struct half *half, uint32_t begin, struct span name, bool fold)
{
    for (size_t i = 0; i < name.len; i++) {
        char byte = (char)atomic_load_explicit(&half->bytes[begin + i], memory_order_relaxed);
        if (fold ? ascii_lower(byte) != ascii_lower(name.data[i]) : byte != name.data[i])
            return false;
    }
    return true;
}

/* Whatever a disturbed reader finds, it stays within the memory. */
static bool take(const struct half *half, const struct entry *entry, enum challenge_kind kind,
                 struct span name, struct challenge_answer *ret_answer)
{
    size_t begin = get(&entry->begin), name_len = get(&entry->name_len);
    size_t answer_len = get(&entry->answer_len), key_len = get(&entry->key_len);

    if (get(&entry->kind) != kind || name_len != name.len || answer_len > LIMIT_CHALLENGE ||
        key_len > LIMIT_CHALLENGE - answer_len ||
        begin + name_len + answer_len + key_len > LIMIT_CHALLENGES_BYTES ||
        !is_named(half, (uint32_t)begin, name, kind == CHALLENGE_ALPN))
        return false;
    ret_answer->answer_len = answer_len;
    ret_answer->key_len = key_len;
    for (size_t i = 0; i < answer_len + key_len; i++)
        ret_answer->bytes[i] =
            atomic_load_explicit(&half->bytes[begin + name_len + i], memory_order_relaxed);
    return true;
}

static bool search(const struct half *half, enum challenge_kind kind, struct span name,
                   struct challenge_answer *ret_answer)
{
    for (size_t i = 0; i < get(&half->count) && i < LIMIT_CHALLENGES; i++)
        if (take(half, &half->entries[i], kind, name, ret_answer))
            return true;
    return false;
}

bool challenges_find(const struct challenges *challenges, enum challenge_kind kind,
                     struct span name, struct challenge_answer *ret_answer)
{
    for (int i = 0; i < TRIES && challenges != NULL && name.len <= LIMIT_CHALLENGE; i++) {
        uint64_t sequence;
        const struct half *half = current(challenges, &sequence);
        bool found = search(half, kind, name, ret_answer);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&shared_of(challenges)->sequence, memory_order_relaxed) ==
            sequence)
            return found;
    }
    return false;
}
