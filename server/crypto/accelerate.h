/*
 * The cryptography that a handshake's time goes into, by AWS-LC's libcrypto
 * (crypto/primitives.h), and no other. mbedTLS stays the TLS and X.509 library and does
 * all the rest: other curves, and every check of a signature. This module owns the seam
 * and nothing else, and is the only one of this room that knows mbedTLS. The worker runs
 * it; of the commands one that is a TLS client gets the key exchange from here too,
 * because the seam is the program's.
 * `make ACCEL=0` leaves it out, as does a build that cannot have AWS-LC's source,
 * and with the system's mbedTLS it is not there.
 *
 * The seam is the linker's. A call from one object of the static mbedTLS to a
 * function in another is given to `__wrap_FUNCTION` here (-Wl,--wrap), which
 * takes on the cases that it knows and hands the others to `__real_FUNCTION`:
 *
 *   mbedtls_psa_ecp_export_public_key    our public key in TLS 1.3
 *   mbedtls_psa_key_agreement_ecdh       the shared secret in TLS 1.3
 *   mbedtls_ecdh_make_params, mbedtls_ecdh_calc_secret
 *                                        both of them in TLS 1.2 by X25519
 *   mbedtls_ecp_mul_restartable          and by other curves, and in a client
 *   mbedtls_pk_sign, mbedtls_pk_sign_ext ECDSA, RSA
 *   mbedtls_psa_mac_compute              the HMAC of Finished in TLS 1.3
 *   mbedtls_ssl_tls13_compute_resumption_master_secret
 *                                        left out, because there are no tickets
 *   mbedtls_ssl_derive_keys              the key schedule of TLS 1.2 for ciphers with AEAD
 *   mbedtls_ssl_write_certificate        from here TLS 1.2 hashes with one hash
 *
 * The blocks of SHA are mbedTLS' own option (MBEDTLS_SHA256_PROCESS_ALT and its like).
 * HKDF-Expand-Label and HKDF-Extract are called within one object, where mbedtls_config.h
 * makes them weak, so that the functions of the same names here are linked. mbedTLS does
 * the same with a key object, an operation and four allocations for each.
 *
 * Why wraps. The ALT hooks of mbedTLS 3.6 for the rest replace a whole module, so that
 * what we do not accelerate would be ours as well, and 4.0 has none. A PSA driver, in
 * 3.6 as in 4.x, is entered into dispatch code that is generated: it would need a
 * patched mbedTLS. Wraps need neither and leave the original beside the
 * replacement, so that the tests compare them in one program. In 4.x all of TLS
 * goes through PSA: the first two stay as they are, the third is not called any
 * more, and the last become mbedtls_psa_ecdsa_sign_hash and
 * mbedtls_psa_rsa_sign_hash, which bring keys in the form that the primitives
 * take here. A renamed function cannot go unseen: the prototypes are mbedTLS' own, or
 * this does not compile.
 *
 * Everything fails closed: what goes wrong in a primitive is the error of the
 * handshake. Nothing is tried again by other means.
 */
#ifndef CRYPTO_ACCELERATE_H
#define CRYPTO_ACCELERATE_H

#include <stdbool.h>

#ifdef ACCELERATE
/* Once in each worker, before the first handshake: tries each primitive with a known answer. False
 * when one of them is wrong: then nothing must be served. */
bool accelerate_begin(void);
/* Wipes what was kept of keys. */
void accelerate_end(void);
/* Whose cryptography it is. */
const char *accelerate_name(void);

#else
static inline bool accelerate_begin(void)
{
    return true;
}

static inline void accelerate_end(void)
{
}

static inline const char *accelerate_name(void)
{
    return "mbedTLS alone; a handshake takes several times the CPU time that it takes with AWS-LC";
}
#endif

#endif
