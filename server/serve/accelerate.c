#include "serve/accelerate.h"

#include <everest/Hacl_Curve25519.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/psa_util.h>
#include <psa/crypto.h>
#include <psa_crypto_ecp.h>
#include <stdlib.h>
#include <string.h>

#include "serve/gmp_memory.h"
#include "serve/p256.h"
#include "serve/rsa.h"
#include "serve/x25519.h"

/* An EC or RSA key in DER: of RSA 8192 it is 4,700 bytes. */
enum { KEY_DER_MOST = 5120 };

/* The linker's names, with mbedTLS' own types. */
#define SEAM(function)                             \
    extern __typeof__(function) __real_##function; \
    extern __typeof__(function) __wrap_##function
SEAM(mbedtls_psa_ecp_export_public_key);
SEAM(mbedtls_psa_key_agreement_ecdh);
SEAM(Hacl_Curve25519_crypto_scalarmult);
SEAM(mbedtls_pk_sign);
SEAM(mbedtls_pk_sign_ext);

bool accelerate_begin(void)
{
    gmp_memory_begin();
    return x25519_self_test() && p256_self_test() && rsa_self_test();
}

static bool is_x25519_pair(const psa_key_attributes_t *attributes, size_t key_len)
{
    return psa_get_key_type(attributes) == PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_MONTGOMERY) &&
           psa_get_key_bits(attributes) == 255 && key_len == X25519_BYTES;
}

/* NOLINTBEGIN(readability-function-size): how many arguments there are is mbedTLS' choice. */
psa_status_t __wrap_mbedtls_psa_ecp_export_public_key(const psa_key_attributes_t *attributes,
                                                      const uint8_t *key, size_t key_len,
                                                      uint8_t *ret_public, size_t size,
                                                      size_t *ret_len)
{
    if (!is_x25519_pair(attributes, key_len))
        return __real_mbedtls_psa_ecp_export_public_key(attributes, key, key_len, ret_public, size,
                                                        ret_len);
    if (size < X25519_BYTES)
        return PSA_ERROR_BUFFER_TOO_SMALL;
    if (!x25519_public(key, ret_public))
        return PSA_ERROR_CORRUPTION_DETECTED;
    *ret_len = X25519_BYTES;
    return PSA_SUCCESS;
}

psa_status_t __wrap_mbedtls_psa_key_agreement_ecdh(const psa_key_attributes_t *attributes,
                                                   const uint8_t *key, size_t key_len,
                                                   psa_algorithm_t algorithm, const uint8_t *peer,
                                                   size_t peer_len, uint8_t *ret_secret,
                                                   size_t size, size_t *ret_len)
{
    if (!is_x25519_pair(attributes, key_len) || !PSA_ALG_IS_ECDH(algorithm) ||
        peer_len != X25519_BYTES)
        return __real_mbedtls_psa_key_agreement_ecdh(attributes, key, key_len, algorithm, peer,
                                                     peer_len, ret_secret, size, ret_len);
    if (size < X25519_BYTES)
        return PSA_ERROR_BUFFER_TOO_SMALL;
    if (!x25519_shared(key, peer, ret_secret))
        return PSA_ERROR_INVALID_ARGUMENT;
    *ret_len = X25519_BYTES;
    return PSA_SUCCESS;
}

/* It cannot say that it failed; but all zeros are what its callers refuse. */
void __wrap_Hacl_Curve25519_crypto_scalarmult(uint8_t *ret_point, uint8_t *secret, uint8_t *point)
{
    static const uint8_t base[X25519_BYTES] = {9};

    if (memcmp(point, base, sizeof(base)) == 0)
        (void)x25519_public(secret, ret_point);
    else
        (void)x25519_shared(secret, point, ret_point);
}

/* mbedTLS' generator, in the form that it is passed around in. */
struct generator {
    int (*fill)(void *context, unsigned char *bytes, size_t len);
    void *context;
};

static bool fill_random(void *context, uint8_t *bytes, size_t len)
{
    const struct generator *generator = context;

    return generator->fill != NULL && generator->fill(generator->context, bytes, len) == 0;
}

static bool is_p256(const mbedtls_pk_context *pk)
{
    mbedtls_pk_type_t type = mbedtls_pk_get_type(pk);

    return (type == MBEDTLS_PK_ECKEY || type == MBEDTLS_PK_ECDSA) &&
           mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(*pk)) == MBEDTLS_ECP_DP_SECP256R1;
}

/* Where a signature goes. */
struct target {
    unsigned char *bytes;
    size_t size;
    size_t *ret_len;
};

