/*
 * Input for tests of cryptography: known answers in hexadecimal digits, and bytes
 * that look random and are the same in every run, so that a case which fails can
 * be looked at again.
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    uint64_t state;
};

void samples_fill(struct samples *samples, void *bytes, size_t len);

/* The same as a generator of mbedTLS; context is a struct samples. */
int samples_random(void *context, unsigned char *bytes, size_t len);

/* Reads len bytes of hexadecimal digits; fails the test if there are more or fewer. */
void samples_hex(const char *text, uint8_t *ret_bytes, size_t len);

#endif
