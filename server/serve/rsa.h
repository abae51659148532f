/*
 * RSA signatures by nettle and GMP: bytes in, bytes out, no state and no TLS. The
 * worker alone runs it, behind serve/accelerate.h.
 *
 * Constant time: the private operation is nettle's rsa_compute_root. By the
 * Chinese remainder theorem it is two exponentiations by mpn_sec_powm, whose time
 * and memory accesses depend on the sizes alone: a window of fixed width, a table
 * that is read whole for each digit, Montgomery reductions with a masked
 * subtraction; around them mpn_sec_mul, mpn_sec_div_r and masked additions (GMP's
 * manual, "Low-level Functions", on cryptography; nettle: rsa-sec-compute-root.c).
 * Under valgrind, with every bit of the primes and exponents marked, no branch
 * depends on them but on the primes' lengths, and three look-ups in small tables
 * with which GMP starts a division: at most the upper eight and the lower eight
 * bits of a prime, of which half would be needed. Loading the key takes ordinary
 * integers, as in GnuTLS, and shows no more than lengths.
 *
 * Blinding: nettle's own blinded function inverts its random number by
 * mpn_sec_invert, which takes as long as the signature itself. So the blinding is
 * done here, in the usual manner (Kocher 1996): the input is multiplied by r^e for
 * a random r of full length, the result by the inverse of r, all by functions
 * whose time tells nothing of r. Only the inversion is an ordinary, fast one; it
 * sees the product of r and a second random number, which tells nothing of r
 * either. Both are drawn anew for each signature and never kept.
 *
 * Faults: a wrong result of one exponentiation would give the key away (Boneh,
 * DeMillo, Lipton 1997). Each result, unblinded, is raised to the public exponent
 * and compared with the input before one byte of it leaves this module (by an
 * ordinary exponentiation: a signature is public).
 */
#ifndef SERVE_RSA_H
#define SERVE_RSA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum {
    RSA_BITS_LEAST = 512,
    RSA_BITS_MOST = 8192, /* the largest key that mbedTLS reads */
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

/* Fills the bytes; false when there is no randomness. */
struct rsa_random {
    bool (*fill)(void *context, uint8_t *bytes, size_t len);
    void *context; /* borrowed */
};

/* The key is a RSAPrivateKey of two primes in DER (RFC 8017 appendix A.1.2). Returns the length of
 * the signature, which is that of the modulus; 0 when the key is unsound or not of such a size,
 * when randomness or memory is short, or when the result is not right, and then nothing of it is
 * in ret_signature. digest has the length of its hash; ret_signature has size bytes. */
size_t rsa_sign(struct span key, enum rsa_scheme scheme, enum rsa_hash hash, const uint8_t *digest,
                const struct rsa_random *random, uint8_t *ret_signature, size_t size);

/* The private operation alone: raises a number below the modulus, as long as the modulus, to the
 * private exponent. The same rules. */
size_t rsa_private(struct span key, const uint8_t *input, const struct rsa_random *random,
                   uint8_t *ret_output, size_t size);

/* Signs with a key of two Mersenne primes, which are nobody's secret. */
bool rsa_self_test(void);

#endif
