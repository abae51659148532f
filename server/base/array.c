#include "base/array.h"

#include <stdint.h>
#include <stdlib.h>

void *array_room(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    if (*capacity > SIZE_MAX / 2)
        return NULL;
    size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    void *larger = reallocarray(items, wanted, size);
    if (larger != NULL)
        *capacity = wanted;
    return larger;
}
