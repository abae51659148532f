/*
 * An arena is memory that is taken piece by piece and given back all at once.
 * What one load of the configuration builds lives in one arena, so no path of
 * an error can leak a part of it. It never lacks memory (base/heap.h).
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/span.h"

struct arena;

/* A new, empty arena; owned. */
struct arena *arena_new(void);

/* Gives every piece back. NULL is legal. */
void arena_free(struct arena *arena);

/* Zeroed memory, aligned for any type, borrowed from the arena until it is
 * freed. size is at least 1. */
void *arena_take(struct arena *arena, size_t size);

/* A NUL-terminated copy of the span; borrowed from the arena. */
char *arena_copy(struct arena *arena, struct span span);

/* A text that is made by the format; borrowed from the arena. */
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

#endif
