/* X25519, P-256, P-384, the hashes and what TLS derives by them: the known answers, mbedTLS' own
 * answers, and what is refused. */
#include "unit.h"

#ifdef ACCELERATE

/* Two functions of the key schedule are private to the library. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/ecdh.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>
#include <psa/crypto.h>
#include <ssl_misc.h>
#include <ssl_tls13_keys.h>
#include <string.h>

#include "crypto/accelerate.h"
#include "crypto/primitives.h"
#include "plain_sha.h"
#include "samples.h"

/* Where a processor is emulated, fewer do. mbedTLS takes a millisecond for one and more. */
#ifndef CASES
enum { CASES = 10000 };
#endif
enum { LEN = 32 };

static const struct {
    mbedtls_ecp_group_id id;
    psa_ecc_family_t family;
    size_t bits;
} curves[CURVE_COUNT] = {
    [CURVE_X25519] = {MBEDTLS_ECP_DP_CURVE25519, PSA_ECC_FAMILY_MONTGOMERY, 255},
    [CURVE_P256] = {MBEDTLS_ECP_DP_SECP256R1, PSA_ECC_FAMILY_SECP_R1, 256},
    [CURVE_P384] = {MBEDTLS_ECP_DP_SECP384R1, PSA_ECC_FAMILY_SECP_R1, 384},
};

static int begin(void **state)
{
    (void)state;
    return accelerate_begin() && psa_crypto_init() == PSA_SUCCESS ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    accelerate_end();
    mbedtls_psa_crypto_free();
    return 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
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
    uint8_t secret[LEN];
    uint8_t point[LEN];
    uint8_t expected[LEN];
    uint8_t result[LEN];
    (void)state;

    for (size_t i = 0; i < COUNT(vectors); i++) {
        samples_hex(vectors[i][0], secret, sizeof(secret));
        samples_hex(vectors[i][1], point, sizeof(point));
        samples_hex(vectors[i][2], expected, sizeof(expected));
        assert_true(curve_multiply(CURVE_X25519, secret, point, result));
        assert_memory_equal(result, expected, sizeof(result));
    }
    memset(secret, 0, sizeof(secret));
    secret[0] = 9;
    memcpy(point, secret, sizeof(point));
    for (size_t i = 0; i < 1000; i++) {
        assert_true(curve_multiply(CURVE_X25519, secret, point, result));
        memcpy(point, secret, sizeof(point));
        memcpy(secret, result, sizeof(secret));
    }
    samples_hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", expected,
                sizeof(expected));
    assert_memory_equal(secret, expected, sizeof(secret));
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
    uint8_t secret[LEN];
    uint8_t point[LEN];
    uint8_t result[LEN];
    (void)state;

    for (size_t i = 0; i < COUNT(small_orders); i++) {
        samples_hex(small_orders[i], point, sizeof(point));
        samples_fill(&samples, secret, sizeof(secret));
        memset(result, 0xa5, sizeof(result));
        assert_false(curve_multiply(CURVE_X25519, secret, point, result));
        assert_true(is_zero(result, sizeof(result)));
    }
}

