#include "base/array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool array_room(void *array, size_t count, size_t *capacity, size_t size)
{
    void *items, *more;
    if (count < *capacity)
        return true;
    if (*capacity > SIZE_MAX / 2)
        return false;
    size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    memcpy(&items, array, sizeof(void *));
    more = reallocarray(items, wanted, size);
    if (more == NULL)
        return false;
    memcpy(array, &more, sizeof(void *));
    *capacity = wanted;
    /* cppcheck-suppress memleak ; the pointer of the array has it now */
    return true;
}
