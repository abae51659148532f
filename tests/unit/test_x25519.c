/* X25519: the known answers, mbedTLS' own answers, and what is refused. */
#include "unit.h"

#ifdef ACCELERATE

#include <everest/Hacl_Curve25519.h>
#include <mbedtls/ecdh.h>
#include <psa/crypto.h>
#include <psa_crypto_ecp.h>
#include <string.h>

#include "samples.h"
#include "serve/accelerate.h"
#include "serve/x25519.h"

enum { CASES = 10000, SLOW_CASES = 200 };

extern __typeof__(Hacl_Curve25519_crypto_scalarmult) __real_Hacl_Curve25519_crypto_scalarmult;
extern __typeof__(mbedtls_psa_ecp_export_public_key) __real_mbedtls_psa_ecp_export_public_key;

static const uint8_t zeros[X25519_BYTES];

static int begin(void **state)
{
    (void)state;
    return accelerate_begin() && psa_crypto_init() == PSA_SUCCESS ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    mbedtls_psa_crypto_free();
    return 0;
}

/* RFC 7748 section 5.2. */
static void test_x25519_known(void **state)
{
    static const char *const vectors[][3] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
    };
    uint8_t secret[X25519_BYTES];
    uint8_t point[X25519_BYTES];
    uint8_t expected[X25519_BYTES];
    uint8_t result[X25519_BYTES];
    (void)state;

    for (size_t i = 0; i < COUNT(vectors); i++) {
        samples_hex(vectors[i][0], secret, sizeof(secret));
        samples_hex(vectors[i][1], point, sizeof(point));
        samples_hex(vectors[i][2], expected, sizeof(expected));
        assert_true(x25519_shared(secret, point, result));
        assert_memory_equal(result, expected, sizeof(result));
    }
    memset(secret, 0, sizeof(secret));
    secret[0] = 9;
    memcpy(point, secret, sizeof(point));
    for (size_t i = 0; i < 1000; i++) {
        assert_true(x25519_shared(secret, point, result));
        memcpy(point, secret, sizeof(point));
        memcpy(secret, result, sizeof(secret));
    }
    samples_hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", expected,
                sizeof(expected));
    assert_memory_equal(secret, expected, sizeof(secret));
}

static psa_key_attributes_t x25519_attributes(void)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;

    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_MONTGOMERY));
    psa_set_key_bits(&attributes, 255);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_DERIVE);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDH);
    return attributes;
}

/* Ten thousand against Everest's verified code, and some against mbedTLS' generic curves. */
static void test_x25519_random(void **state)
{
    const psa_key_attributes_t attributes = x25519_attributes();
    struct samples samples = {1};
    uint8_t base[X25519_BYTES] = {9};
    uint8_t secret[X25519_BYTES];
    uint8_t point[X25519_BYTES];
    uint8_t expected[X25519_BYTES];
    uint8_t result[X25519_BYTES];
    size_t len;
    (void)state;

    for (size_t i = 0; i < CASES; i++) {
        samples_fill(&samples, secret, sizeof(secret));
        samples_fill(&samples, point, sizeof(point));
        __real_Hacl_Curve25519_crypto_scalarmult(expected, secret, point);
        assert_true(x25519_shared(secret, point, result));
        assert_memory_equal(result, expected, sizeof(result));
        __real_Hacl_Curve25519_crypto_scalarmult(expected, secret, base);
        assert_true(x25519_public(secret, result));
        assert_memory_equal(result, expected, sizeof(result));
        if (i >= SLOW_CASES)
            continue;
        /* As every secret that mbedTLS makes (RFC 7748 section 5). */
        secret[0] &= 0xf8;
        secret[31] = (uint8_t)((secret[31] & 0x7f) | 0x40);
        assert_int_equal(__real_mbedtls_psa_ecp_export_public_key(
                             &attributes, secret, sizeof(secret), expected, sizeof(expected), &len),
                         PSA_SUCCESS);
        assert_true(x25519_public(secret, result));
        assert_memory_equal(result, expected, sizeof(result));
    }
}

/* The points of small order, as a peer may write them, give zeros with every secret. */
static const char *const small_orders[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
};

