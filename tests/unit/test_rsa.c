/* RSA signatures: the known answers, mbedTLS' own answers, and what is refused. */
#include "unit.h"

#ifdef ACCELERATE

#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/rsa.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/span.h"
#include "crypto/accelerate.h"
#include "crypto/primitives.h"
#include "pki.h"
#include "samples.h"

/* Where a processor is emulated, fewer do. */
#ifndef CASES
enum { CASES = 10000 };
#endif
enum { DER_MOST = 5120 };

extern __typeof__(mbedtls_pk_sign) __real_mbedtls_pk_sign;

struct key {
    mbedtls_pk_context pk;
    unsigned char buffer[DER_MOST];
    struct span der;
    size_t len; /* of the modulus */
};

static struct samples samples = {6};

static bool fill(void *context, uint8_t *bytes, size_t len)
{
    samples_fill(context, bytes, len);
    return true;
}

static const struct random good_random = {.fill = fill, .context = &samples};

static void key_end(struct key *key)
{
    mbedtls_pk_free(&key->pk);
}

static void key_finish(struct key *key)
{
    int len = mbedtls_pk_write_key_der(&key->pk, key->buffer, sizeof(key->buffer));

    assert_true(len > 0);
    key->der = (struct span){(const char *)key->buffer + sizeof(key->buffer) - len, (size_t)len};
    key->len = mbedtls_pk_get_len(&key->pk);
}

/* A key that openssl makes now. */
static void key_make(struct key *key, int bits)
{
    char lines[128];
    unsigned char der[DER_MOST];

    (void)snprintf(lines, sizeof(lines),
                   "openssl genrsa -traditional %d 2>/dev/null |"
                   " openssl rsa -traditional -outform DER -out key.der 2>/dev/null\n",
                   bits);
    pki_run(lines);
    FILE *file = fopen("key.der", "rb");
    assert_non_null(file);
    size_t len = fread(der, 1, sizeof(der), file);
    assert_int_equal(fclose(file), 0);
    mbedtls_pk_init(&key->pk);
    assert_int_equal(mbedtls_pk_parse_key(&key->pk, der, len, NULL, 0, samples_random, &samples),
                     0);
    key_finish(key);
    assert_int_equal(mbedtls_pk_get_bitlen(&key->pk), bits);
}

static mbedtls_rsa_context *rsa_of(struct key *key)
{
    return mbedtls_pk_rsa(key->pk);
}

static int begin(void **state)
{
    (void)state;
    return accelerate_begin() && psa_crypto_init() == PSA_SUCCESS ? pki_begin() : -1;
}

static int end(void **state)
{
    (void)state;
    accelerate_end();
    mbedtls_psa_crypto_free();
    return pki_end();
}

/* The vectors of PKCS #1 version 2.1 (RSA Laboratories) for RSASSA-PSS: the test vector with
 * intermediate values, and example 1.1. */
static const struct {
    const char *p;
    const char *q;
    const char *n;
    const char *signature;
} vectors[] = {
    {
        "d17f655bf27c8b16d35462c905cc04a26f37e2a67fa9c0ce0dced472394a0df7"
        "43fe7f929e378efdb368eddff453cf007af6d948e0ade757371f8a711e278f6b",
        "c6d92b6fee7414d1358ce1546fb62987530b90bd15e0f14963a5e2635adb6934"
        "7ec0c01b2ab1763fd8ac1a592fb22757463a982425bb97a3a437c5bf86d03f2f",
        "a2ba40ee07e3b2bd2f02ce227f36a195024486e49c19cb41bbbdfbba98b22b0e"
        "577c2eeaffa20d883a76e65e394c69d4b3c05a1e8fadda27edb2a42bc000fe88"
        "8b9b32c22d15add0cd76b3e7936e19955b220dd17d4ea904b1ec102b2e4de775"
        "1222aa99151024c7cb41cc5ea21d00eeb41f7c800834d2c6e06bce3bce7ea9a5",
        "8daa627d3de7595d63056c7ec659e54406f10610128baae821c8b2a0f3936d54"
        "dc3bdce46689f6b7951bb18e840542769718d5715d210d85efbb596192032c42"
        "be4c29972c856275eb6d5a45f05f51876fc6743deddd28caec9bb30ea99e02c3"
        "488269604fe497f74ccd7c7fca1671897123cbd30def5d54a2b5536ad90a747e",
    },
    {
        "e7e8942720a877517273a356053ea2a1bc0c94aa72d55c6e86296b2dfc967948"
        "c0a72cbccca7eacb35706e09a1df55a1535bd9b3cc34160b3b6dcd3eda8e6443",
        "b69dca1cf7d4d7ec81e75b90fcca874abcde123fd2700180aa90479b6e48de8d"
        "67ed24f9f19d85ba275874f542cd20dc723e6963364a1f9425452b269a6799fd",
        "a56e4a0e701017589a5187dc7ea841d156f2ec0e36ad52a44dfeb1e61f7ad991"
        "d8c51056ffedb162b4c0f283a12a88a394dff526ab7291cbb307ceabfce0b1df"
        "d5cd9508096d5b2b8b6df5d671ef6377c0921cb23c270a70e2598e6ff89d19f1"
        "05acc2d3f0cb35f29280e1386b6f64c4ef22e1e1f20d0ce8cffb2249bd9a2137",
        "9074308fb598e9701b2294388e52f971faac2b60a5145af185df5287b5ed2887"
        "e57ce7fd44dc8634e407c8e0e4360bc226f3ec227f9d9e54638e8d31f5051215"
        "df6ebb9c2f9579aa77598a38f914b5b9c1bd83c4e2f9f382a0d0aa3542ffee65"
        "984a601bc69eb28deb27dca12c82c2d4c3f66cd500f1ff2b994d8a4e30cbb33c",
    },
};