/* What an answer of RFC 6979 has, for a hash shorter than the order, as long, and longer. */
static const struct signed_sample {
    enum curve curve;
    const char *secret;
    const char *hash;
    const char *nonce;
    const char *signature;
} signed_samples[] = {
    {CURVE_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "8151325dcdbae9e0ff95f9f9658432dbedfdb209",
     "882905f1227fd620fbf2abf21244f0ba83d0dc3a9103dbbee43a1fb858109db4",
     "61340c88c3aaebeb4f6d667f672ca9759a6ccaa9fa8811313039ee4a35471d32"
     "6d7f147dac089441bb2e2fe8f7a3fa264b9c475098fdcf6e00d7c996e1b8b7eb"},
    {CURVE_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
     "8c9520267c55d6b980df741e56b4adee114d84fbfa2e62137954164028632a2e",
     "0cbcc86fd6abd1d99e703e1ec50069ee5c0b4ba4b9ac60e409e8ec5910d81a89"
     "01b9d7b73dfaa60d5651ec4591a0136f87653e0fd780c3b1bc872ffdeae479b1"},
    {CURVE_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf",
     "a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60",
     "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
     "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
    {CURVE_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
     "d16b6ae827f17175e040871a1c7ec3500192c4c92677336ec2537acaee0008e0",
     "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
     "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
    {CURVE_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "9a9083505bc92276aec4be312696ef7bf3bf603f4bbd381196a029f340585312"
     "313bca4a9b5b890efee42c77b1ee25fe",
     "09f634b188cefd98e7ec88b1aa9852d734d0bc272f7d2a47decc6ebeb375aad4",
     "0eafea039b20e9b42309fb1d89e213057cbf973dc0cfc8f129edddc800ef7719"
     "4861f0491e6998b9455193e34e7b0d284ddd7149a74b95b9261f13abde940954"},
    {CURVE_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "768412320f7b0aa5812fce428dc4706b3cae50e02a64caa16a782249bfe8efc4"
     "b7ef1ccb126255d196047dfedf17a0a9",
     "16aeffa357260b04b1dd199693960740066c1a8f3e8edd79070aa914d361b3b8",
     "83910e8b48bb0c74244ebdf7f07a1c5413d61472bd941ef3920e623fbccebeb6"
     "8ddbec54cf8cd5874883841d712142a56a8d0f218f5003cb0296b6b509619f2c"},
    {CURVE_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "39a5e04aaff7455d9850c605364f514c11324ce64016960d23d5dc57d3ffd8f4"
     "9a739468ab8049bf18eef820cdb1ad6c9015f838556bc7fad4138b23fdf986c7",
     "5fa81c63109badb88c1f367b47da606da28cad69aa22c4fe6ad7df73a7173aa5",
     "8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00"
     "2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe"},
    {CURVE_P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "ee26b0dd4af7e749aa1a8ee3c10ae9923f618980772e473f8819a5d4940e0db2"
     "7ac185f8a0e1d5f84f88bc887fd67b143732c304cc5fa9ad8e6f57f50028a8ff",
     "6915d11632aca3c40d5d51c08daf9c555933819548784480e93499000d9f0b7f",
     "461d93f31b6540894788fd206c07cfa0cc35f46fa3c91816fff1040ad1581a04"
     "39af9f15de0db8d97e72719c74820d304ce5226e32dedae67519e840d1194e55"},
    {CURVE_P384,
     "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
     "96d5724e4c70a825f872c9ea60d2edf5",
     "8151325dcdbae9e0ff95f9f9658432dbedfdb209",
     "4471ef7518bb2c7c20f62eae1c387ad0c5e8e470995db4acf694466e6ab09663"
     "0f29e5938d25106c3c340045a2db01a7",
     "ec748d839243d6fbef4fc5c4859a7dffd7f3abddf72014540c16d73309834fa3"
     "7b9ba002899f6fda3a4a9386790d4eb2a3bcfa947beef4732bf247ac17f71676"
     "cb31a847b9ff0cbc9c9ed4c1a5b3facf26f49ca031d4857570ccb5ca4424a443"},
    {CURVE_P384,
     "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
     "96d5724e4c70a825f872c9ea60d2edf5",
     "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
     "66cc2c8f4d303fc962e5ff6a27bd79f84ec812ddae58cf5243b64a4ad8094d47"
     "ec3727f3a3c186c15054492e30698497",
     "4bc35d3a50ef4e30576f58cd96ce6bf638025ee624004a1f7789a8b8e43d0678"
     "acd9d29876daf46638645f7f404b11c7d5a6326c494ed3ff614703878961c0fd"
     "e7b2c278f9a65fd8c4b7186201a2991695ba1c84541327e966fa7b50f7382282"},
    {CURVE_P384,
     "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
     "96d5724e4c70a825f872c9ea60d2edf5",
     "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf",
     "180ae9f9aec5438a44bc159a1fcb277c7be54fa20e7cf404b490650a8acc414e"
     "375572342863c899f9f2edf9747a9b60",
     "21b13d1e013c7fa1392d03c5f99af8b30c570c6f98d4ea8e354b63a21d3daa33"
     "bde1e888e63355d92fa2b3c36d8fb2cdf3aa443fb107745bf4bd77cb38916746"
     "32068a10ca67e3d45db2266fa7d1feebefdc63eccd1ac42ec0cb8668a4fa0ab0"},
    {CURVE_P384,
     "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
     "96d5724e4c70a825f872c9ea60d2edf5",
     "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
     "0cfac37587532347dc3389fdc98286bba8c73807285b184c83e62e26c401c0fa"
     "a48dd070ba79921a3457abff2d630ad7",
     "6d6defac9ab64dabafe36c6bf510352a4cc27001263638e5b16d9bb51d451559"
     "f918eedaf2293be5b475cc8f0188636b2d46f3becbcc523d5f1a1256bf0c9b02"
     "4d879ba9e838144c8ba6baeb4b53b47d51ab373f9845c0514eefb14024787265"},
    {CURVE_P384,
     "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
     "96d5724e4c70a825f872c9ea60d2edf5",
     "9a9083505bc92276aec4be312696ef7bf3bf603f4bbd381196a029f340585312"
     "313bca4a9b5b890efee42c77b1ee25fe",
     "94ed910d1a099dad3254e9242ae85abde4ba15168eaf0ca87a555fd56d10fbca"
     "2907e3e83ba95368623b8c4686915cf9",
     "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c"
     "81a648152e44acf96e36dd1e80fabe4699ef4aeb15f178cea1fe40db2603138f"
     "130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8"},
    {CURVE_P384,
     "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
     "96d5724e4c70a825f872c9ea60d2edf5",
     "768412320f7b0aa5812fce428dc4706b3cae50e02a64caa16a782249bfe8efc4"
     "b7ef1ccb126255d196047dfedf17a0a9",
     "015ee46a5bf88773ed9123a5ab0807962d193719503c527b031b4c2d225092ad"
     "a71f4a459bc0da98adb95837db8312ea",
     "8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb"
     "0542a7f0812998da8f1dd3ca3cf023dbddd0760448d42d8a43af45af836fce4d"
     "e8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5"},
    {CURVE_P384,
     "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
     "96d5724e4c70a825f872c9ea60d2edf5",
     "39a5e04aaff7455d9850c605364f514c11324ce64016960d23d5dc57d3ffd8f4"
     "9a739468ab8049bf18eef820cdb1ad6c9015f838556bc7fad4138b23fdf986c7",
     "92fc3c7183a883e24216d1141f1a8976c5b0dd797dfa597e3d7b32198bd35331"
     "a4e966532593a52980d0e3aaa5e10ec3",
     "ed0959d5880ab2d869ae7f6c2915c6d60f96507f9cb3e047c0046861da4a799c"
     "fe30f35cc900056d7c99cd7882433709512c8cceee3890a84058ce1e22dbc219"
     "8f42323ce8aca9135329f03c068e5112dc7cc3ef3446defceb01a45c2667fdd5"},
    {CURVE_P384,
     "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
     "96d5724e4c70a825f872c9ea60d2edf5",
     "ee26b0dd4af7e749aa1a8ee3c10ae9923f618980772e473f8819a5d4940e0db2"
     "7ac185f8a0e1d5f84f88bc887fd67b143732c304cc5fa9ad8e6f57f50028a8ff",
     "3780c4f67cb15518b6acae34c9f83568d2e12e47deab6c50a4e4ee5319d1e8ce"
     "0e2cc8a136036dc4b9c00e6888f66b6c",
     "a0d5d090c9980faf3c2ce57b7ae951d31977dd11c775d314af55f76c676447d0"
     "6fb6495cd21b4b6e340fc236584fb277976984e59b4c77b0e8e4460dca3d9f20"
     "e07b9bb1f63beefaf576f6b2e8b224634a2092cd3792e0159ad9cee37659c736"},
};

static void test_signatures_known(void **state)
{
    uint8_t secret[CURVE_SECRET_MOST], hash[64], nonce[CURVE_SECRET_MOST];
    uint8_t expected[CURVE_SIGNATURE_MOST], result[CURVE_SIGNATURE_MOST];
    (void)state;

    for (size_t i = 0; i < COUNT(signed_samples); i++) {
        const struct signed_sample *sample = &signed_samples[i];
        size_t len = curve_secret_len(sample->curve), hash_len = strlen(sample->hash) / 2;
        samples_hex(sample->secret, secret, len);
        samples_hex(sample->hash, hash, hash_len);
        samples_hex(sample->nonce, nonce, len);
        samples_hex(sample->signature, expected, 2 * len);
        assert_true(curve_sign_known(sample->curve, secret, hash, hash_len, nonce, result));
        assert_memory_equal(result, expected, 2 * len);
    }
}

/* X25519 by mbedTLS' generic curves: the public key and the product, of any bytes of a peer. */
static void test_x25519_random(void **state)
{
    struct samples samples = {1};
    uint8_t secret[LEN], point[LEN], expected[LEN], result[LEN];
    mbedtls_ecp_group group;
    mbedtls_ecp_point factor;
    mbedtls_mpi number;
    size_t len;
    (void)state;

    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&factor);
    mbedtls_mpi_init(&number);
    assert_int_equal(mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_CURVE25519), 0);
    for (size_t i = 0; i < CASES; i++) {
        samples_fill(&samples, secret, LEN);
        samples_fill(&samples, point, LEN);
        /* As every secret that mbedTLS makes (RFC 7748 section 5). */
        secret[0] &= 0xf8;
        secret[LEN - 1] = (uint8_t)((secret[LEN - 1] & 0x7f) | 0x40);
        if (i % 2 == 0) {
            memset(point, 0, LEN);
            point[0] = 9;
            assert_true(curve_public(CURVE_X25519, secret, result));
        } else {
            assert_true(curve_multiply(CURVE_X25519, secret, point, result));
        }
        assert_int_equal(mbedtls_mpi_read_binary_le(&number, secret, LEN), 0);
        assert_int_equal(mbedtls_ecp_point_read_binary(&group, &factor, point, LEN), 0);
        assert_int_equal(
            mbedtls_ecp_mul(&group, &factor, &number, &factor, samples_random, &samples), 0);
        assert_int_equal(mbedtls_ecp_point_write_binary(
                             &group, &factor, MBEDTLS_ECP_PF_UNCOMPRESSED, &len, expected, LEN),
                         0);
        assert_memory_equal(result, expected, LEN);
    }
    mbedtls_mpi_free(&number);
    mbedtls_ecp_point_free(&factor);
    mbedtls_ecp_group_free(&group);
}

