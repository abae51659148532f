/*
 * ECDSA signatures on P-256 by nettle: bytes in, bytes out, no state and no TLS.
 * The worker alone runs it, behind serve/accelerate.h.
 *
 * Constant time: nettle multiplies the generator by reading every entry of its
 * table and keeping one by masks, adds with formulas that have no branch on the
 * scalar, inverts the nonce in a fixed number of masked steps, and reduces with
 * conditional additions by masks (nettle: ecc-mul-g.c, sec-tabselect.c,
 * ecc-mod-inv.c, ecc-ecdsa-sign.c; its manual, "Side-channel silence"), on GMP's
 * functions for cryptography (its manual, "Low-level Functions"). Under valgrind,
 * with every bit of key and nonce marked, only assertions that always hold depend
 * on them, and the rejection of a nonce above the order, which tells of a number
 * that is not used. The private key passes through an ordinary GMP integer when
 * it is loaded, as in GnuTLS: that can show how many leading words of it are zero
 * or equal to the order's.
 *
 * In place of blinding: a nonce that repeats, or that is partly known, gives the
 * private key away, and nettle takes nonces as they come. So they come from HMAC-DRBG
 * over the private key and the hash exactly as in RFC 6979 section 3.2, with
 * fresh randomness added as in its section 3.6 ("additional data"; the same as
 * the hedged signatures of draft-irtf-cfrg-det-sigs-with-noise). A generator that
 * fails or repeats leaves RFC 6979, and a fault that an attacker provokes in one of
 * two computations over the same hash meets two different nonces.
 */
#ifndef SERVE_P256_H
#define SERVE_P256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    P256_KEY_BYTES = 32,
    P256_SIGNATURE_BYTES = 64,
    P256_FRESH_BYTES = 32, /* as much randomness as the key has is enough */
};

/* Signs a hash of 20 to 64 bytes: of a longer one than 32 the first 32 count (FIPS 186-4
 * section 6.4). fresh is NULL or has P256_FRESH_BYTES; without it the signature is that of RFC
 * 6979 with SHA-256. ret_signature has P256_SIGNATURE_BYTES, r and s; on false it is all zeros. */
bool p256_sign(const uint8_t *key, const uint8_t *hash, size_t hash_len, const uint8_t *fresh,
               uint8_t *ret_signature);

/* The known answer of RFC 6979 appendix A.2.5 for SHA-256 and "sample". */
bool p256_self_test(void);

#endif
