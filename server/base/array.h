/*
 * Arrays that grow: items in one block of malloc's, a count and a capacity that
 * their owner keeps. Every process uses it.
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stddef.h>

/* Makes room for one item behind count items of this size. Returns the array,
 * which may have moved (the old one is then gone), or NULL, with nothing
 * changed, when memory is short. */
void *array_room(void *items, size_t count, size_t *capacity, size_t size);

#endif