/* One multiplication of the generator by mbedTLS, which takes so much longer, and what follows from
 * it: K = kG is the public key of k, the product of a and the public key of k/a, and r of a signature
 * with the nonce k, whose s is (hash + r a)/k. */
struct reference {
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_mpi k, a, inverse, number;
};

static void reference_begin(struct reference *reference, enum curve curve)
{
    mbedtls_ecp_group_init(&reference->group);
    mbedtls_ecp_point_init(&reference->point);
    mbedtls_mpi_init(&reference->k);
    mbedtls_mpi_init(&reference->a);
    mbedtls_mpi_init(&reference->inverse);
    mbedtls_mpi_init(&reference->number);
    assert_int_equal(mbedtls_ecp_group_load(&reference->group, curves[curve].id), 0);
}

static void reference_end(struct reference *reference)
{
    mbedtls_mpi_free(&reference->number);
    mbedtls_mpi_free(&reference->inverse);
    mbedtls_mpi_free(&reference->a);
    mbedtls_mpi_free(&reference->k);
    mbedtls_ecp_point_free(&reference->point);
    mbedtls_ecp_group_free(&reference->group);
}

/* Number = number times factor modulo the order, into bytes. */
static void multiply_into(struct reference *mbed, const mbedtls_mpi *factor, uint8_t *ret_bytes,
                          size_t len)
{
    assert_int_equal(mbedtls_mpi_mul_mpi(&mbed->number, &mbed->number, factor), 0);
    assert_int_equal(mbedtls_mpi_mod_mpi(&mbed->number, &mbed->number, &mbed->group.N), 0);
    assert_int_equal(mbedtls_mpi_write_binary(&mbed->number, ret_bytes, len), 0);
}

/* What a signature of the hash by a with the nonce k is. */
static void expect_signature(struct reference *mbed, const uint8_t *point, const uint8_t *hash,
                             size_t len, uint8_t *ret_signature)
{
    mbedtls_mpi s;

    mbedtls_mpi_init(&s);
    assert_int_equal(mbedtls_mpi_read_binary(&mbed->number, point + 1, len), 0);
    assert_int_equal(mbedtls_mpi_mod_mpi(&mbed->number, &mbed->number, &mbed->group.N), 0);
    assert_int_equal(mbedtls_mpi_write_binary(&mbed->number, ret_signature, len), 0);
    assert_int_equal(mbedtls_mpi_mul_mpi(&mbed->number, &mbed->number, &mbed->a), 0);
    assert_int_equal(mbedtls_mpi_read_binary(&s, hash, len), 0);
    assert_int_equal(mbedtls_mpi_add_mpi(&mbed->number, &mbed->number, &s), 0);
    assert_int_equal(mbedtls_mpi_inv_mod(&mbed->inverse, &mbed->k, &mbed->group.N), 0);
    multiply_into(mbed, &mbed->inverse, ret_signature + len, len);
    mbedtls_mpi_free(&s);
}

static void compare(struct reference *mbed, enum curve curve, struct samples *samples)
{
    size_t len = curve_secret_len(curve), point_len;
    uint8_t k[CURVE_SECRET_MOST], a[CURVE_SECRET_MOST], b[CURVE_SECRET_MOST], hash[64];
    uint8_t expected[CURVE_POINT_MOST], peer[CURVE_POINT_MOST], result[CURVE_POINT_MOST];

    samples_fill(samples, k, len);
    samples_fill(samples, a, len);
    samples_fill(samples, hash, sizeof(hash));
    if (a[1] % 16 == 0) /* A hash above the order must be reduced. */
        memset(hash, 0xff, len / 2 + 8);
    k[0] &= 0x7f; /* below the order */
    a[0] &= 0x7f;
    if (a[2] % 64 == 0) /* small ones too */
        memset(k, 0, len - 1);
    assert_int_equal(mbedtls_mpi_read_binary(&mbed->k, k, len), 0);
    assert_int_equal(mbedtls_mpi_read_binary(&mbed->a, a, len), 0);
    assert_int_equal(mbedtls_ecp_mul(&mbed->group, &mbed->point, &mbed->k, &mbed->group.G,
                                     samples_random, samples),
                     0);
    assert_int_equal(mbedtls_ecp_point_write_binary(&mbed->group, &mbed->point,
                                                    MBEDTLS_ECP_PF_UNCOMPRESSED, &point_len,
                                                    expected, sizeof(expected)),
                     0);
    assert_int_equal(point_len, curve_point_len(curve));
    assert_true(curve_public(curve, k, result));
    assert_memory_equal(result, expected, point_len);

    assert_int_equal(mbedtls_mpi_inv_mod(&mbed->number, &mbed->a, &mbed->group.N), 0);
    multiply_into(mbed, &mbed->k, b, len);
    assert_true(curve_public(curve, b, peer));
    assert_true(curve_multiply(curve, a, peer, result));
    assert_memory_equal(result, expected, point_len);

    expect_signature(mbed, expected, hash, len, peer);
    assert_true(curve_sign_known(curve, a, hash, sizeof(hash), k, result));
    assert_memory_equal(result, peer, 2 * len);
}

