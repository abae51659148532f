/*
 * Arrays that grow: items in one block of malloc's and a count that their owner keeps. How many there is
 * room for follows from the count, so nothing else may take or change the block. It never lacks memory
 * (base/heap.h).
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stddef.h>

/* Makes room for one item behind count items of this size. array points to the pointer to the first
 * item, of any type, which may change. */
void array_room(void *array, size_t count, size_t size);

/* The place of one item more, which is counted; to be assigned to. Its value must not come from a call that
 * adds to the same array. */
#define ARRAY_ADD(items, count) \
    (array_room(&(items), (count), sizeof(*(items))), &(items)[(count)++])

#endif
