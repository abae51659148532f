#include "base/array.h"

#include <string.h>

#include "base/heap.h"

enum { LEAST = 16 }; /* a power of two */

void array_room(void *array, size_t count, size_t size)
{
    void *items;
    if (count > 0 && (count < LEAST || (count & (count - 1)) != 0))
        return; /* it has room up to the next power of two */
    memcpy(&items, array, sizeof(void *));
    items = heap_grow(items, count == 0 ? LEAST : count * 2, size);
    memcpy(array, &items, sizeof(void *));
}