static void test_p256_random(void **state)
{
    struct samples samples = {2};
    struct reference mbed;
    (void)state;

    reference_begin(&mbed, CURVE_P256);
    for (size_t i = 0; i < CASES; i++)
        compare(&mbed, CURVE_P256, &samples);
    reference_end(&mbed);
}

static void test_p384_random(void **state)
{
    struct samples samples = {3};
    struct reference mbed;
    (void)state;

    reference_begin(&mbed, CURVE_P384);
    for (size_t i = 0; i < CASES; i++)
        compare(&mbed, CURVE_P384, &samples);
    reference_end(&mbed);
}

static void expect_refusal(enum curve curve, const uint8_t *secret, const uint8_t *point)
{
    uint8_t result[CURVE_POINT_MOST];

    memset(result, 0xa5, sizeof(result));
    assert_false(curve_multiply(curve, secret, point, result));
    assert_true(is_zero(result, curve_point_len(curve)));
}

/* What is no point of the curve, by its form or its coordinates. */
static void test_points_refused(void **state)
{
    static const uint8_t forms[] = {0, 2, 3, 5, 6, 7, 0xff};
    struct samples samples = {7};
    uint8_t secret[CURVE_SECRET_MOST], point[CURVE_POINT_MOST], wrong[CURVE_POINT_MOST];
    (void)state;

    for (enum curve curve = CURVE_P256; curve < CURVE_COUNT; curve++) {
        size_t len = curve_point_len(curve);
        samples_fill(&samples, secret, sizeof(secret));
        secret[0] &= 0x7f;
        assert_true(curve_public(curve, secret, point));
        for (size_t i = 0; i < COUNT(forms); i++) {
            memcpy(wrong, point, len);
            wrong[0] = forms[i];
            expect_refusal(curve, secret, wrong);
        }
        for (size_t i = 1; i < len; i++) {
            memcpy(wrong, point, len);
            wrong[i] ^= 1;
            expect_refusal(curve, secret, wrong);
        }
        memset(wrong + 1, 0, len - 1);
        expect_refusal(curve, secret, wrong);
        memset(wrong + 1, 0xff, len - 1);
        expect_refusal(curve, secret, wrong);
    }
}

static bool fill_samples(void *context, uint8_t *bytes, size_t len)
{
    samples_fill(context, bytes, len);
    return true;
}

/* 0, the order and above are no secrets; 1 and the order less 1 are. */
static void test_secrets_refused(void **state)
{
    struct samples samples = {8};
    const struct random random = {.fill = fill_samples, .context = &samples};
    uint8_t secret[CURVE_SECRET_MOST], one[CURVE_SECRET_MOST], hash[32] = {1};
    uint8_t point[CURVE_POINT_MOST], result[CURVE_POINT_MOST];
    (void)state;

    for (enum curve curve = CURVE_P256; curve < CURVE_COUNT; curve++) {
        struct reference mbed;
        size_t len = curve_secret_len(curve);
        memset(one, 0, sizeof(one));
        one[len - 1] = 1;
        assert_true(curve_public(curve, one, point));
        reference_begin(&mbed, curve);
        for (int more = -1; more <= 1; more++) {
            assert_int_equal(mbedtls_mpi_add_int(&mbed.number, &mbed.group.N, more), 0);
            assert_int_equal(mbedtls_mpi_write_binary(&mbed.number, secret, len), 0);
            assert_int_equal(curve_public(curve, secret, result), more < 0);
            assert_int_equal(curve_multiply(curve, secret, point, result), more < 0);
            assert_int_equal(curve_sign(curve, secret, hash, sizeof(hash), &random, result),
                             more < 0);
            assert_int_equal(is_zero(result, 2 * len), more >= 0);
        }
        memset(secret, 0, len);
        for (int i = 0; i < 2; i++) {
            assert_false(curve_public(curve, secret, result));
            expect_refusal(curve, secret, point);
            assert_false(curve_sign(curve, secret, hash, sizeof(hash), &random, result));
            memset(secret, 0xff, len);
        }
        reference_end(&mbed);
    }
}

static bool fill_same(void *context, uint8_t *bytes, size_t len)
{
    memset(bytes, *(const uint8_t *)context, len);
    return true;
}

static bool fill_fails(void *context, uint8_t *bytes, size_t len)
{
    int *left = context;

    memset(bytes, 0x11, len);
    return (*left)-- > 0;
}

/* A generator that stands still: other hashes and other keys still get other nonces. One that fails
 * gives no signature. */
static void test_nonces(void **state)
{
    uint8_t byte = 0, key[CURVE_SECRET_MOST] = {1}, hash[32] = {2};
    uint8_t first[CURVE_SIGNATURE_MOST], second[CURVE_SIGNATURE_MOST];
    const struct random still = {.fill = fill_same, .context = &byte};
    int left = 0;
    const struct random failing = {.fill = fill_fails, .context = &left};
    (void)state;

    for (enum curve curve = CURVE_P256; curve < CURVE_COUNT; curve++) {
        size_t len = curve_secret_len(curve);
        assert_true(curve_sign(curve, key, hash, sizeof(hash), &still, first));
        assert_true(curve_sign(curve, key, hash, sizeof(hash), &still, second));
        assert_memory_equal(first, second, 2 * len);
        hash[0]++;
        assert_true(curve_sign(curve, key, hash, sizeof(hash), &still, second));
        assert_memory_not_equal(first, second, len);
        key[1]++;
        assert_true(curve_sign(curve, key, hash, sizeof(hash), &still, first));
        assert_memory_not_equal(first, second, len);
        byte++;
        assert_true(curve_sign(curve, key, hash, sizeof(hash), &still, second));
        assert_memory_not_equal(first, second, len);
        memset(first, 0xa5, sizeof(first));
        assert_false(curve_sign(curve, key, hash, sizeof(hash), &failing, first));
        assert_true(is_zero(first, 2 * len));
        for (size_t hash_len = 0; hash_len <= 65; hash_len++) {
            uint8_t long_hash[65] = {3};
            assert_int_equal(curve_sign(curve, key, long_hash, hash_len, &still, first),
                             hash_len >= 20 && hash_len <= 64);
        }
    }
}