static void key_of_vector(struct key *key, const char *p, const char *q, const char *n)
{
    uint8_t primes[2][64];
    uint8_t modulus[128];
    const uint8_t exponent[] = {1, 0, 1};

    samples_hex(p, primes[0], sizeof(primes[0]));
    samples_hex(q, primes[1], sizeof(primes[1]));
    samples_hex(n, modulus, sizeof(modulus));
    mbedtls_pk_init(&key->pk);
    assert_int_equal(mbedtls_pk_setup(&key->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA)), 0);
    assert_int_equal(mbedtls_rsa_import_raw(rsa_of(key), modulus, sizeof(modulus), primes[0],
                                            sizeof(primes[0]), primes[1], sizeof(primes[1]), NULL,
                                            0, exponent, sizeof(exponent)),
                     0);
    assert_int_equal(mbedtls_rsa_complete(rsa_of(key)), 0);
    key_finish(key);
}

/* What was signed is had back by the public operation, and gives the signature again. */
static void test_known(void **state)
{
    uint8_t signature[128];
    uint8_t message[128];
    uint8_t result[128];
    size_t len;
    (void)state;

    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct key key;
        CBS bytes;
        key_of_vector(&key, vectors[i].p, vectors[i].q, vectors[i].n);
        samples_hex(vectors[i].signature, signature, sizeof(signature));
        assert_int_equal(mbedtls_rsa_public(rsa_of(&key), signature, message), 0);
        assert_int_equal(message[127], 0xbc); /* the trailer of PSS */
        CBS_init(&bytes, (const uint8_t *)key.der.data, key.der.len);
        RSA *rsa = RSA_parse_private_key(&bytes);
        assert_non_null(rsa);
        needs_begin(&good_random);
        assert_int_equal(RSA_sign_raw(rsa, &len, result, sizeof(result), message, sizeof(message),
                                      RSA_NO_PADDING),
                         1);
        assert_true(needs_end());
        assert_int_equal(len, 128);
        assert_memory_equal(result, signature, sizeof(signature));
        RSA_free(rsa);
        key_end(&key);
    }
}

static const struct {
    mbedtls_md_type_t type;
    size_t len;
} hashes[] = {{MBEDTLS_MD_SHA256, 32}, {MBEDTLS_MD_SHA384, 48}, {MBEDTLS_MD_SHA512, 64}};

/* Ten thousand digests: mbedTLS takes each signature, and makes the same where no salt is in it, which
 * takes so much longer that it does it for some. */
