/*
 * Arrays that grow: items in one block of malloc's, a count and a capacity that
 * their owner keeps. It never lacks memory (base/heap.h).
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stddef.h>

/* Makes room for one item behind count items of this size. array points to the pointer to the first
 * item, of any type, which may change. */
void array_room(void *array, size_t count, size_t *capacity, size_t size);

/* The place of one item more, which is counted; to be assigned to. Its value must not come from a call that
 * adds to the same array. */
#define ARRAY_ADD(items, count, capacity) \
    (array_room(&(items), (count), &(capacity), sizeof(*(items))), &(items)[(count)++])

#endif