static int no_random(void *context, unsigned char *bytes, size_t len)
{
    (void)context;
    memset(bytes, 0, len);
    return MBEDTLS_ERR_ECP_RANDOM_FAILED;
}

/* As TLS calls it, with P-521, which stays mbedTLS'; without randomness there is no signature. */
static void test_ecdsa_in_pk(void **state)
{
    static const mbedtls_ecp_group_id ids[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1,
                                               MBEDTLS_ECP_DP_SECP521R1};
    struct samples samples = {5};
    uint8_t hash[48];
    uint8_t signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    (void)state;

    for (size_t i = 0; i < 60; i++) {
        mbedtls_pk_context pk;
        size_t len = 0;
        mbedtls_pk_init(&pk);
        assert_int_equal(mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
        assert_int_equal(
            mbedtls_ecp_gen_key(ids[i % COUNT(ids)], mbedtls_pk_ec(pk), samples_random, &samples),
            0);
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

/* As TLS 1.3 calls it. */
static void test_agreement_in_psa(void **state)
{
    (void)state;

    for (enum curve curve = 0; curve < CURVE_COUNT; curve++) {
        psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
        psa_key_id_t keys[2];
        uint8_t public[2][CURVE_POINT_MOST], secrets[2][CURVE_SECRET_MOST];
        size_t len, point_len = curve_point_len(curve), secret_len = curve_secret_len(curve);
        psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(curves[curve].family));
        psa_set_key_bits(&attributes, curves[curve].bits);
        psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_DERIVE);
        psa_set_key_algorithm(&attributes, PSA_ALG_ECDH);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(psa_generate_key(&attributes, &keys[i]), PSA_SUCCESS);
            assert_int_equal(psa_export_public_key(keys[i], public[i], point_len - 1, &len),
                             PSA_ERROR_BUFFER_TOO_SMALL);
            assert_int_equal(psa_export_public_key(keys[i], public[i], point_len, &len),
                             PSA_SUCCESS);
            assert_int_equal(len, point_len);
        }
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(psa_raw_key_agreement(PSA_ALG_ECDH, keys[i], public[1 - i], point_len,
                                                   secrets[i], secret_len, &len),
                             PSA_SUCCESS);
        assert_memory_equal(secrets[0], secrets[1], secret_len);
        assert_int_not_equal(psa_raw_key_agreement(PSA_ALG_ECDH, keys[0], public[1], point_len - 1,
                                                   secrets[0], secret_len, &len),
                             PSA_SUCCESS);
        memset(public[1] + curve_x_offset(curve), 0, point_len - curve_x_offset(curve));
        assert_int_not_equal(psa_raw_key_agreement(PSA_ALG_ECDH, keys[0], public[1], point_len,
                                                   secrets[0], secret_len, &len),
                             PSA_SUCCESS);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(psa_destroy_key(keys[i]), PSA_SUCCESS);
    }
}

/* As TLS 1.2 calls it: its messages carry the length of a point before the point. */
static void test_agreement_in_ecdh(void **state)
{
    struct samples samples = {3};
    (void)state;

    for (enum curve curve = 0; curve < CURVE_COUNT; curve++) {
        mbedtls_ecdh_context sides[2];
        uint8_t messages[2][1 + CURVE_POINT_MOST], secrets[2][CURVE_SECRET_MOST];
        size_t len, secret_len = curve_secret_len(curve);
        for (size_t i = 0; i < 2; i++) {
            mbedtls_ecdh_init(&sides[i]);
            assert_int_equal(mbedtls_ecdh_setup(&sides[i], curves[curve].id), 0);
            assert_int_equal(mbedtls_ecdh_make_public(&sides[i], &len, messages[i],
                                                      sizeof(messages[i]), samples_random,
                                                      &samples),
                             0);
            assert_int_equal(len, 1 + curve_point_len(curve));
        }
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(
                mbedtls_ecdh_read_public(&sides[i], messages[1 - i], 1 + curve_point_len(curve)),
                0);
            assert_int_equal(mbedtls_ecdh_calc_secret(&sides[i], &len, secrets[i], secret_len,
                                                      samples_random, &samples),
                             0);
        }
        assert_memory_equal(secrets[0], secrets[1], secret_len);
        size_t begin_of_x = 1 + curve_x_offset(curve);
        memset(messages[1] + begin_of_x, 0, sizeof(messages[1]) - begin_of_x);
        if (mbedtls_ecdh_read_public(&sides[0], messages[1], 1 + curve_point_len(curve)) == 0)
            assert_int_not_equal(mbedtls_ecdh_calc_secret(&sides[0], &len, secrets[0], secret_len,
                                                          samples_random, &samples),
                                 0);
        for (size_t i = 0; i < 2; i++)
            mbedtls_ecdh_free(&sides[i]);
    }
}

int __real_mbedtls_ecdh_make_params(mbedtls_ecdh_context *ecdh, size_t *ret_len,
                                    unsigned char *ret_params, size_t size,
                                    int (*fill)(void *, unsigned char *, size_t), void *context);
int __real_mbedtls_ecdh_calc_secret(mbedtls_ecdh_context *ecdh, size_t *ret_len,
                                    unsigned char *ret_secret, size_t size,
                                    int (*fill)(void *, unsigned char *, size_t), void *context);