static void test_random(void **state)
{
    uint8_t digest[64], expected[RSA_BYTES_MOST], result[RSA_BYTES_MOST];
    struct key key;
    (void)state;

    key_make(&key, 1024);
    struct rsa_context *context = rsa_keep(key.der);
    assert_non_null(context);
    for (size_t i = 0; i < CASES; i++) {
        enum rsa_hash hash = i % 2; /* SHA-512 with its salt is too long for this key */
        enum rsa_scheme scheme = i / 2 % 2;
        mbedtls_md_type_t type = hashes[hash].type;
        unsigned len = (unsigned)hashes[hash].len;
        samples_fill(&samples, digest, sizeof(digest));
        assert_int_equal(
            rsa_sign(context, scheme, hash, digest, &good_random, result, sizeof(result)), key.len);
        if (scheme == RSA_PSS)
            assert_int_equal(mbedtls_rsa_rsassa_pss_verify_ext(rsa_of(&key), type, len, digest,
                                                               type, (int)len, result),
                             0);
        else
            assert_int_equal(
                mbedtls_rsa_rsassa_pkcs1_v15_verify(rsa_of(&key), type, len, digest, result), 0);
        if (i >= CASES / 100 || scheme == RSA_PSS)
            continue;
        assert_int_equal(mbedtls_rsa_rsassa_pkcs1_v15_sign(rsa_of(&key), samples_random, &samples,
                                                           type, len, digest, expected),
                         0);
        assert_memory_equal(expected, result, key.len);
    }
    rsa_forget();
    key_end(&key);
}

static int no_random(void *context, unsigned char *bytes, size_t len)
{
    (void)context;
    memset(bytes, 0, len);
    return MBEDTLS_ERR_RSA_RNG_FAILED;
}

static void sign_all(struct key *key)
{
    uint8_t digest[64];
    uint8_t expected[RSA_BYTES_MOST];
    uint8_t result[RSA_BYTES_MOST];
    size_t len;

    for (size_t i = 0; i < COUNT(hashes); i++) {
        samples_fill(&samples, digest, sizeof(digest));
        assert_int_equal(mbedtls_pk_sign(&key->pk, hashes[i].type, digest, hashes[i].len, result,
                                         sizeof(result), &len, samples_random, &samples),
                         0);
        assert_int_equal(len, key->len);
        assert_int_equal(__real_mbedtls_pk_sign(&key->pk, hashes[i].type, digest, hashes[i].len,
                                                expected, sizeof(expected), &len, samples_random,
                                                &samples),
                         0);
        assert_memory_equal(result, expected, key->len);
        const mbedtls_pk_rsassa_pss_options options = {hashes[i].type, (int)hashes[i].len};
        assert_int_equal(mbedtls_pk_sign_ext(MBEDTLS_PK_RSASSA_PSS, &key->pk, hashes[i].type,
                                             digest, hashes[i].len, result, sizeof(result), &len,
                                             samples_random, &samples),
                         0);
        assert_int_equal(mbedtls_pk_verify_ext(MBEDTLS_PK_RSASSA_PSS, &options, &key->pk,
                                               hashes[i].type, digest, hashes[i].len, result, len),
                         0);
        assert_int_not_equal(mbedtls_pk_sign_ext(MBEDTLS_PK_RSASSA_PSS, &key->pk, hashes[i].type,
                                                 digest, hashes[i].len, result, sizeof(result),
                                                 &len, no_random, NULL),
                             0);
        assert_int_not_equal(mbedtls_pk_sign(&key->pk, hashes[i].type, digest, hashes[i].len,
                                             result, key->len - 1, &len, samples_random, &samples),
                             0);
    }
}

/* As TLS calls it, with keys whose lengths are not multiples of eight bits too: for one of 1,041 the
 * encoded message of PSS is a byte shorter than the modulus. */
static void test_rsa_in_pk(void **state)
{
    static const int sizes[] = {1041, 2047, 2048, 3072};
    (void)state;

    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct key key;
        key_make(&key, sizes[i]);
        sign_all(&key);
        key_end(&key);
    }
}

/* Whatever is wrong, nothing of a result is seen, and the context is not used again. */
static void expect_refusal(struct key *key, enum rsa_scheme scheme, const struct random *random)
{
    uint8_t untouched[RSA_BYTES_MOST], result[RSA_BYTES_MOST];
    const uint8_t digest[64] = {0x12, 0x34};
    struct rsa_context *context = rsa_keep(key->der);

    assert_non_null(context);
    memset(untouched, 0xa5, sizeof(untouched));
    memcpy(result, untouched, sizeof(result));
    assert_int_equal(rsa_sign(context, scheme, RSA_SHA256, digest, random, result, sizeof(result)),
                     0);
    assert_memory_equal(result, untouched, sizeof(result));
    rsa_forget();
}

