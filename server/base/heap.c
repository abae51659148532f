#include "base/heap.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

void heap_end(void)
{
    log_line(LOG_LEVEL_ERROR, "out of memory");
    _exit(HEAP_END_STATUS);
}

void *heap_take(size_t count, size_t size)
{
    void *block = calloc(count > 0 ? count : 1, size);
    if (block == NULL)
        heap_end();
    return block;
}

void *heap_grow(void *block, size_t count, size_t size)
{
    void *larger = reallocarray(block, count, size);
    if (larger == NULL)
        heap_end();
    return larger;
}

char *heap_copy(struct span span)
{
    char *copy = heap_take(span.len + 1, 1);
    if (span.len > 0)
        memcpy(copy, span.data, span.len);
    return copy;
}

struct span heap_text(const struct text *text)
{
    if (text->failed)
        heap_end();
    return (struct span){text->data, text->len};
}