/* A server of TLS 1.2, with the seam and without, and a client that has none. */
static void test_exchange_of_tls12(void **state)
{
    struct samples samples = {15};
    (void)state;

    for (int i = 0; i < 3 * 40; i++) {
        enum curve curve = (enum curve)(i % CURVE_COUNT);
        mbedtls_ecdh_context server, same, client;
        unsigned char params[2][4 + CURVE_POINT_MOST], answer[1 + CURVE_POINT_MOST];
        unsigned char secrets[2][CURVE_SECRET_MOST];
        const unsigned char *at = params[0];
        struct samples again;
        size_t len, secret_len = curve_secret_len(curve), answer_len;
        mbedtls_ecdh_init(&server);
        mbedtls_ecdh_init(&same);
        mbedtls_ecdh_init(&client);
        assert_int_equal(mbedtls_ecdh_setup(&server, curves[curve].id), 0);
        assert_int_equal(mbedtls_ecdh_setup(&same, curves[curve].id), 0);
        again = samples;
        assert_int_equal(mbedtls_ecdh_make_params(&server, &len, params[0], sizeof(params[0]),
                                                  samples_random, &samples),
                         0);
        assert_int_equal(len, 4 + curve_point_len(curve));
        assert_int_equal(__real_mbedtls_ecdh_make_params(&same, &len, params[1], sizeof(params[1]),
                                                         samples_random, &again),
                         0);
        assert_int_equal(len, 4 + curve_point_len(curve));
        assert_memory_equal(params[0], params[1], 4);
        assert_int_equal(mbedtls_ecdh_read_params(&client, &at, params[0] + len), 0);
        assert_ptr_equal(at, params[0] + len);
        assert_int_equal(mbedtls_ecdh_make_public(&client, &answer_len, answer, sizeof(answer),
                                                  samples_random, &samples),
                         0);
        assert_int_equal(mbedtls_ecdh_read_public(&server, answer, answer_len), 0);
        assert_int_equal(mbedtls_ecdh_calc_secret(&server, &len, secrets[0], sizeof(secrets[0]),
                                                  samples_random, &samples),
                         0);
        assert_int_equal(len, secret_len);
        assert_int_equal(__real_mbedtls_ecdh_calc_secret(&client, &len, secrets[1],
                                                         sizeof(secrets[1]), samples_random,
                                                         &samples),
                         0);
        assert_memory_equal(secrets[0], secrets[1], secret_len);
        assert_int_not_equal(mbedtls_ecdh_calc_secret(&server, &len, secrets[0], secret_len - 1,
                                                      samples_random, &samples),
                             0);
        assert_int_not_equal(mbedtls_ecdh_make_params(&server, &len, params[0],
                                                      3 + curve_point_len(curve), samples_random,
                                                      &samples),
                             0);
        assert_int_not_equal(
            mbedtls_ecdh_make_params(&server, &len, params[0], sizeof(params[0]), no_random, NULL),
            0);
        mbedtls_ecdh_free(&server);
        mbedtls_ecdh_free(&same);
        mbedtls_ecdh_free(&client);
    }
}

/* Blocks in every number and splitting against mbedTLS' own code. */
static void test_hashes(void **state)
{
    struct samples samples = {9};
    uint8_t message[1000], expected[64], result[64];
    (void)state;

    for (size_t i = 0; i < CASES; i++) {
        uint16_t size[2];
        mbedtls_sha512_context sha512;
        mbedtls_sha256_context sha256;
        int is_384 = i % 2 == 0;
        samples_fill(&samples, size, sizeof(size));
        size_t len = size[0] % sizeof(message), first = len == 0 ? 0 : size[1] % len;
        samples_fill(&samples, message, len);
        mbedtls_sha256_init(&sha256);
        assert_int_equal(mbedtls_sha256_starts(&sha256, 0), 0);
        assert_int_equal(mbedtls_sha256_update(&sha256, message, first), 0);
        assert_int_equal(mbedtls_sha256_update(&sha256, message + first, len - first), 0);
        assert_int_equal(mbedtls_sha256_finish(&sha256, result), 0);
        mbedtls_sha256_free(&sha256);
        plain_sha256(message, len, expected);
        assert_memory_equal(result, expected, 32);
        mbedtls_sha512_init(&sha512);
        assert_int_equal(mbedtls_sha512_starts(&sha512, is_384), 0);
        assert_int_equal(mbedtls_sha512_update(&sha512, message, first), 0);
        assert_int_equal(mbedtls_sha512_update(&sha512, message + first, len - first), 0);
        assert_int_equal(mbedtls_sha512_finish(&sha512, result), 0);
        mbedtls_sha512_free(&sha512);
        plain_sha512(message, len, expected, is_384);
        assert_memory_equal(result, expected, is_384 ? 48 : 64);
    }
}

static void derive(psa_algorithm_t algorithm, struct span first, struct span second,
                   uint8_t *ret_bytes, size_t len)
{
    bool expands = PSA_ALG_IS_HKDF_EXPAND(algorithm);
    psa_key_derivation_operation_t operation = PSA_KEY_DERIVATION_OPERATION_INIT;

    assert_int_equal(psa_key_derivation_setup(&operation, algorithm), PSA_SUCCESS);
    assert_int_equal(psa_key_derivation_input_bytes(&operation,
                                                    expands ? PSA_KEY_DERIVATION_INPUT_SECRET
                                                            : PSA_KEY_DERIVATION_INPUT_SALT,
                                                    (const uint8_t *)first.data, first.len),
                     PSA_SUCCESS);
    assert_int_equal(psa_key_derivation_input_bytes(&operation,
                                                    expands ? PSA_KEY_DERIVATION_INPUT_INFO
                                                            : PSA_KEY_DERIVATION_INPUT_SECRET,
                                                    (const uint8_t *)second.data, second.len),
                     PSA_SUCCESS);
    assert_int_equal(psa_key_derivation_output_bytes(&operation, ret_bytes, len), PSA_SUCCESS);
    assert_int_equal(psa_key_derivation_abort(&operation), PSA_SUCCESS);
}

/* The label as RFC 8446 section 7.1 has it, expanded by mbedTLS' HKDF. */
static void expand(psa_algorithm_t hash, const uint8_t *secret, struct span label,
                   struct span context, uint8_t *ret_bytes, size_t len)
{
    char info[2 + 1 + 6 + KDF_LABEL_MOST + 1 + KDF_CONTEXT_MOST];
    size_t info_len = 2 + 1 + 6 + label.len + 1 + context.len;

    info[0] = (char)(len >> 8);
    info[1] = (char)len;
    info[2] = (char)(6 + label.len);
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label.data, label.len);
    info[9 + label.len] = (char)context.len;
    memcpy(info + 10 + label.len, context.data, context.len);
    derive(PSA_ALG_HKDF_EXPAND(hash), (struct span){(const char *)secret, PSA_HASH_LENGTH(hash)},
           (struct span){info, info_len}, ret_bytes, len);
}

/* Labels, contexts and outputs of every length, as mbedTLS' TLS layer calls it. */
static void test_labels_expanded(void **state)
{
    struct samples samples = {11};
    uint8_t secret[48], label[KDF_LABEL_MOST], context[KDF_CONTEXT_MOST];
    uint8_t expected[200], result[200];
    (void)state;

    for (size_t i = 0; i < CASES; i++) {
        psa_algorithm_t hash = i % 2 == 0 ? PSA_ALG_SHA_256 : PSA_ALG_SHA_384;
        uint8_t random[3];
        samples_fill(&samples, random, sizeof(random));
        samples_fill(&samples, secret, sizeof(secret));
        samples_fill(&samples, label, sizeof(label));
        samples_fill(&samples, context, sizeof(context));
        size_t label_len = random[0] % (sizeof(label) + 1),
               context_len = random[1] % (sizeof(context) + 1),
               len = random[2] % sizeof(result) + 1;
        expand(hash, secret, (struct span){(const char *)label, label_len},
               (struct span){(const char *)context, context_len}, expected, len);
        assert_int_equal(mbedtls_ssl_tls13_hkdf_expand_label(hash, secret, PSA_HASH_LENGTH(hash),
                                                             label, label_len, context, context_len,
                                                             result, len),
                         0);
        assert_memory_equal(result, expected, len);
    }
}

