/*
 * Three primitives, and no others, by libraries that are faster at them than
 * mbedTLS: X25519 (serve/x25519.h, libsodium), ECDSA on P-256 (serve/p256.h,
 * nettle), and the private operation of RSA (serve/rsa.h, nettle and GMP). mbedTLS
 * stays the TLS and X.509 library and does all the rest: other curves, and every
 * check of a signature. Each primitive's header says why its time tells nothing
 * of a secret. This module owns the seam and nothing else; it and serve/tls.c are
 * the only ones of this room that know mbedTLS. The worker runs it; of the commands
 * one that is a TLS client gets X25519 from here too, because the seam is the
 * program's. `make ACCEL=0` leaves it out, and with the system's mbedTLS it is not
 * there.
 *
 * The seam is the linker's. A call from one object of the static mbedTLS to a
 * function in another is given to `__wrap_FUNCTION` here (-Wl,--wrap), which
 * takes on the cases that it knows and hands the others to `__real_FUNCTION`:
 *
 *   mbedtls_psa_ecp_export_public_key    X25519, our public key in TLS 1.3
 *   mbedtls_psa_key_agreement_ecdh       X25519, the shared secret in TLS 1.3
 *   Hacl_Curve25519_crypto_scalarmult    X25519, both of them in TLS 1.2
 *   mbedtls_pk_sign, mbedtls_pk_sign_ext ECDSA on P-256, RSA
 *
 * Why wraps. The ALT hooks of mbedTLS 3.6 replace a whole module, so that what
 * we do not accelerate would be ours as well, and 4.0 has none. A PSA driver, in
 * 3.6 as in 4.x, is entered into dispatch code that is generated: it would need a
 * patched mbedTLS. Wraps need neither and leave the original beside the
 * replacement, so that the tests compare them in one program. In 4.x all of TLS
 * goes through PSA: the first two stay as they are, the third is not called any
 * more, and the last become mbedtls_psa_ecdsa_sign_hash and
 * mbedtls_psa_rsa_sign_hash, which bring keys in the form that the primitives
 * take here. They have the signatures of a driver's entry points: when drivers can
 * be added without a patch, they are one. A renamed function cannot go unseen: the
 * prototypes are mbedTLS' own, or this does not compile.
 *
 * Everything fails closed: what goes wrong in a primitive is the error of the
 * handshake. Nothing is tried again by other means.
 */
#ifndef SERVE_ACCELERATE_H
#define SERVE_ACCELERATE_H

#include <stdbool.h>

#ifdef ACCELERATE
/* Once in each worker, before the first handshake: prepares the libraries and tries each primitive
 * with a known answer. False when one of them is wrong: then nothing must be served. */
bool accelerate_begin(void);
/* Stands in for what libsodium has and nothing here calls (see the Makefile): the program ends. */
_Noreturn void accelerate_unused(void);

#else
static inline bool accelerate_begin(void)
{
    return true;
}
#endif

#endif
