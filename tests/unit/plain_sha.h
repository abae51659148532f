/*
 * SHA-256, 384 and 512 by mbedTLS' own code, compiled under other names: in the
 * program a part of it is AWS-LC's, and the tests compare the two.
 */
#ifndef PLAIN_SHA_H
#define PLAIN_SHA_H

#include <stddef.h>
#include <stdint.h>

#ifdef ACCELERATE
void plain_sha256(const uint8_t *message, size_t len, uint8_t *ret_digest);
void plain_sha512(const uint8_t *message, size_t len, uint8_t *ret_digest, int is_384);
#endif

#endif
