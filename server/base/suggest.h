/*
 * "Did you mean ...?": the nearest of several words. Pure.
 */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stddef.h>

#include "base/span.h"

/* The index of the candidate that a person likely meant by the word, or count
 * when none is near: a third of its letters and one may differ. */
size_t suggest_nearest(struct span word, const char *const *candidates, size_t count);

#endif
