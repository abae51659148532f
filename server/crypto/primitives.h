/*
 * The primitives, by AWS-LC: bytes in, bytes out, no TLS and nothing of mbedTLS.
 * Whoever does TLS runs them, behind crypto/accelerate.h. What of AWS-LC is proved is
 * said in SECURITY.md; tests/project/test_secrets.py looks by valgrind, with AWS-LC's own
 * marks, for a branch or an index that depends on a secret.
 *
 * crypto/curve.c: X25519, P-256 and P-384, with no state but the constants of a curve.
 * Every point is checked to be on its curve, a peer's before and a product after; X25519
 * refuses a peer whose point has a small order. AWS-LC multiplies secrets by functions in
 * constant time. For nonces it hashes private key and digest into fresh randomness, so
 * that neither a generator that repeats nor one that is known gives the key away.
 *
 * crypto/rsa.c: RSA signatures. What is computed once for a key (its numbers for
 * Montgomery's multiplication, and the blinding) is kept for the last keys, of which
 * there is a bounded number: it is two fifths of the time of a signature. So it has
 * state: that of one process, a worker, which has one thread; nothing of it is there
 * before the worker is forked. The key of an entry is the same as the site's, and goes
 * when its place is taken or the worker ends. AWS-LC exponentiates by windows of fixed
 * width from tables that are read whole; the input is multiplied by a random number that
 * is squared from one signature to the next and drawn anew after 32; each result is
 * raised to the public exponent and compared with the input before it leaves (Boneh,
 * DeMillo, Lipton 1997); a context whose signature failed is dropped. A key is checked
 * whole when it is read.
 *
 * crypto/sha.c: the blocks of SHA-2, around which mbedTLS does everything; HMAC, and what
 * TLS derives by it. No state. Which branch is taken depends on lengths alone, and
 * what was computed on the way is wiped.
 */
#ifndef CRYPTO_PRIMITIVES_H
#define CRYPTO_PRIMITIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "crypto/needs.h"

/* Curves. */

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

/* RSA. */

enum {
    RSA_BITS_LEAST = 512,
    RSA_BITS_MOST = 8192,        /* the largest key that mbedTLS reads */
    RSA_EXPONENT_BITS_MOST = 33, /* of the public one: AWS-LC takes none that is longer */
    RSA_BYTES_MOST = RSA_BITS_MOST / 8,
};

enum rsa_scheme {
    RSA_PKCS1, /* RSASSA-PKCS1-v1_5 */
    RSA_PSS,   /* RSASSA-PSS with MGF1, and a salt as long as the hash */
};

enum rsa_hash {
    RSA_SHA256,
    RSA_SHA384,
    RSA_SHA512,
};

/* A key and what was computed for it. */
struct rsa_context;

/* That of the modulus, borrowed until the next of these three is called; NULL when none is kept. */
struct rsa_context *rsa_find(struct span modulus);

/* Reads a RSAPrivateKey of two primes in DER (RFC 8017 appendix A.1.2) and keeps it in the place of
 * the one that was used longest ago. Borrowed likewise; NULL when the key is unsound, not of such a
 * size, or memory is short. */
struct rsa_context *rsa_keep(struct span der);

/* Forgets all, and wipes it. */
void rsa_forget(void);

/* Returns the length of the signature, which is that of the modulus; 0 when randomness or memory is
 * short or the result is not right: then nothing of it is in ret_signature, and the context is gone.
 * digest has the length of its hash; ret_signature has size bytes. */
size_t rsa_sign(struct rsa_context *context, enum rsa_scheme scheme, enum rsa_hash hash,
                const uint8_t *digest, const struct random *random, uint8_t *ret_signature,
                size_t size);

/* A known answer with a key that is nobody's secret. */
bool rsa_self_test(void);

/* Hashes. */

/* 64 bytes of SHA-256; 128 bytes of SHA-384 and SHA-512. */
void sha256_block(uint32_t state[8], const uint8_t *block);
void sha512_block(uint64_t state[8], const uint8_t *block);

/* The hashes of the cipher suites. */
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

/* The PRF of TLS 1.2 (RFC 5246 section 5). False for a secret above KDF_KEY_MOST. ret_key has len bytes. */
bool kdf_prf(enum kdf_hash hash, struct span secret, struct span label, struct span seed,
             uint8_t *ret_key, size_t len);

/* Known answers of RFC 8448 section 3, for SHA-384 of RFC 4231 section 4.3, and for the PRF the one that
 * the TLS working group's list has (14 September 2009). */
bool kdf_self_test(void);

#endif