/* The place of the INTEGER's last byte in a RSAPrivateKey: version, n, e, d, p, q, dp, dq, qp. */
static size_t last_byte_of(const unsigned char *der, size_t index)
{
    size_t pos = 4; /* SEQUENCE with a length of two bytes */

    for (;; index--) {
        size_t len = der[pos + 1];
        pos += 2;
        if (len == 0x81)
            len = der[pos++];
        else if (len == 0x82) {
            len = (size_t)der[pos] << 8 | der[pos + 1];
            pos += 2;
        }
        pos += len;
        if (index == 0)
            return pos - 1;
    }
}

/* A fault in any number of the key, and a key that ends anywhere. */
static void test_corrupted_key(void **state)
{
    enum { NUMBERS = 9 };
    unsigned char bytes[DER_MOST];
    struct key key;
    (void)state;

    key_make(&key, 1024);
    for (size_t i = 0; i < NUMBERS; i++) {
        for (int bit = 1; bit < 256; bit <<= 1) {
            memcpy(bytes, key.der.data, key.der.len);
            bytes[last_byte_of(bytes, i)] ^= (unsigned char)bit;
            assert_null(rsa_keep((struct span){(const char *)bytes, key.der.len}));
        }
    }
    for (size_t len = 0; len < key.der.len; len++) {
        struct span der = guard_copy((struct span){key.der.data, len});
        assert_null(rsa_keep(der));
        guard_free(der);
    }
    memcpy(bytes, key.der.data, key.der.len);
    bytes[key.der.len] = 0;
    assert_null(rsa_keep((struct span){(const char *)bytes, key.der.len + 1}));
    key_end(&key);
}

/* Any byte may be any other: the result is right or there is none. */
static void test_mutated_key(void **state)
{
    unsigned char bytes[DER_MOST];
    const uint8_t digest[64] = {0x12, 0x34};
    uint8_t expected[128], result[128];
    struct key key;
    size_t refused = 0;
    (void)state;

    key_make(&key, 1024);
    assert_int_equal(rsa_sign(rsa_keep(key.der), RSA_PKCS1, RSA_SHA256, digest, &good_random,
                              expected, sizeof(expected)),
                     128);
    for (size_t i = 0; i < CASES / 5; i++) {
        uint16_t where[3];
        samples_fill(&samples, where, sizeof(where));
        memcpy(bytes, key.der.data, key.der.len);
        for (size_t j = 0; j <= i % 3; j++)
            samples_fill(&samples, bytes + where[j] % key.der.len, 1);
        struct rsa_context *context = rsa_keep((struct span){(const char *)bytes, key.der.len});
        if (context == NULL || rsa_sign(context, RSA_PKCS1, RSA_SHA256, digest, &good_random,
                                        result, sizeof(result)) == 0)
            refused++;
        else
            assert_memory_equal(result, expected, sizeof(expected));
    }
    assert_true(refused > CASES / 10);
    rsa_forget();
    key_end(&key);
}

static struct span modulus_of(struct key *key, uint8_t *bytes)
{
    assert_int_equal(
        mbedtls_rsa_export_raw(rsa_of(key), bytes, key->len, NULL, 0, NULL, 0, NULL, 0, NULL, 0),
        0);
    return (struct span){(const char *)bytes, key->len};
}

/* A fault in the computation: a number of a sound key changes after it was checked. Each of the results
 * by the Chinese remainder theorem would be wrong, and would give away a prime. */
static void test_fault_after_check(void **state)
{
    const BIGNUM *(*const numbers[])(const RSA *) = {RSA_get0_dmp1, RSA_get0_dmq1, RSA_get0_iqmp};
    const uint8_t digest[64] = {0x12, 0x34};
    uint8_t result[128];
    struct key key;
    (void)state;

    key_make(&key, 1024);
    for (size_t i = 0; i < 2 * COUNT(numbers); i++) {
        struct rsa_context *context = rsa_keep(key.der);
        assert_non_null(context);
        RSA *rsa = *(RSA **)context; /* its first member */
        BIGNUM *number = (BIGNUM *)(uintptr_t)numbers[i / 2](rsa);
        assert_int_equal(BN_is_bit_set(number, 1) ? BN_clear_bit(number, 1) : BN_set_bit(number, 1),
                         1);
        memset(result, 0xa5, sizeof(result));
        assert_int_equal(rsa_sign(context, i % 2 == 0 ? RSA_PKCS1 : RSA_PSS, RSA_SHA256, digest,
                                  &good_random, result, sizeof(result)),
                         0);
        for (size_t j = 0; j < sizeof(result); j++)
            assert_int_equal(result[j], 0xa5);
        /* It is forgotten, and the next is sound. */
        assert_null(rsa_find(modulus_of(&key, result)));
    }
    key_end(&key);
}

