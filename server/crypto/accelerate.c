#include "crypto/accelerate.h"

/* What the seam takes over is private to the library. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/ecdh.h>
#include <mbedtls/ecp.h>
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

/* The linker's names, with mbedTLS' own types. */
#define SEAM(function)                             \
    extern __typeof__(function) __real_##function; \
    extern __typeof__(function) __wrap_##function
SEAM(mbedtls_psa_ecp_export_public_key);
SEAM(mbedtls_psa_key_agreement_ecdh);
SEAM(mbedtls_ecdh_make_params);
SEAM(mbedtls_ecdh_calc_secret);
SEAM(mbedtls_ecp_mul_restartable);
SEAM(mbedtls_pk_sign);
SEAM(mbedtls_pk_sign_ext);
SEAM(mbedtls_psa_mac_compute);
SEAM(mbedtls_ssl_tls13_compute_resumption_master_secret);
SEAM(mbedtls_ssl_write_certificate);
SEAM(mbedtls_ssl_derive_keys);

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

bool accelerate_begin(void)
{
    return hashes() && kdf_self_test() && curve_self_test() && rsa_self_test();
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

/* What TLS 1.2 derives from a secret: 0, or the code of an error. */
static int derive(const mbedtls_ssl_context *ssl, struct span secret, const char *label,
                  struct span seed, unsigned char *ret_key, size_t len)
{
    bool is_384 = ssl->handshake->ciphersuite_info->mac == MBEDTLS_MD_SHA384;

    return kdf_prf(is_384 ? KDF_SHA384 : KDF_SHA256, secret, span_of(label), seed, ret_key, len)
               ? 0
               : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* RFC 5246 section 7.4.9. */
static int compute_finished(mbedtls_ssl_context *ssl, unsigned char *ret_finished, int from)
{
    enum { LEN = 12 };
    const mbedtls_ssl_session *session = ssl->session_negotiate;
    unsigned char transcript[KDF_LEN_MOST];
    size_t len;
    int code = ssl->handshake->calc_verify(ssl, transcript, &len);

    return code != 0 ? code
                     : derive(ssl, span(session->master, sizeof(session->master)),
                              from == MBEDTLS_SSL_IS_CLIENT ? "client finished" : "server finished",
                              span(transcript, len), ret_finished, LEN);
}

/* RFC 5246 section 8.1 and RFC 7627 section 4. */
static int derive_master(mbedtls_ssl_context *ssl)
{
    mbedtls_ssl_handshake_params *handshake = ssl->handshake;
    mbedtls_ssl_session *session = ssl->session_negotiate;
    bool is_extended = handshake->extended_ms == MBEDTLS_SSL_EXTENDED_MS_ENABLED;
    unsigned char transcript[KDF_LEN_MOST];
    size_t len;
    int code = is_extended ? handshake->calc_verify(ssl, transcript, &len) : 0;

    if (code == 0)
        code = derive(ssl, span(handshake->premaster, handshake->pmslen),
                      is_extended ? "extended master secret" : "master secret",
                      is_extended ? span(transcript, len)
                                  : span(handshake->randbytes, sizeof(handshake->randbytes)),
                      session->master, sizeof(session->master));
    mbedtls_platform_zeroize(handshake->premaster, sizeof(handshake->premaster));
    return code;
}

/* RFC 5246 section 6.3: the random bytes in the other order. For ciphers with AEAD; a server reads with the
 * first key and IV and writes with the second. */
static int derive_cipher_keys(mbedtls_ssl_context *ssl, const mbedtls_cipher_info_t *info)
{
    enum { HALF = 32, BLOCK_MOST = 2 * (32 + 12) };
    const mbedtls_ssl_session *session = ssl->session_negotiate;
    mbedtls_ssl_transform *transform = ssl->transform_negotiate;
    int bits = (int)mbedtls_cipher_info_get_key_bitlen(info);
    size_t len = (size_t)bits / 8, fixed = transform->fixed_ivlen;
    unsigned char random[2 * HALF], block[BLOCK_MOST];

    memcpy(random, ssl->handshake->randbytes + HALF, HALF);
    memcpy(random + HALF, ssl->handshake->randbytes, HALF);
    int code = derive(ssl, span(session->master, sizeof(session->master)), "key expansion",
                      span(random, sizeof(random)), block, 2 * (len + fixed));
    if (code != 0)
        return code;
    memcpy(transform->iv_dec, block + 2 * len, fixed);
    memcpy(transform->iv_enc, block + 2 * len + fixed, fixed);
    code = mbedtls_cipher_setup(&transform->cipher_ctx_dec, info);
    if (code == 0)
        code = mbedtls_cipher_setup(&transform->cipher_ctx_enc, info);
    if (code == 0)
        code = mbedtls_cipher_setkey(&transform->cipher_ctx_dec, block, bits, MBEDTLS_DECRYPT);
    if (code == 0)
        code =
            mbedtls_cipher_setkey(&transform->cipher_ctx_enc, block + len, bits, MBEDTLS_ENCRYPT);
    mbedtls_platform_zeroize(block, sizeof(block));
    return code;
}

/* The key schedule of TLS 1.2. mbedTLS derives 256 bytes for each connection, of which a cipher with AEAD
 * takes 88 at most and AES-128 40, and hashes the key anew for each HMAC. */
int __wrap_mbedtls_ssl_derive_keys(mbedtls_ssl_context *ssl)
{
    enum { IV_LEN = 12, GCM_FIXED = 4, TAG_LEN = 16 };
    mbedtls_ssl_handshake_params *handshake = ssl->handshake;
    mbedtls_ssl_transform *transform = ssl->transform_negotiate;
    bool is_384 = handshake->ciphersuite_info->mac == MBEDTLS_MD_SHA384;
    const mbedtls_cipher_info_t *info =
        mbedtls_cipher_info_from_type((mbedtls_cipher_type_t)handshake->ciphersuite_info->cipher);
    mbedtls_cipher_mode_t mode = mbedtls_cipher_info_get_mode(info);

    if (handshake->resume != 0 || (mode != MBEDTLS_MODE_GCM && mode != MBEDTLS_MODE_CHACHAPOLY))
        return __real_mbedtls_ssl_derive_keys(ssl);
    if (mbedtls_ssl_set_calc_verify_md(ssl, is_384 ? MBEDTLS_SSL_HASH_SHA384
                                                   : MBEDTLS_SSL_HASH_SHA256) != 0)
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    handshake->calc_finished = compute_finished;
    transform->tls_version = ssl->tls_version;
    transform->taglen = TAG_LEN;
    transform->ivlen = IV_LEN;
    transform->fixed_ivlen = mode == MBEDTLS_MODE_GCM ? GCM_FIXED : IV_LEN;
    transform->minlen = transform->ivlen - transform->fixed_ivlen + transform->taglen;
    int code = derive_master(ssl);
    if (code == 0)
        code = derive_cipher_keys(ssl, info);
    mbedtls_platform_zeroize(handshake->randbytes, sizeof(handshake->randbytes));
    return code;
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

/* X25519 in a server of TLS 1.2. mbedTLS makes each number of it a big one and a point of it, and back. */
int __wrap_mbedtls_ecdh_make_params(mbedtls_ecdh_context *ecdh, size_t *ret_len,
                                    unsigned char *ret_params, size_t size,
                                    int (*fill)(void *, unsigned char *, size_t), void *context)
{
    enum { LEN = 32 };
    static const unsigned char head[] = {MBEDTLS_ECP_TLS_NAMED_CURVE, 0, 29,
                                         LEN}; /* RFC 8422 5.4 */
    uint8_t secret[LEN];

    if (ecdh->grp_id != MBEDTLS_ECP_DP_CURVE25519 || size < sizeof(head) + LEN)
        return __real_mbedtls_ecdh_make_params(ecdh, ret_len, ret_params, size, fill, context);
    int code = fill(context, secret, sizeof(secret));
    if (code == 0 && !curve_public(CURVE_X25519, secret, ret_params + sizeof(head)))
        code = MBEDTLS_ERR_ECP_INVALID_KEY;
    if (code == 0)
        code = mbedtls_mpi_read_binary_le(&ecdh->ctx.mbed_ecdh.d, secret, sizeof(secret));
    memcpy(ret_params, head, sizeof(head));
    *ret_len = sizeof(head) + LEN;
    mbedtls_platform_zeroize(secret, sizeof(secret));
    return code;
}

int __wrap_mbedtls_ecdh_calc_secret(mbedtls_ecdh_context *ecdh, size_t *ret_len,
                                    unsigned char *ret_secret, size_t size,
                                    int (*fill)(void *, unsigned char *, size_t), void *context)
{
    enum { LEN = 32 };
    const mbedtls_ecdh_context_mbed *inner = &ecdh->ctx.mbed_ecdh;
    uint8_t secret[LEN], point[LEN];

    if (ecdh->grp_id != MBEDTLS_ECP_DP_CURVE25519 || size < LEN)
        return __real_mbedtls_ecdh_calc_secret(ecdh, ret_len, ret_secret, size, fill, context);
    int code = mbedtls_mpi_write_binary_le(&inner->d, secret, sizeof(secret));
    if (code == 0)
        code = mbedtls_mpi_write_binary_le(&inner->Qp.X, point, sizeof(point));
    if (code == 0 && !curve_multiply(CURVE_X25519, secret, point, ret_secret))
        code = MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    *ret_len = LEN;
    mbedtls_platform_zeroize(secret, sizeof(secret));
    return code;
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
