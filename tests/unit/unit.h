/*
 * What every unit test needs: cmocka with the headers it wants before it, and
 * input that ends at a guard page, so that reading one byte too far is a crash.
 */
#ifndef UNIT_H
#define UNIT_H

/* cmocka needs these four, in this order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/span.h"

/* A copy of the bytes right before a page that cannot be read; owned, end it with guard_free. */
struct span guard_copy(struct span bytes);
void guard_free(struct span bytes);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