static void test_secrets_evolved(void **state)
{
    struct samples samples = {12};
    uint8_t secret[48], input[66], nothing[48], salt[48], expected[48], result[48];
    (void)state;

    for (size_t i = 0; i < CASES; i++) {
        psa_algorithm_t hash = i % 2 == 0 ? PSA_ALG_SHA_256 : PSA_ALG_SHA_384;
        bool is_first = i % 5 == 0, has_input = i % 7 != 0;
        size_t hash_len = PSA_HASH_LENGTH(hash), len = has_input ? i % sizeof(input) + 1 : hash_len;
        samples_fill(&samples, secret, sizeof(secret));
        samples_fill(&samples, input, sizeof(input));
        memset(salt, 0, sizeof(salt));
        assert_int_equal(psa_hash_compute(hash, NULL, 0, nothing, sizeof(nothing), &hash_len),
                         PSA_SUCCESS);
        if (!is_first)
            expand(hash, secret, span_of("derived"), (struct span){(const char *)nothing, hash_len},
                   salt, hash_len);
        if (!has_input)
            memset(input, 0, sizeof(input));
        derive(PSA_ALG_HKDF_EXTRACT(hash), (struct span){(const char *)salt, hash_len},
               (struct span){(const char *)input, len}, expected, hash_len);
        assert_int_equal(mbedtls_ssl_tls13_evolve_secret(hash, is_first ? NULL : secret,
                                                         has_input ? input : NULL,
                                                         has_input ? len : 0, result),
                         0);
        assert_memory_equal(result, expected, hash_len);
    }
}

static void test_lengths_refused(void **state)
{
    static uint8_t bytes[255 * 48 + 1];
    static const struct {
        psa_algorithm_t hash;
        size_t secret, label, context, len;
    } refused[] = {
        {PSA_ALG_SHA_512, 32, 3, 0, 16},
        {PSA_ALG_SHA_256, KDF_KEY_MOST + 1, 3, 0, 16},
        {PSA_ALG_SHA_256, 32, KDF_LABEL_MOST + 1, 0, 16},
        {PSA_ALG_SHA_256, 32, 3, KDF_CONTEXT_MOST + 1, 16},
        {PSA_ALG_SHA_256, 32, 3, 0, 255 * 32 + 1},
        {PSA_ALG_SHA_384, 48, 3, 0, 255 * 48 + 1},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_not_equal(mbedtls_ssl_tls13_hkdf_expand_label(
                                 refused[i].hash, bytes, refused[i].secret, bytes, refused[i].label,
                                 bytes, refused[i].context, bytes, refused[i].len),
                             0);
    assert_int_equal(mbedtls_ssl_tls13_hkdf_expand_label(PSA_ALG_SHA_384, bytes, 48, bytes, 3, NULL,
                                                         0, bytes, sizeof(bytes) - 1),
                     0);
    assert_int_not_equal(mbedtls_ssl_tls13_evolve_secret(PSA_ALG_SHA_512, NULL, NULL, 0, bytes), 0);
}

/* As psa_mac_compute does it, with keys and messages of every length, against mbedTLS' other HMAC. */
static void test_macs(void **state)
{
    struct samples samples = {13};
    uint8_t key[100], message[300], expected[64], result[64];
    (void)state;

    for (size_t i = 0; i < CASES; i++) {
        psa_algorithm_t hash = i % 2 == 0 ? PSA_ALG_SHA_256 : PSA_ALG_SHA_384;
        psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
        psa_key_id_t id = 0;
        uint16_t random[2];
        size_t len = 0;
        samples_fill(&samples, random, sizeof(random));
        samples_fill(&samples, key, sizeof(key));
        samples_fill(&samples, message, sizeof(message));
        size_t key_len = random[0] % sizeof(key) + 1, message_len = random[1] % sizeof(message);
        psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_SIGN_MESSAGE);
        psa_set_key_algorithm(&attributes, PSA_ALG_HMAC(hash));
        psa_set_key_type(&attributes, PSA_KEY_TYPE_HMAC);
        assert_int_equal(psa_import_key(&attributes, key, key_len, &id), PSA_SUCCESS);
        assert_int_equal(psa_mac_compute(id, PSA_ALG_HMAC(hash), message, message_len, result,
                                         sizeof(result), &len),
                         PSA_SUCCESS);
        assert_int_equal(psa_destroy_key(id), PSA_SUCCESS);
        assert_int_equal(len, PSA_HASH_LENGTH(hash));
        assert_int_equal(mbedtls_md_hmac(mbedtls_md_info_from_type(i % 2 == 0 ? MBEDTLS_MD_SHA256
                                                                              : MBEDTLS_MD_SHA384),
                                         key, key_len, message, message_len, expected),
                         0);
        assert_memory_equal(result, expected, len);
    }
}

/* Against mbedTLS' own function of TLS 1.2, in which there is no seam. */
static void test_prf(void **state)
{
    struct samples samples = {14};
    uint8_t secret[KDF_KEY_MOST + 1], seed[100], expected[300], result[300];
    char label[40];
    (void)state;

    for (size_t i = 0; i < CASES; i++) {
        bool is_384 = i % 3 == 0;
        uint8_t random[4];
        samples_fill(&samples, random, sizeof(random));
        samples_fill(&samples, secret, sizeof(secret));
        samples_fill(&samples, seed, sizeof(seed));
        size_t secret_len = random[0] % sizeof(secret), seed_len = random[1] % sizeof(seed),
               len = random[2] % sizeof(result) + 1;
        memset(label, 'a' + random[3] % 26, sizeof(label));
        label[random[3] % sizeof(label)] = '\0';
        assert_int_equal(
            mbedtls_ssl_tls_prf(is_384 ? MBEDTLS_SSL_TLS_PRF_SHA384 : MBEDTLS_SSL_TLS_PRF_SHA256,
                                secret, secret_len, label, seed, seed_len, expected, len),
            0);
        memset(result, 0, sizeof(result));
        assert_true(kdf_prf(is_384 ? KDF_SHA384 : KDF_SHA256,
                            (struct span){(const char *)secret, secret_len}, span_of(label),
                            (struct span){(const char *)seed, seed_len}, result, len));
        assert_memory_equal(result, expected, len);
        assert_true(is_zero(result + len, sizeof(result) - len));
    }
    assert_false(kdf_prf(KDF_SHA256, (struct span){(const char *)secret, sizeof(secret)},
                         span_of("key expansion"), span_of("seed"), result, 1));
}

