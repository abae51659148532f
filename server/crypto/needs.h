/*
 * What AWS-LC's module needs of the rest of AWS-LC, which is not compiled: its
 * randomness, and a few functions that nothing here can reach or that only keep a
 * list of errors. AWS-LC's own generator would measure jitter in every process,
 * open a device and lock; here every byte comes from the generator that mbedTLS hands
 * to the operation, which the worker's system call filter allows.
 *
 * The state is one pointer, because AWS-LC passes no context: an operation sets it
 * at its beginning and clears it at its end, in a process of one thread.
 *
 * A generator that fails makes the operation fail: AWS-LC's callers do not look
 * at a result, so what they get is all ones, which is no number below the order of
 * a group or a modulus and is refused as often as they try; and needs_end tells.
 */
#ifndef CRYPTO_NEEDS_H
#define CRYPTO_NEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fills the bytes; false when there is no randomness. */
struct random {
    bool (*fill)(void *context, uint8_t *bytes, size_t len);
    void *context; /* borrowed */
};

/* Before each operation that draws: the generator, borrowed until needs_end. */
void needs_begin(const struct random *random);

/* False when the generator failed since needs_begin: then nothing of the result may be used. */
bool needs_end(void);

#endif
