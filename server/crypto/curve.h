/*
 * X25519, P-256 and P-384 by AWS-LC: the public key of a secret, the product of a
 * secret and a peer's point, and ECDSA on the latter two. Bytes in, bytes out: no
 * TLS, and no state but AWS-LC's constants of a curve. Whoever does TLS runs it,
 * behind crypto/accelerate.h.
 *
 * Constant time: AWS-LC multiplies secrets by functions without a branch or an
 * index that depends on them, and marks its own for the same check by valgrind
 * that tests/project/test_secrets.py does on this module. What of it is proved is said
 * in SECURITY.md. Every point is checked to be on its curve, a peer's before and a
 * product after; X25519 refuses a peer whose point has a small order.
 *
 * Nonces: AWS-LC hashes private key and digest into fresh randomness, so that
 * neither a generator that repeats nor one that is known gives the key away.
 */
#ifndef CRYPTO_CURVE_H
#define CRYPTO_CURVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/needs.h"

enum curve {
    CURVE_X25519,
    CURVE_P256,
    CURVE_P384,
    CURVE_COUNT,
};

enum {
    CURVE_SECRET_MOST = 48,
    CURVE_POINT_MOST = 1 + 2 * CURVE_SECRET_MOST,
    CURVE_SIGNATURE_MOST = 2 * CURVE_SECRET_MOST,
};

/* Of a secret, of a coordinate, and of each half of a signature. */
size_t curve_secret_len(enum curve curve);

/* Of a point: X25519 has one coordinate, the others are 4, x and y (SEC 1 section 2.3.3). */
size_t curve_point_len(enum curve curve);

/* Where a point's first coordinate begins. */
size_t curve_x_offset(enum curve curve);

/* False, with zeros, for a secret that is 0 or not below the order, and when memory is short. */
bool curve_public(enum curve curve, const uint8_t *secret, uint8_t *ret_point);

/* The same, and false for a point that is none or has a small order (RFC 7748 section 6.1). */
bool curve_multiply(enum curve curve, const uint8_t *secret, const uint8_t *point,
                    uint8_t *ret_point);

/* Signs a hash; of one longer than the order its beginning counts (FIPS 186-4 section 6.4).
 * ret_signature is r and s. False, with zeros, also when there is no randomness. */
bool curve_sign(enum curve curve, const uint8_t *secret, const uint8_t *hash, size_t hash_len,
                const struct random *random, uint8_t *ret_signature);

/* The same with a nonce, which must never be used for a key that is a secret. */
bool curve_sign_known(enum curve curve, const uint8_t *secret, const uint8_t *hash, size_t hash_len,
                      const uint8_t *nonce, uint8_t *ret_signature);

/* Known answers of RFC 7748 section 6.1 and RFC 6979 appendices A.2.5 and A.2.6. */
bool curve_self_test(void);

#endif