int __real_mbedtls_ssl_derive_keys(mbedtls_ssl_context *ssl);

/* A handshake of TLS 1.2 that is far enough to derive keys; the same for the same number. */
static void begin_schedule(mbedtls_ssl_context *ssl, const mbedtls_ssl_config *config, int suite,
                           uint64_t number)
{
    struct samples samples = {number};
    uint8_t said[100];

    mbedtls_ssl_init(ssl);
    assert_int_equal(mbedtls_ssl_setup(ssl, config), 0);
    mbedtls_ssl_handshake_params *handshake = ssl->handshake;
    ssl->tls_version = MBEDTLS_SSL_VERSION_TLS1_2;
    ssl->session_negotiate->ciphersuite = suite;
    handshake->ciphersuite_info = mbedtls_ssl_ciphersuite_from_id(suite);
    handshake->extended_ms =
        number % 2 == 0 ? MBEDTLS_SSL_EXTENDED_MS_ENABLED : MBEDTLS_SSL_EXTENDED_MS_DISABLED;
    handshake->pmslen = number % 3 == 0 ? 48 : 32;
    samples_fill(&samples, handshake->premaster, handshake->pmslen);
    samples_fill(&samples, handshake->randbytes, sizeof(handshake->randbytes));
    samples_fill(&samples, said, sizeof(said));
    assert_int_equal(handshake->update_checksum(ssl, said, sizeof(said)), 0);
}

/* Both have the same keys, for what is sent and for what is received. */
static void check_cipher(mbedtls_ssl_transform *one, mbedtls_ssl_transform *other)
{
    const uint8_t nonce[12] = {1, 2, 3}, plain[40] = {4, 5, 6};
    uint8_t sealed[2][sizeof(plain) + 16];
    mbedtls_cipher_context_t *contexts[2][2] = {
        {&one->cipher_ctx_enc, &other->cipher_ctx_enc},
        {&one->cipher_ctx_dec, &other->cipher_ctx_dec},
    };

    for (size_t direction = 0; direction < 2; direction++) {
        for (size_t i = 0; i < 2; i++) {
            mbedtls_cipher_context_t *context = contexts[direction][i];
            size_t len;
            context->operation = MBEDTLS_ENCRYPT;
            assert_int_equal(mbedtls_cipher_auth_encrypt_ext(context, nonce, sizeof(nonce), NULL, 0,
                                                             plain, sizeof(plain), sealed[i],
                                                             sizeof(sealed[i]), &len, 16),
                             0);
        }
        assert_memory_equal(sealed[0], sealed[1], sizeof(sealed[0]));
    }
}

static void test_schedule_of_tls12(void **state)
{
    static const int suites[] = {
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    };
    mbedtls_ssl_config config;
    (void)state;

    mbedtls_ssl_config_init(&config);
    assert_int_equal(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER,
                                                 MBEDTLS_SSL_TRANSPORT_STREAM,
                                                 MBEDTLS_SSL_PRESET_DEFAULT),
                     0);
    mbedtls_ssl_conf_rng(&config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    for (uint64_t i = 0; i < 60; i++) {
        mbedtls_ssl_context ours, theirs;
        uint8_t finished[2][12];
        begin_schedule(&ours, &config, suites[i % 3], i);
        begin_schedule(&theirs, &config, suites[i % 3], i);
        assert_int_equal(mbedtls_ssl_derive_keys(&ours), 0);
        assert_int_equal(__real_mbedtls_ssl_derive_keys(&theirs), 0);
        assert_memory_equal(ours.session_negotiate->master, theirs.session_negotiate->master, 48);
        mbedtls_ssl_transform *one = ours.transform_negotiate, *other = theirs.transform_negotiate;
        assert_int_equal(one->minlen, other->minlen);
        assert_int_equal(one->ivlen, other->ivlen);
        assert_int_equal(one->fixed_ivlen, other->fixed_ivlen);
        assert_int_equal(one->maclen, other->maclen);
        assert_int_equal(one->taglen, other->taglen);
        assert_int_equal(one->tls_version, other->tls_version);
        assert_memory_equal(one->iv_enc, other->iv_enc, one->fixed_ivlen);
        assert_memory_equal(one->iv_dec, other->iv_dec, one->fixed_ivlen);
        check_cipher(one, other);
        for (int from = 0; from < 2; from++) {
            assert_int_equal(ours.handshake->calc_finished(&ours, finished[0], from), 0);
            assert_int_equal(theirs.handshake->calc_finished(&theirs, finished[1], from), 0);
            assert_memory_equal(finished[0], finished[1], sizeof(finished[0]));
        }
        assert_true(is_zero(ours.handshake->premaster, sizeof(ours.handshake->premaster)));
        assert_true(is_zero(ours.handshake->randbytes, sizeof(ours.handshake->randbytes)));
        mbedtls_ssl_free(&ours);
        mbedtls_ssl_free(&theirs);
    }
    mbedtls_ssl_config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x25519_known),
        cmocka_unit_test(test_x25519_random),
        cmocka_unit_test(test_x25519_refused),
        cmocka_unit_test(test_signatures_known),
        cmocka_unit_test(test_p256_random),
        cmocka_unit_test(test_p384_random),
        cmocka_unit_test(test_points_refused),
        cmocka_unit_test(test_secrets_refused),
        cmocka_unit_test(test_nonces),
        cmocka_unit_test(test_ecdsa_in_pk),
        cmocka_unit_test(test_agreement_in_psa),
        cmocka_unit_test(test_agreement_in_ecdh),
        cmocka_unit_test(test_exchange_of_tls12),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_labels_expanded),
        cmocka_unit_test(test_secrets_evolved),
        cmocka_unit_test(test_lengths_refused),
        cmocka_unit_test(test_macs),
        cmocka_unit_test(test_prf),
        cmocka_unit_test(test_schedule_of_tls12),
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
