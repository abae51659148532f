/*
 * One block of SHA-256 and SHA-512 by AWS-LC, which has them for what the processor
 * can. mbedTLS does everything around the block. No state; any process runs it,
 * behind crypto/accelerate.h.
 */
#ifndef CRYPTO_SHA_H
#define CRYPTO_SHA_H

#include <stdint.h>

/* 64 bytes of SHA-256; 128 bytes of SHA-384 and SHA-512. */
void sha256_block(uint32_t state[8], const uint8_t *block);
void sha512_block(uint64_t state[8], const uint8_t *block);

#endif
