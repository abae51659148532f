#include "plain_sha.h"

#ifdef ACCELERATE

#include <mbedtls/build_info.h>

#undef MBEDTLS_SHA256_PROCESS_ALT
#undef MBEDTLS_SHA512_PROCESS_ALT
#define mbedtls_sha256_init             plain_sha256_init
#define mbedtls_sha256_free             plain_sha256_free
#define mbedtls_sha256_clone            plain_sha256_clone
#define mbedtls_sha256_starts           plain_sha256_starts
#define mbedtls_sha256_update           plain_sha256_update
#define mbedtls_sha256_finish           plain_sha256_finish
#define mbedtls_sha256                  plain_sha256_whole
#define mbedtls_internal_sha256_process plain_sha256_process
#define mbedtls_sha512_init             plain_sha512_init
#define mbedtls_sha512_free             plain_sha512_free
#define mbedtls_sha512_clone            plain_sha512_clone
#define mbedtls_sha512_starts           plain_sha512_starts
#define mbedtls_sha512_update           plain_sha512_update
#define mbedtls_sha512_finish           plain_sha512_finish
#define mbedtls_sha512                  plain_sha512_whole
#define mbedtls_internal_sha512_process plain_sha512_process
/* NOLINTBEGIN(bugprone-suspicious-include): on purpose, as said above. */
#define K K256
#include <sha256.c>
#undef K
#undef R
#undef P
#undef S0
#undef S1
#undef S2
#undef S3
#undef F0
#undef F1
#undef SHR
#undef ROTR
#define K K512
#include <sha512.c>
/* NOLINTEND(bugprone-suspicious-include) */

#include "unit.h"

void plain_sha256(const uint8_t *message, size_t len, uint8_t *ret_digest)
{
    assert_int_equal(plain_sha256_whole(message, len, ret_digest, 0), 0);
}

void plain_sha512(const uint8_t *message, size_t len, uint8_t *ret_digest, int is_384)
{
    assert_int_equal(plain_sha512_whole(message, len, ret_digest, is_384), 0);
}

#endif
