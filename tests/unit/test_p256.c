/* ECDSA on P-256: the known answers, mbedTLS' own answers, and what is refused. */
#include "unit.h"

#ifdef ACCELERATE

#include <mbedtls/ecdsa.h>
#include <mbedtls/pk.h>
#include <psa/crypto.h>
#include <string.h>

#include "samples.h"
#include "serve/accelerate.h"
#include "serve/gmp_memory.h"
#include "serve/p256.h"

enum { CASES = 10000, SLOW_CASES = 200, HASH = 32 };

static const uint8_t zeros[P256_SIGNATURE_BYTES];

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

/* RFC 6979 appendix A.2.5, SHA-256 of "sample" and of "test". */
static void test_p256_known(void **state)
{
    static const char key_text[] =
        "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    static const char *const vectors[][3] = {
        {"af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf",
         "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
         "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
        {"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
         "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
         "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
    };
    uint8_t key[P256_KEY_BYTES];
    uint8_t hash[HASH];
    uint8_t expected[P256_SIGNATURE_BYTES];
    uint8_t result[P256_SIGNATURE_BYTES];
    (void)state;

    samples_hex(key_text, key, sizeof(key));
    for (size_t i = 0; i < COUNT(vectors); i++) {
        samples_hex(vectors[i][0], hash, sizeof(hash));
        samples_hex(vectors[i][1], expected, HASH);
        samples_hex(vectors[i][2], expected + HASH, HASH);
        assert_true(p256_sign(key, hash, sizeof(hash), NULL, result));
        assert_memory_equal(result, expected, sizeof(result));
    }
}

/* mbedTLS' own ECDSA with the curve loaded once. */
struct reference {
    mbedtls_ecp_group group;
    mbedtls_ecp_point public;
    mbedtls_mpi key;
    mbedtls_mpi r;
    mbedtls_mpi s;
};

static void reference_begin(struct reference *reference)
{
    mbedtls_ecp_group_init(&reference->group);
    mbedtls_ecp_point_init(&reference->public);
    mbedtls_mpi_init(&reference->key);
    mbedtls_mpi_init(&reference->r);
    mbedtls_mpi_init(&reference->s);
    assert_int_equal(mbedtls_ecp_group_load(&reference->group, MBEDTLS_ECP_DP_SECP256R1), 0);
}

static void reference_end(struct reference *reference)
{
    mbedtls_mpi_free(&reference->s);
    mbedtls_mpi_free(&reference->r);
    mbedtls_mpi_free(&reference->key);
    mbedtls_ecp_point_free(&reference->public);
    mbedtls_ecp_group_free(&reference->group);
}

/* What mbedTLS makes of the same key and hash, bit for bit; and, for some, whether it takes a
 * signature with fresh randomness for good. */
static void test_p256_random(void **state)
{
    struct samples samples = {4};
    struct reference mbed;
    uint8_t key[P256_KEY_BYTES];
    uint8_t hash[64];
    uint8_t fresh[P256_FRESH_BYTES];
    uint8_t expected[P256_SIGNATURE_BYTES];
    uint8_t result[P256_SIGNATURE_BYTES];
    (void)state;

    reference_begin(&mbed);
    for (size_t i = 0; i < CASES; i++) {
        size_t len = i % 3 == 0 ? HASH : 20 + i % 45;
        samples_fill(&samples, key, sizeof(key));
        samples_fill(&samples, hash, sizeof(hash));
        if (i % 16 == 0) /* A hash above the order must be reduced. */
            memset(hash, 0xff, 16);
        assert_int_equal(mbedtls_mpi_read_binary(&mbed.key, key, sizeof(key)), 0);
        assert_int_equal(mbedtls_ecdsa_sign_det_ext(&mbed.group, &mbed.r, &mbed.s, &mbed.key, hash,
                                                    len, MBEDTLS_MD_SHA256, samples_random,
                                                    &samples),
                         0);
        assert_int_equal(mbedtls_mpi_write_binary(&mbed.r, expected, HASH), 0);
        assert_int_equal(mbedtls_mpi_write_binary(&mbed.s, expected + HASH, HASH), 0);
        assert_true(p256_sign(key, hash, len, NULL, result));
        assert_memory_equal(result, expected, sizeof(result));
        if (i >= SLOW_CASES)
            continue;
        samples_fill(&samples, fresh, sizeof(fresh));
        assert_true(p256_sign(key, hash, len, fresh, result));
        assert_memory_not_equal(result, expected, HASH);
        assert_int_equal(mbedtls_mpi_read_binary(&mbed.r, result, HASH), 0);
        assert_int_equal(mbedtls_mpi_read_binary(&mbed.s, result + HASH, HASH), 0);
        assert_int_equal(mbedtls_ecp_mul(&mbed.group, &mbed.public, &mbed.key, &mbed.group.G,
                                         samples_random, &samples),
                         0);
        assert_int_equal(
            mbedtls_ecdsa_verify(&mbed.group, hash, len, &mbed.public, &mbed.r, &mbed.s), 0);
    }
    reference_end(&mbed);
}

/* The same randomness gives the same nonce, any other another one, even all zeros. */
static void test_p256_nonces(void **state)
{
    uint8_t key[P256_KEY_BYTES] = {1};
    uint8_t hash[HASH] = {2};
    uint8_t fresh[P256_FRESH_BYTES] = {0};
    uint8_t plain[P256_SIGNATURE_BYTES];
    uint8_t first[P256_SIGNATURE_BYTES];
    uint8_t second[P256_SIGNATURE_BYTES];
    (void)state;

    assert_true(p256_sign(key, hash, sizeof(hash), NULL, plain));
    assert_true(p256_sign(key, hash, sizeof(hash), fresh, first));
    assert_true(p256_sign(key, hash, sizeof(hash), fresh, second));
    assert_memory_not_equal(first, plain, HASH);
    assert_memory_equal(first, second, sizeof(first));
    fresh[P256_FRESH_BYTES - 1] = 1;
    assert_true(p256_sign(key, hash, sizeof(hash), fresh, second));
    assert_memory_not_equal(first, second, HASH);
    /* A generator that stands still: other hashes and other keys still get other nonces. */
    hash[HASH - 1] = 1;
    assert_true(p256_sign(key, hash, sizeof(hash), fresh, first));
    assert_memory_not_equal(first, second, HASH);
}

static void test_p256_refused(void **state)
{
    static const struct {
        const char *key;
        size_t hash_len;
        bool good;
    } cases[] = {
        {"0000000000000000000000000000000000000000000000000000000000000000", 32, false},
        {"0000000000000000000000000000000000000000000000000000000000000001", 32, true},
        {"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550", 32, true},
        {"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 32, false},
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", 32, false},
        {"0000000000000000000000000000000000000000000000000000000000000001", 19, false},
        {"0000000000000000000000000000000000000000000000000000000000000001", 20, true},
        {"0000000000000000000000000000000000000000000000000000000000000001", 64, true},
        {"0000000000000000000000000000000000000000000000000000000000000001", 65, false},
    };
    uint8_t key[P256_KEY_BYTES];
    uint8_t hash[65] = {0};
    uint8_t result[P256_SIGNATURE_BYTES];
    (void)state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        samples_hex(cases[i].key, key, sizeof(key));
        memset(result, 0xa5, sizeof(result));
        assert_int_equal(p256_sign(key, hash, cases[i].hash_len, NULL, result), cases[i].good);
        if (!cases[i].good)
            assert_memory_equal(result, zeros, sizeof(result));
    }
}

static int no_random(void *context, unsigned char *bytes, size_t len)
{
    (void)context;
    memset(bytes, 0, len);
    return MBEDTLS_ERR_ECP_RANDOM_FAILED;
}

/* As TLS calls it: P-256 is ours, P-384 is mbedTLS' still; without randomness there is neither. */
static void test_ecdsa_in_pk(void **state)
{
    static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_SECP256R1,
                                                  MBEDTLS_ECP_DP_SECP384R1};
    struct samples samples = {5};
    uint8_t hash[48];
    uint8_t signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    (void)state;

    for (size_t i = 0; i < COUNT(curves); i++) {
        mbedtls_pk_context pk;
        size_t len = 0;
        mbedtls_pk_init(&pk);
        assert_int_equal(mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
        assert_int_equal(
            mbedtls_ecp_gen_key(curves[i], mbedtls_pk_ec(pk), samples_random, &samples), 0);
        samples_fill(&samples, hash, sizeof(hash));
        assert_int_equal(mbedtls_pk_sign_ext(MBEDTLS_PK_ECDSA, &pk, MBEDTLS_MD_SHA384, hash, 48,
                                             signature, sizeof(signature), &len, samples_random,
                                             &samples),
                         0);
        assert_int_equal(mbedtls_pk_verify(&pk, MBEDTLS_MD_SHA384, hash, 48, signature, len), 0);
        assert_int_equal(mbedtls_pk_sign(&pk, MBEDTLS_MD_SHA256, hash, 32, signature,
                                         sizeof(signature), &len, samples_random, &samples),
                         0);
        assert_int_equal(mbedtls_pk_verify(&pk, MBEDTLS_MD_SHA256, hash, 32, signature, len), 0);
        assert_int_not_equal(mbedtls_pk_sign(&pk, MBEDTLS_MD_SHA256, hash, 32, signature, 60, &len,
                                             samples_random, &samples),
                             0);
        assert_int_not_equal(mbedtls_pk_sign(&pk, MBEDTLS_MD_SHA256, hash, 32, signature,
                                             sizeof(signature), &len, no_random, NULL),
                             0);
        assert_int_not_equal(mbedtls_pk_sign_ext(MBEDTLS_PK_RSASSA_PSS, &pk, MBEDTLS_MD_SHA256,
                                                 hash, 32, signature, sizeof(signature), &len,
                                                 samples_random, &samples),
                             0);
        mbedtls_pk_free(&pk);
    }
}

/* GMP would end the process. The sanitizer does, and cannot be asked not to from here. */
static void test_shortage(void **state)
{
    (void)state;
    assert_true(gmp_memory_suffices(8192));
#ifndef __SANITIZE_ADDRESS__
    assert_false(gmp_memory_suffices(SIZE_MAX / 64));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_p256_known),  cmocka_unit_test(test_p256_random),
        cmocka_unit_test(test_p256_nonces), cmocka_unit_test(test_p256_refused),
        cmocka_unit_test(test_ecdsa_in_pk), cmocka_unit_test(test_shortage),
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