static int sign_p256(const mbedtls_pk_context *pk, const unsigned char *hash, size_t hash_len,
                     const struct target *target, struct generator *generator)
{
    uint8_t key[P256_KEY_BYTES];
    uint8_t fresh[P256_FRESH_BYTES];
    uint8_t signature[P256_SIGNATURE_BYTES];
    size_t key_len;
    int code = MBEDTLS_ERR_ECP_RANDOM_FAILED;

    if (mbedtls_ecp_write_key_ext(mbedtls_pk_ec(*pk), &key_len, key, sizeof(key)) == 0 &&
        key_len == sizeof(key) && fill_random(generator, fresh, sizeof(fresh)) &&
        p256_sign(key, hash, hash_len, fresh, signature))
        code = mbedtls_ecdsa_raw_to_der(256, signature, sizeof(signature), target->bytes,
                                        target->size, target->ret_len);
    mbedtls_platform_zeroize(key, sizeof(key));
    mbedtls_platform_zeroize(fresh, sizeof(fresh));
    return code;
}

/* False for a hash that only mbedTLS knows. */
static bool rsa_hash_of(mbedtls_md_type_t type, size_t hash_len, enum rsa_hash *ret_hash)
{
    static const struct {
        mbedtls_md_type_t type;
        size_t len;
    } known[] = {
        [RSA_SHA256] = {MBEDTLS_MD_SHA256, 32},
        [RSA_SHA384] = {MBEDTLS_MD_SHA384, 48},
        [RSA_SHA512] = {MBEDTLS_MD_SHA512, 64},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        /* The length may be left out. */
        if (type != known[i].type || (hash_len != known[i].len && hash_len != 0))
            continue;
        *ret_hash = (enum rsa_hash)i;
        return true;
    }
    return false;
}

static int sign_rsa(const mbedtls_pk_context *pk, enum rsa_scheme scheme, enum rsa_hash hash,
                    const unsigned char *digest, const struct target *target,
                    struct generator *generator)
{
    const struct rsa_random random = {.fill = fill_random, .context = generator};
    unsigned char der[KEY_DER_MOST];
    int der_len = mbedtls_pk_write_key_der(pk, der, sizeof(der));
    size_t len = 0;

    if (der_len > 0) {
        /* It is written at the end of the buffer. */
        struct span key = {(const char *)der + sizeof(der) - der_len, (size_t)der_len};
        len = rsa_sign(key, scheme, hash, digest, &random, target->bytes, target->size);
    }
    mbedtls_platform_zeroize(der, sizeof(der));
    if (len == 0)
        return MBEDTLS_ERR_RSA_PRIVATE_FAILED;
    *target->ret_len = len;
    return 0;
}

int __wrap_mbedtls_pk_sign(mbedtls_pk_context *pk, mbedtls_md_type_t type,
                           const unsigned char *hash, size_t hash_len, unsigned char *ret_signature,
                           size_t size, size_t *ret_len,
                           int (*fill)(void *, unsigned char *, size_t), void *context)
{
    const struct target target = {ret_signature, size, ret_len};
    struct generator generator = {fill, context};
    enum rsa_hash rsa_hash;

    if (is_p256(pk) && hash_len > 0)
        return sign_p256(pk, hash, hash_len, &target, &generator);
    if (mbedtls_pk_get_type(pk) == MBEDTLS_PK_RSA && rsa_hash_of(type, hash_len, &rsa_hash) &&
        mbedtls_rsa_get_padding_mode(mbedtls_pk_rsa(*pk)) == MBEDTLS_RSA_PKCS_V15)
        return sign_rsa(pk, RSA_PKCS1, rsa_hash, hash, &target, &generator);
    return __real_mbedtls_pk_sign(pk, type, hash, hash_len, ret_signature, size, ret_len, fill,
                                  context);
}

int __wrap_mbedtls_pk_sign_ext(mbedtls_pk_type_t scheme, mbedtls_pk_context *pk,
                               mbedtls_md_type_t type, const unsigned char *hash, size_t hash_len,
                               unsigned char *ret_signature, size_t size, size_t *ret_len,
                               int (*fill)(void *, unsigned char *, size_t), void *context)
{
    const struct target target = {ret_signature, size, ret_len};
    struct generator generator = {fill, context};
    enum rsa_hash rsa_hash;

    if (scheme != MBEDTLS_PK_RSASSA_PSS && mbedtls_pk_can_do(pk, scheme))
        return __wrap_mbedtls_pk_sign(pk, type, hash, hash_len, ret_signature, size, ret_len, fill,
                                      context);
    if (scheme == MBEDTLS_PK_RSASSA_PSS && mbedtls_pk_get_type(pk) == MBEDTLS_PK_RSA &&
        rsa_hash_of(type, hash_len, &rsa_hash))
        return sign_rsa(pk, RSA_PSS, rsa_hash, hash, &target, &generator);
    return __real_mbedtls_pk_sign_ext(scheme, pk, type, hash, hash_len, ret_signature, size,
                                      ret_len, fill, context);
}
/* NOLINTEND(readability-function-size) */

void accelerate_unused(void)
{
    abort();
}
