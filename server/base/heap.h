/*
 * Memory of a process that ends for want of it: the loader, the watcher and the commands. It never
 * returns NULL, so whoever takes memory here has no error to handle. Workers and the supervisor must go
 * on without memory, and never call it.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>

#include "base/span.h"
#include "base/text.h"

/* The exit status of a process that ended for want of memory. It is that of a command that failed; a
 * loader that fails for another reason has another one. */
enum { HEAP_END_STATUS = 1 };

/* Logs that there is no memory, and ends the process at once. */
_Noreturn void heap_end(void);

/* Zeroed memory for count items of the size, of malloc's; owned. There may be none: count may be 0. */
void *heap_take(size_t count, size_t size);

/* The block of malloc's, or NULL, with room for count items of the size. The rest is not zeroed. */
void *heap_grow(void *block, size_t count, size_t size);

/* A NUL-terminated copy; owned. */
char *heap_copy(struct span span);

/* What was appended to the text, which ends the process when a part is missing; borrowed. */
struct span heap_text(const struct text *text);

#endif
