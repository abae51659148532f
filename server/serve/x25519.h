/*
 * X25519 by libsodium: the public key of an ephemeral secret, and the secret
 * shared with a peer. Bytes in, bytes out: no state, no TLS, no randomness.
 * Whoever does TLS runs it, behind serve/accelerate.h.
 *
 * Constant time: RFC 7748 section 5 needs neither a branch nor an index that
 * depends on the secret. libsodium computes the public key with the reference
 * implementation of Ed25519's authors (Bernstein, Duif, Lange, Schwabe, Yang:
 * "High-speed high-security signatures", 2012: every table is read whole and
 * the entry is kept by masks; crypto_core/ed25519/ref10) and the shared secret
 * with a Montgomery ladder and conditional swaps by masks (Bernstein:
 * "Curve25519: new Diffie-Hellman speed records", 2006;
 * crypto_scalarmult/curve25519/ref10). Under valgrind, with every bit of the
 * secret marked, only the final comparison with zero depends on it. There is
 * nothing to blind: each secret is used for one public key and one peer, then
 * never again.
 *
 * sodium_init is not called, on purpose: it opens and seeds a generator that
 * nobody here uses, and chooses an implementation by the processor that is twice
 * as slow for public keys. Without it the portable one stands, which the
 * known answers of RFC 7748 try in every worker before its first client.
 */
#ifndef SERVE_X25519_H
#define SERVE_X25519_H

#include <stdbool.h>
#include <stdint.h>

enum { X25519_BYTES = 32 };

/* The arrays have X25519_BYTES. On false, what was returned is all zeros. */
bool x25519_public(const uint8_t *secret, uint8_t *ret_public);

/* False also for a peer whose point has a small order: the result would not
 * depend on the secret (RFC 7748 section 6.1, RFC 8446 section 7.4.2). */
bool x25519_shared(const uint8_t *secret, const uint8_t *peer, uint8_t *ret_shared);

/* The known answers of RFC 7748 section 6.1. */
bool x25519_self_test(void);

#endif