static void test_x25519_refused(void **state)
{
    struct samples samples = {2};
    uint8_t secret[X25519_BYTES];
    uint8_t point[X25519_BYTES];
    uint8_t result[X25519_BYTES];
    (void)state;

    for (size_t i = 0; i < COUNT(small_orders); i++) {
        samples_hex(small_orders[i], point, sizeof(point));
        samples_fill(&samples, secret, sizeof(secret));
        memset(result, 0xa5, sizeof(result));
        assert_false(x25519_shared(secret, point, result));
        assert_memory_equal(result, zeros, sizeof(result));
    }
}

/* As TLS 1.3 calls it. */
static void test_x25519_in_psa(void **state)
{
    const psa_key_attributes_t attributes = x25519_attributes();
    psa_key_id_t keys[2];
    uint8_t public[2][X25519_BYTES];
    uint8_t secrets[2][X25519_BYTES];
    uint8_t point[X25519_BYTES];
    size_t len;
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(psa_generate_key(&attributes, &keys[i]), PSA_SUCCESS);
        assert_int_equal(psa_export_public_key(keys[i], public[i], X25519_BYTES - 1, &len),
                         PSA_ERROR_BUFFER_TOO_SMALL);
        assert_int_equal(psa_export_public_key(keys[i], public[i], X25519_BYTES, &len),
                         PSA_SUCCESS);
        assert_int_equal(len, X25519_BYTES);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(psa_raw_key_agreement(PSA_ALG_ECDH, keys[i], public[1 - i], X25519_BYTES,
                                               secrets[i], X25519_BYTES, &len),
                         PSA_SUCCESS);
    assert_memory_equal(secrets[0], secrets[1], X25519_BYTES);
    assert_int_not_equal(psa_raw_key_agreement(PSA_ALG_ECDH, keys[0], public[1], X25519_BYTES - 1,
                                               secrets[0], X25519_BYTES, &len),
                         PSA_SUCCESS);
    for (size_t i = 0; i < COUNT(small_orders); i++) {
        samples_hex(small_orders[i], point, sizeof(point));
        assert_int_not_equal(psa_raw_key_agreement(PSA_ALG_ECDH, keys[0], point, sizeof(point),
                                                   secrets[0], X25519_BYTES, &len),
                             PSA_SUCCESS);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(psa_destroy_key(keys[i]), PSA_SUCCESS);
}

/* As TLS 1.2 calls it: its messages carry the length of a point before the point. */
static void test_x25519_in_ecdh(void **state)
{
    struct samples samples = {3};
    mbedtls_ecdh_context sides[2];
    uint8_t messages[2][1 + X25519_BYTES];
    uint8_t secrets[2][X25519_BYTES];
    size_t len;
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        mbedtls_ecdh_init(&sides[i]);
        assert_int_equal(mbedtls_ecdh_setup(&sides[i], MBEDTLS_ECP_DP_CURVE25519), 0);
        assert_int_equal(mbedtls_ecdh_make_public(&sides[i], &len, messages[i], sizeof(messages[i]),
                                                  samples_random, &samples),
                         0);
        assert_int_equal(len, sizeof(messages[i]));
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(mbedtls_ecdh_read_public(&sides[i], messages[1 - i], len), 0);
        assert_int_equal(mbedtls_ecdh_calc_secret(&sides[i], &len, secrets[i], X25519_BYTES,
                                                  samples_random, &samples),
                         0);
        len = sizeof(messages[0]);
    }
    assert_memory_equal(secrets[0], secrets[1], X25519_BYTES);
    for (size_t i = 0; i < COUNT(small_orders); i++) {
        messages[1][0] = X25519_BYTES;
        samples_hex(small_orders[i], messages[1] + 1, X25519_BYTES);
        assert_int_equal(mbedtls_ecdh_read_public(&sides[0], messages[1], sizeof(messages[1])), 0);
        assert_int_not_equal(mbedtls_ecdh_calc_secret(&sides[0], &len, secrets[0], X25519_BYTES,
                                                      samples_random, &samples),
                             0);
    }
    for (size_t i = 0; i < 2; i++)
        mbedtls_ecdh_free(&sides[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x25519_known),   cmocka_unit_test(test_x25519_random),
        cmocka_unit_test(test_x25519_refused), cmocka_unit_test(test_x25519_in_psa),
        cmocka_unit_test(test_x25519_in_ecdh),
    };

    return cmocka_run_group_tests(tests, begin, end);
}

#else /* Nothing is in the place of mbedTLS' own. */

static void test_absent(void **state)
{
    (void)state;
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_absent)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
