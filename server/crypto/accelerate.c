#include "crypto/accelerate.h"

/* What the seam takes over is private to the library. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/ecp.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>
#include <psa/crypto.h>
#include <psa_crypto_ecp.h>
#include <psa_crypto_mac.h>
#include <ssl_misc.h>
#include <ssl_tls13_keys.h>
#include <string.h>

#include "crypto/primitives.h"

/* An RSA key in DER: of 8192 bits it is 4,700 bytes. */
enum { KEY_DER_MOST = 5120 };
/* The block of an HMAC with SHA-256. Bytes. */
enum { HMAC_BLOCK = 64 };

/* The linker's names, with mbedTLS' own types. */
#define SEAM(function)                             \
    extern __typeof__(function) __real_##function; \
    extern __typeof__(function) __wrap_##function
SEAM(mbedtls_psa_ecp_export_public_key);
SEAM(mbedtls_psa_key_agreement_ecdh);
SEAM(mbedtls_ecp_mul_restartable);
SEAM(mbedtls_pk_sign);
SEAM(mbedtls_pk_sign_ext);
SEAM(mbedtls_psa_mac_compute);
SEAM(mbedtls_ssl_tls13_compute_resumption_master_secret);
SEAM(mbedtls_ssl_write_certificate);
SEAM(mbedtls_md_hmac_starts);
SEAM(mbedtls_md_hmac_finish);
SEAM(mbedtls_md_hmac_reset);

/* As mbedTLS calls it: "abc", twice the message that FIPS 180-4 was published with. */
static bool hashes(void)
{
    static const uint8_t answer_256[32] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
        0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
        0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    };
    static const uint8_t answer_512[64] = {
        0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba, 0xcc, 0x41, 0x73, 0x49, 0xae,
        0x20, 0x41, 0x31, 0x12, 0xe6, 0xfa, 0x4e, 0x89, 0xa9, 0x7e, 0xa2, 0x0a, 0x9e,
        0xee, 0xe6, 0x4b, 0x55, 0xd3, 0x9a, 0x21, 0x92, 0x99, 0x2a, 0x27, 0x4f, 0xc1,
        0xa8, 0x36, 0xba, 0x3c, 0x23, 0xa3, 0xfe, 0xeb, 0xbd, 0x45, 0x4d, 0x44, 0x23,
        0x64, 0x3c, 0xe8, 0x0e, 0x2a, 0x9a, 0xc9, 0x4f, 0xa5, 0x4c, 0xa4, 0x9f,
    };
    static const unsigned char message[] = {'a', 'b', 'c'};
    uint8_t digest[64];

    return mbedtls_sha256(message, sizeof(message), digest, 0) == 0 &&
           memcmp(digest, answer_256, sizeof(answer_256)) == 0 &&
           mbedtls_sha512(message, sizeof(message), digest, 0) == 0 &&
           memcmp(digest, answer_512, sizeof(answer_512)) == 0;
}

/* Twice, as TLS 1.2 does: RFC 4231 section 4.3. */
static bool authenticates(void)
{
    static const uint8_t answer[32] = {
        0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
        0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
        0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
    };
    static const struct span key = {"Jefe", 4}, message = {"what do ya want for nothing?", 28};
    unsigned char macs[2][32];
    mbedtls_md_context_t md;

    mbedtls_md_init(&md);
    bool done = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1) == 0 &&
                mbedtls_md_hmac_starts(&md, (const unsigned char *)key.data, key.len) == 0;
    for (size_t i = 0; done && i < 2; i++)
        done = mbedtls_md_hmac_update(&md, (const unsigned char *)message.data, message.len) == 0 &&
               mbedtls_md_hmac_finish(&md, macs[i]) == 0 && mbedtls_md_hmac_reset(&md) == 0 &&
               memcmp(macs[i], answer, sizeof(answer)) == 0;
    mbedtls_md_free(&md);
    return done;
}

bool accelerate_begin(void)
{
    return hashes() && authenticates() && kdf_self_test() && curve_self_test() && rsa_self_test();
}

void accelerate_end(void)
{
    rsa_forget();
}

