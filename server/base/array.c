#include "base/array.h"

#include <string.h>

#include "base/heap.h"

void array_room(void *array, size_t count, size_t *capacity, size_t size)
{
    void *items;
    if (count < *capacity)
        return;
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    memcpy(&items, array, sizeof(void *));
    items = heap_grow(items, *capacity, size);
    memcpy(array, &items, sizeof(void *));
}
