/*
 * Neither chance nor the clock: from chance_begin to chance_end the generator of
 * the TLS library is fed with the same bytes each time, and so is who asks the
 * kernel for randomness; the wall clock stands still. This module stands in
 * front of the functions of mbedTLS and the C library that would know better.
 */
#ifndef CHANCE_H
#define CHANCE_H

#include <stddef.h>

void chance_begin(void);
void chance_end(void);

/* The next bytes that look random; never fails. context is not used. For mbedTLS. */
int chance_random(void *context, unsigned char *output, size_t len);

#endif