int mbedtls_internal_sha256_process(mbedtls_sha256_context *ctx, const unsigned char data[64])
{
    sha256_block(ctx->state, data);
    return 0;
}

int mbedtls_internal_sha512_process(mbedtls_sha512_context *ctx, const unsigned char data[128])
{
    sha512_block(ctx->state, data);
    return 0;
}

static struct span span(const unsigned char *bytes, size_t len)
{
    return (struct span){(const char *)bytes, len};
}

/* KDF_COUNT for what is mbedTLS' own; algorithm is that of the hash. */
static enum kdf_hash kdf_hash_of(psa_algorithm_t algorithm)
{
    return algorithm == PSA_ALG_SHA_256   ? KDF_SHA256
           : algorithm == PSA_ALG_SHA_384 ? KDF_SHA384
                                          : KDF_COUNT;
}

/* CURVE_COUNT for what is mbedTLS' own. */
static enum curve curve_of_pair(const psa_key_attributes_t *attributes, size_t key_len)
{
    psa_key_type_t type = psa_get_key_type(attributes);
    size_t bits = psa_get_key_bits(attributes);
    enum curve curve = CURVE_COUNT;

    if (type == PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_MONTGOMERY) && bits == 255)
        curve = CURVE_X25519;
    if (type == PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1) && bits == 256)
        curve = CURVE_P256;
    if (type == PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1) && bits == 384)
        curve = CURVE_P384;
    return curve != CURVE_COUNT && key_len == curve_secret_len(curve) ? curve : CURVE_COUNT;
}

static enum curve curve_of_group(mbedtls_ecp_group_id id)
{
    static const mbedtls_ecp_group_id ids[CURVE_COUNT] = {
        [CURVE_X25519] = MBEDTLS_ECP_DP_CURVE25519,
        [CURVE_P256] = MBEDTLS_ECP_DP_SECP256R1,
        [CURVE_P384] = MBEDTLS_ECP_DP_SECP384R1,
    };
    enum curve curve = 0;

    while (curve < CURVE_COUNT && ids[curve] != id)
        curve++;
    return curve;
}

