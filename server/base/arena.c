#include "base/arena.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"

/* The first block is small, so that a small configuration stays small; each is
 * twice as large as the one before, up to one that goes back to the kernel as
 * soon as it is freed. */
static const size_t BLOCK_LEAST = 16 * 1024;
static const size_t BLOCK_MOST = 1024 * 1024;

struct block {
    struct block *next;
    size_t size; /* bytes in data */
    size_t used; /* bytes taken */
    max_align_t data[];
};

struct arena {
    struct block *blocks; /* owned; the first one is the one being filled */
    size_t next_size;     /* of the next block */
};

struct arena *arena_new(void)
{
    struct arena *arena = heap_take(1, sizeof(*arena));
    arena->next_size = BLOCK_LEAST;
    return arena;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (struct block *block = arena->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(arena);
}

static struct block *block_add(struct arena *arena, size_t size)
{
    struct block *block = heap_take(1, sizeof(*block) + size);
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_take(struct arena *arena, size_t size)
{
    assert(size > 0 && size < PTRDIFF_MAX);
    size_t rounded = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct block *block = arena->blocks;
    if (block == NULL || block->size - block->used < rounded) {
        size_t usual = arena->next_size;
        if (usual < BLOCK_MOST)
            arena->next_size *= 2;
        block = block_add(arena, rounded > usual ? rounded : usual);
    }
    void *piece = (char *)block->data + block->used;
    block->used += rounded;
    return piece;
}

char *arena_copy(struct arena *arena, struct span span)
{
    char *copy = arena_take(arena, span.len + 1);
    if (span.len > 0)
        memcpy(copy, span.data, span.len);
    return copy;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list arguments)
{
    va_list measure;
    va_copy(measure, arguments);
    int len = vsnprintf(NULL, 0, format, measure);
    va_end(measure);
    if (len < 0) /* it is longer than INT_MAX */
        heap_end();
    char *copy = arena_take(arena, (size_t)len + 1);
    (void)vsnprintf(copy, (size_t)len + 1, format, arguments); /* measured */
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *copy = arena_vprintf(arena, format, arguments);
    va_end(arguments);
    return copy;
}