struct failing {
    size_t left; /* calls that still succeed */
};

static bool fill_until(void *context, uint8_t *bytes, size_t len)
{
    struct failing *failing = context;

    samples_fill(&samples, bytes, len);
    if (failing->left == 0)
        return false;
    failing->left--;
    return true;
}

static void test_refused(void **state)
{
    struct failing failing = {0};
    const struct random failing_random = {.fill = fill_until, .context = &failing};
    uint8_t result[128];
    const uint8_t digest[64] = {0x12, 0x34};
    struct key key;
    (void)state;

    key_make(&key, 1024);
    /* A blinding of a new context takes two numbers, and a salt is one more. */
    for (size_t calls = 0; calls < 2; calls++) {
        failing.left = calls;
        expect_refusal(&key, RSA_PKCS1, &failing_random);
    }
    for (size_t calls = 0; calls < 3; calls++) {
        failing.left = calls;
        expect_refusal(&key, RSA_PSS, &failing_random);
    }
    struct rsa_context *context = rsa_keep(key.der);
    assert_non_null(context);
    assert_int_equal(
        rsa_sign(context, RSA_PKCS1, RSA_SHA256, digest, &good_random, result, sizeof(result) - 1),
        0);
    /* SHA-512 and its salt need 130 bytes. */
    assert_int_equal(
        rsa_sign(context, RSA_PSS, RSA_SHA512, digest, &good_random, result, sizeof(result)), 0);
    rsa_forget();
    key_end(&key);
}

/* A bounded number is kept, the last ones used; each gives its own key's signatures. */
static void test_contexts(void **state)
{
    static struct key keys[LIMIT_RSA_CONTEXTS + 2];
    static uint8_t moduli[COUNT(keys)][128];
    uint8_t result[128];
    const uint8_t digest[32] = {1};
    (void)state;

    for (size_t i = 0; i < COUNT(keys); i++) {
        key_make(&keys[i], 1024);
        struct span modulus = modulus_of(&keys[i], moduli[i]);
        assert_null(rsa_find(modulus));
        assert_non_null(rsa_keep(keys[i].der));
        assert_non_null(rsa_find(modulus));
        /* The first one is used again and again, so it stays. */
        assert_non_null(rsa_find(modulus_of(&keys[0], moduli[0])));
    }
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct rsa_context *context = rsa_find(modulus_of(&keys[i], moduli[i]));
        assert_int_equal(context == NULL, i == 1 || i == 2);
        if (context == NULL)
            continue;
        assert_int_equal(
            rsa_sign(context, RSA_PKCS1, RSA_SHA256, digest, &good_random, result, sizeof(result)),
            128);
        assert_int_equal(mbedtls_rsa_rsassa_pkcs1_v15_verify(rsa_of(&keys[i]), MBEDTLS_MD_SHA256,
                                                             32, digest, result),
                         0);
    }
    rsa_forget();
    for (size_t i = 0; i < COUNT(keys); i++) {
        assert_null(rsa_find(modulus_of(&keys[i], moduli[i])));
        key_end(&keys[i]);
    }
}

/* More signatures than one blinding serves, each of which is right. */
static void test_blinding(void **state)
{
    uint8_t expected[256], result[256];
    const uint8_t digest[32] = {1};
    struct key key;
    (void)state;

    key_make(&key, 2048);
    assert_int_equal(mbedtls_rsa_rsassa_pkcs1_v15_sign(rsa_of(&key), samples_random, &samples,
                                                       MBEDTLS_MD_SHA256, 32, digest, expected),
                     0);
    struct rsa_context *context = rsa_keep(key.der);
    for (int i = 0; i < 70; i++) {
        assert_int_equal(
            rsa_sign(context, RSA_PKCS1, RSA_SHA256, digest, &good_random, result, sizeof(result)),
            256);
        assert_memory_equal(result, expected, sizeof(expected));
    }
    rsa_forget();
    key_end(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_rsa_in_pk),
        cmocka_unit_test(test_corrupted_key),
        cmocka_unit_test(test_mutated_key),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_blinding),
        cmocka_unit_test(test_fault_after_check),
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
