/*
 * SHA-256, 384 and 512 by AWS-LC, which has them for what the processor can: one
 * block, around which mbedTLS does everything, and HMAC with what TLS 1.3 derives
 * by it. No state; any process runs it, behind crypto/accelerate.h.
 *
 * Constant time: which branch is taken depends on lengths alone. What was computed
 * on the way is wiped.
 */
#ifndef CRYPTO_SHA_H
#define CRYPTO_SHA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* 64 bytes of SHA-256; 128 bytes of SHA-384 and SHA-512. */
void sha256_block(uint32_t state[8], const uint8_t *block);
void sha512_block(uint64_t state[8], const uint8_t *block);

/* The hashes of TLS 1.3's cipher suites. */
enum kdf_hash {
    KDF_SHA256,
    KDF_SHA384,
    KDF_COUNT,
};

enum {
    KDF_LEN_MOST = 48,
    KDF_KEY_MOST = 64,     /* of HMAC's keys: a block of SHA-256. Bytes */
    KDF_LABEL_MOST = 64,   /* without "tls13 "; TLS itself has none above 12. Bytes */
    KDF_CONTEXT_MOST = 64, /* a hash. Bytes */
};

/* Of a hash. Bytes. */
size_t kdf_len(enum kdf_hash hash);

/* HMAC (RFC 2104). False for a key above KDF_KEY_MOST. ret_mac has kdf_len bytes. */
bool kdf_hmac(enum kdf_hash hash, struct span key, struct span message, uint8_t *ret_mac);

/* HKDF-Expand-Label (RFC 8446 section 7.1). False for what is longer than named above, and for more
 * than 255 hashes. ret_key has len bytes. */
bool kdf_expand_label(enum kdf_hash hash, struct span secret, struct span label,
                      struct span context, uint8_t *ret_key, size_t len);

/* The next secret of TLS 1.3's key schedule (RFC 8446 section 7.1): HKDF-Extract of the input with what
 * is derived from the secret before as salt. Either is left out with a length of 0: then it is zeros.
 * False for lengths that are not those of hashes or keys. ret_secret has kdf_len bytes. */
bool kdf_next_secret(enum kdf_hash hash, struct span secret, struct span input,
                     uint8_t *ret_secret);

/* Known answers of RFC 8448 section 3, and for SHA-384 of RFC 4231 section 4.3. */
bool kdf_self_test(void);

#endif