/* NOLINTBEGIN(readability-function-size): how many arguments there are is mbedTLS' choice. */
int mbedtls_ssl_tls13_hkdf_expand_label(psa_algorithm_t algorithm, const unsigned char *secret,
                                        size_t secret_len, const unsigned char *label,
                                        size_t label_len, const unsigned char *context,
                                        size_t context_len, unsigned char *ret_key, size_t len)
{
    enum kdf_hash hash = kdf_hash_of(algorithm);

    return hash != KDF_COUNT &&
                   kdf_expand_label(hash, span(secret, secret_len), span(label, label_len),
                                    span(context, context_len), ret_key, len)
               ? 0
               : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

int mbedtls_ssl_tls13_evolve_secret(psa_algorithm_t algorithm, const unsigned char *secret,
                                    const unsigned char *input, size_t input_len,
                                    unsigned char *ret_secret)
{
    enum kdf_hash hash = kdf_hash_of(algorithm);

    return hash != KDF_COUNT &&
                   kdf_next_secret(hash, span(secret, secret == NULL ? 0 : kdf_len(hash)),
                                   span(input, input == NULL ? 0 : input_len), ret_secret)
               ? 0
               : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* The secret that tickets come from, of which there are none. What it comes from goes, as always. */
int __wrap_mbedtls_ssl_tls13_compute_resumption_master_secret(mbedtls_ssl_context *ssl)
{
    mbedtls_platform_zeroize(&ssl->handshake->tls13_master_secrets,
                             sizeof(ssl->handshake->tls13_master_secrets));
    return 0;
}

/* A server of TLS 1.2 goes on hashing all that is said by both hashes, although the suite has told which
 * one is needed. */
int __wrap_mbedtls_ssl_write_certificate(mbedtls_ssl_context *ssl)
{
    mbedtls_ssl_optimize_checksum(ssl, ssl->handshake->ciphersuite_info);
    return __real_mbedtls_ssl_write_certificate(ssl);
}

/* NULL for what is mbedTLS' own. */
static mbedtls_sha256_context *hmac_sha256_of(const mbedtls_md_context_t *md)
{
    return md != NULL && md->hmac_ctx != NULL &&
                   mbedtls_md_get_type(md->md_info) == MBEDTLS_MD_SHA256
               ? md->md_ctx
               : NULL;
}

/* Goes on behind the block that the key is in. */
static void resume(mbedtls_sha256_context *sha, const unsigned char *state)
{
    memcpy(sha->state, state, sizeof(sha->state));
    sha->total[0] = HMAC_BLOCK;
    sha->total[1] = 0;
}

/* TLS 1.2 makes many HMACs with one key. mbedTLS keeps the key's two blocks and hashes both each time;
 * here their states are kept in their place. */
int __wrap_mbedtls_md_hmac_starts(mbedtls_md_context_t *md, const unsigned char *key, size_t len)
{
    int code = __real_mbedtls_md_hmac_starts(md, key, len);
    mbedtls_sha256_context *sha = hmac_sha256_of(md);

    if (code != 0 || sha == NULL)
        return code;
    unsigned char *inner = md->hmac_ctx, *outer = inner + HMAC_BLOCK;
    memcpy(inner, sha->state, sizeof(sha->state));
    code = mbedtls_sha256_starts(sha, 0);
    if (code == 0)
        code = mbedtls_internal_sha256_process(sha, outer);
    memcpy(outer, sha->state, sizeof(sha->state));
    resume(sha, inner);
    return code;
}

int __wrap_mbedtls_md_hmac_finish(mbedtls_md_context_t *md, unsigned char *ret_mac)
{
    mbedtls_sha256_context *sha = hmac_sha256_of(md);
    unsigned char digest[32];

    if (sha == NULL)
        return __real_mbedtls_md_hmac_finish(md, ret_mac);
    int code = mbedtls_sha256_finish(sha, digest);
    resume(sha, (const unsigned char *)md->hmac_ctx + HMAC_BLOCK);
    if (code == 0)
        code = mbedtls_sha256_update(sha, digest, sizeof(digest));
    if (code == 0)
        code = mbedtls_sha256_finish(sha, ret_mac);
    mbedtls_platform_zeroize(digest, sizeof(digest));
    return code;
}

int __wrap_mbedtls_md_hmac_reset(mbedtls_md_context_t *md)
{
    mbedtls_sha256_context *sha = hmac_sha256_of(md);

    if (sha == NULL)
        return __real_mbedtls_md_hmac_reset(md);
    resume(sha, md->hmac_ctx);
    return 0;
}

psa_status_t __wrap_mbedtls_psa_mac_compute(const psa_key_attributes_t *attributes,
                                            const uint8_t *key, size_t key_len,
                                            psa_algorithm_t algorithm, const uint8_t *input,
                                            size_t input_len, uint8_t *ret_mac, size_t size,
                                            size_t *ret_len)
{
    enum kdf_hash hash = algorithm == PSA_ALG_HMAC(PSA_ALG_SHA_256)   ? KDF_SHA256
                         : algorithm == PSA_ALG_HMAC(PSA_ALG_SHA_384) ? KDF_SHA384
                                                                      : KDF_COUNT;

    if (hash == KDF_COUNT || size < kdf_len(hash) ||
        !kdf_hmac(hash, span(key, key_len), span(input, input_len), ret_mac))
        return __real_mbedtls_psa_mac_compute(attributes, key, key_len, algorithm, input, input_len,
                                              ret_mac, size, ret_len);
    *ret_len = kdf_len(hash);
    return PSA_SUCCESS;
}

psa_status_t __wrap_mbedtls_psa_ecp_export_public_key(const psa_key_attributes_t *attributes,
                                                      const uint8_t *key, size_t key_len,
                                                      uint8_t *ret_public, size_t size,
                                                      size_t *ret_len)
{
    enum curve curve = curve_of_pair(attributes, key_len);

    if (curve == CURVE_COUNT)
        return __real_mbedtls_psa_ecp_export_public_key(attributes, key, key_len, ret_public, size,
                                                        ret_len);
    if (size < curve_point_len(curve))
        return PSA_ERROR_BUFFER_TOO_SMALL;
    if (!curve_public(curve, key, ret_public))
        return PSA_ERROR_CORRUPTION_DETECTED;
    *ret_len = curve_point_len(curve);
    return PSA_SUCCESS;
}

psa_status_t __wrap_mbedtls_psa_key_agreement_ecdh(const psa_key_attributes_t *attributes,
                                                   const uint8_t *key, size_t key_len,
                                                   psa_algorithm_t algorithm, const uint8_t *peer,
                                                   size_t peer_len, uint8_t *ret_secret,
                                                   size_t size, size_t *ret_len)
{
    enum curve curve = curve_of_pair(attributes, key_len);
    uint8_t product[CURVE_POINT_MOST];

    if (curve == CURVE_COUNT || !PSA_ALG_IS_ECDH(algorithm) || peer_len != curve_point_len(curve))
        return __real_mbedtls_psa_key_agreement_ecdh(attributes, key, key_len, algorithm, peer,
                                                     peer_len, ret_secret, size, ret_len);
    size_t len = curve_secret_len(curve);
    if (size < len)
        return PSA_ERROR_BUFFER_TOO_SMALL;
    bool done = curve_multiply(curve, key, peer, product);
    if (done)
        memcpy(ret_secret, product + curve_x_offset(curve), len);
    mbedtls_platform_zeroize(product, sizeof(product));
    if (!done)
        return PSA_ERROR_INVALID_ARGUMENT;
    *ret_len = len;
    return PSA_SUCCESS;
}

/* What it says of a wrong secret or point is one code, where mbedTLS has more. */
int __wrap_mbedtls_ecp_mul_restartable(mbedtls_ecp_group *group, mbedtls_ecp_point *ret_point,
                                       const mbedtls_mpi *secret, const mbedtls_ecp_point *point,
                                       int (*fill)(void *, unsigned char *, size_t), void *context,
                                       mbedtls_ecp_restart_ctx *restart)
{
    enum curve curve = curve_of_group(group->id);
    uint8_t number[CURVE_SECRET_MOST], factor[CURVE_POINT_MOST], product[CURVE_POINT_MOST];
    size_t len = 0;
    int code = MBEDTLS_ERR_ECP_INVALID_KEY;

    if (curve == CURVE_COUNT || restart != NULL)
        return __real_mbedtls_ecp_mul_restartable(group, ret_point, secret, point, fill, context,
                                                  restart);
    /* The library keeps numbers of X25519 with the last byte first. */
    int written = curve == CURVE_X25519
                      ? mbedtls_mpi_write_binary_le(secret, number, curve_secret_len(curve))
                      : mbedtls_mpi_write_binary(secret, number, curve_secret_len(curve));
    if (written == 0 && mbedtls_ecp_check_privkey(group, secret) == 0 &&
        mbedtls_ecp_point_write_binary(group, point, MBEDTLS_ECP_PF_UNCOMPRESSED, &len, factor,
                                       sizeof(factor)) == 0 &&
        len == curve_point_len(curve) &&
        (mbedtls_ecp_point_cmp(&group->G, point) == 0
             ? curve_public(curve, number, product)
             : curve_multiply(curve, number, factor, product)))
        code = mbedtls_ecp_point_read_binary(group, ret_point, product, len);
    mbedtls_platform_zeroize(number, sizeof(number));
    mbedtls_platform_zeroize(product, sizeof(product));
    return code;
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

/* CURVE_COUNT for a key whose signatures are mbedTLS' own. */
static enum curve curve_of_key(const mbedtls_pk_context *pk)
{
    mbedtls_pk_type_t type = mbedtls_pk_get_type(pk);

    if (type != MBEDTLS_PK_ECKEY && type != MBEDTLS_PK_ECDSA)
        return CURVE_COUNT;
    enum curve curve = curve_of_group(mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(*pk)));
    return curve == CURVE_X25519 ? CURVE_COUNT : curve;
}

/* Where a signature goes. */
struct target {
    unsigned char *bytes;
    size_t size;
    size_t *ret_len;
};

static int sign_curve(enum curve curve, const mbedtls_pk_context *pk, struct span hash,
                      const struct target *target, struct generator *generator)
{
    const struct random random = {.fill = fill_random, .context = generator};
    uint8_t key[CURVE_SECRET_MOST];
    uint8_t signature[CURVE_SIGNATURE_MOST];
    size_t key_len, len = curve_secret_len(curve);
    int code = MBEDTLS_ERR_ECP_RANDOM_FAILED;

    if (mbedtls_ecp_write_key_ext(mbedtls_pk_ec(*pk), &key_len, key, sizeof(key)) == 0 &&
        key_len == len &&
        curve_sign(curve, key, (const uint8_t *)hash.data, hash.len, &random, signature))
        code = mbedtls_ecdsa_raw_to_der(len * 8, signature, 2 * len, target->bytes, target->size,
                                        target->ret_len);
    mbedtls_platform_zeroize(key, sizeof(key));
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

/* AWS-LC takes no key with a longer public exponent; nobody has one. */
static bool is_usual_rsa(const mbedtls_pk_context *pk)
{
    mbedtls_mpi exponent;

    if (mbedtls_pk_get_type(pk) != MBEDTLS_PK_RSA)
        return false;
    mbedtls_mpi_init(&exponent);
    bool usual = mbedtls_rsa_export(mbedtls_pk_rsa(*pk), NULL, NULL, NULL, NULL, &exponent) == 0 &&
                 mbedtls_mpi_bitlen(&exponent) <= RSA_EXPONENT_BITS_MOST;
    mbedtls_mpi_free(&exponent);
    return usual;
}

/* The key's context, read from the key when it is not kept. */
static struct rsa_context *context_of(const mbedtls_pk_context *pk)
{
    unsigned char der[KEY_DER_MOST];
    size_t len = mbedtls_pk_get_len(pk);

    if (len > sizeof(der) || mbedtls_rsa_export_raw(mbedtls_pk_rsa(*pk), der, len, NULL, 0, NULL, 0,
                                                    NULL, 0, NULL, 0) != 0)
        return NULL;
    struct rsa_context *context = rsa_find((struct span){(const char *)der, len});
    if (context != NULL)
        return context;
    int der_len = mbedtls_pk_write_key_der(pk, der, sizeof(der));
    if (der_len > 0) /* It is written at the end of the buffer. */
        context =
            rsa_keep((struct span){(const char *)der + sizeof(der) - der_len, (size_t)der_len});
    mbedtls_platform_zeroize(der, sizeof(der));
    return context;
}

static int sign_rsa(const mbedtls_pk_context *pk, enum rsa_scheme scheme, enum rsa_hash hash,
                    const unsigned char *digest, const struct target *target,
                    struct generator *generator)
{
    const struct random random = {.fill = fill_random, .context = generator};
    struct rsa_context *context = context_of(pk);

    if (context == NULL)
        return MBEDTLS_ERR_RSA_PRIVATE_FAILED;
    size_t len = rsa_sign(context, scheme, hash, digest, &random, target->bytes, target->size);
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
    enum curve curve = curve_of_key(pk);
    enum rsa_hash rsa_hash;

    if (curve != CURVE_COUNT && hash_len > 0)
        return sign_curve(curve, pk, (struct span){(const char *)hash, hash_len}, &target,
                          &generator);
    if (is_usual_rsa(pk) && rsa_hash_of(type, hash_len, &rsa_hash) &&
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
    if (scheme == MBEDTLS_PK_RSASSA_PSS && is_usual_rsa(pk) &&
        rsa_hash_of(type, hash_len, &rsa_hash))
        return sign_rsa(pk, RSA_PSS, rsa_hash, hash, &target, &generator);
    return __real_mbedtls_pk_sign_ext(scheme, pk, type, hash, hash_len, ret_signature, size,
                                      ret_len, fill, context);
}
/* NOLINTEND(readability-function-size) */
