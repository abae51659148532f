#include "serve/gmp_memory.h"

#include <gmp.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* RSA takes at most 8 bytes for each bit of its modulus, as measured from 1,024 to 8,192. */
    BYTES_A_BIT = 12,
    BYTES_LEAST = 16384,
};

/* Asked for beforehand, so it cannot fail but by a mistake of ours. */
static void *reserve(size_t size)
{
    void *bytes = malloc(size);

    if (bytes == NULL)
        abort();
    return bytes;
}

/* nettle says how many words, not how many bytes, when it gives an array back; malloc knows. */
static void release(void *bytes, size_t size)
{
    (void)size;
    explicit_bzero(bytes, malloc_usable_size(bytes));
    free(bytes);
}

static void *resize(void *bytes, size_t size, size_t wanted)
{
    void *moved = reserve(wanted);
    size_t have = malloc_usable_size(bytes);

    memcpy(moved, bytes, have < wanted ? have : wanted);
    release(bytes, size);
    return moved;
}

void gmp_memory_begin(void)
{
    mp_set_memory_functions(reserve, resize, release);
}

bool gmp_memory_suffices(size_t bits)
{
    /* Volatile, or the compiler may leave out a pair of calls whose memory nobody uses. */
    void *volatile room = malloc(bits * BYTES_A_BIT + BYTES_LEAST);

    if (room == NULL)
        return false;
    free(room);
    return true;
}
