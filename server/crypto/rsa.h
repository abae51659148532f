/*
 * RSA signatures by AWS-LC: bytes in, bytes out, no TLS. What it computes once for
 * a key (its numbers for Montgomery's multiplication, and the blinding) is kept for
 * the last keys, of which there is a bounded number: it is two fifths of the time of
 * a signature. So this module has state: that of one process, a worker, which has
 * one thread; nothing of it is there before the worker is forked. The key of an
 * entry is the same as the site's, and goes when its place is taken or the worker
 * ends.
 *
 * Constant time: AWS-LC exponentiates by windows of fixed width from tables that are
 * read whole. Blinding: the input is multiplied by a random number that is squared
 * from one signature to the next and drawn anew after 32. Faults: AWS-LC raises each
 * result to the public exponent and compares it with the input before it leaves
 * (Boneh, DeMillo, Lipton 1997); a context whose signature failed is dropped. A key
 * is checked whole when it is read.
 */
#ifndef CRYPTO_RSA_H
#define CRYPTO_RSA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "crypto/needs.h"

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

#endif
