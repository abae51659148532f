/* Wycheproof's published numbers (wycheproof.txt): products of points by AWS-LC, signatures as TLS makes
 * and verifies them. */
#include "unit.h"

#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef ACCELERATE
#include "crypto/accelerate.h"
#include "crypto/primitives.h"
#endif
#include "samples.h"

enum { BYTES_MOST = 2048, FIELDS = 5, LINES_LEAST = 200 };

/* Of a line, which is `kind valid|invalid` and these. */
struct vector {
    const char *kind;
    bool is_valid;
    struct bytes {
        uint8_t bytes[BYTES_MOST];
        size_t len;
    } parts[3];
};

static void read_bytes(const char *text, struct bytes *ret)
{
    ret->len = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
    assert_in_range(ret->len, 0, sizeof(ret->bytes));
    if (ret->len > 0)
        samples_hex(text, ret->bytes, ret->len);
}

#ifdef ACCELERATE
static void check_product(enum curve curve, const struct vector *vector)
{
    const struct bytes *point = &vector->parts[0], *secret = &vector->parts[1];
    const struct bytes *shared = &vector->parts[2];
    uint8_t product[CURVE_POINT_MOST];
    bool is_point = point->len == curve_point_len(curve);

    assert_int_equal(secret->len, curve_secret_len(curve));
    assert_int_equal(is_point && curve_multiply(curve, secret->bytes, point->bytes, product),
                     vector->is_valid);
    if (!vector->is_valid)
        return;
    assert_int_equal(shared->len, secret->len);
    assert_memory_equal(product + curve_x_offset(curve), shared->bytes, shared->len);
}
#endif

/* True when it was a product. */
static bool is_product(const struct vector *vector)
{
    static const char *const kinds[] = {"x25519", "p256", "p384"};

    for (size_t i = 0; i < COUNT(kinds); i++)
        if (strcmp(vector->kind, kinds[i]) == 0) {
#ifdef ACCELERATE
            check_product((enum curve)i, vector);
#endif
            return true;
        }
    return false;
}

static void check_signature(const struct vector *vector)
{
    static struct samples samples = {4};
    static const mbedtls_md_type_t types[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384,
                                              MBEDTLS_MD_SHA512};
    const struct bytes *key = &vector->parts[0], *message = &vector->parts[1];
    const struct bytes *signature = &vector->parts[2];
    const char *bits = strrchr(vector->kind, 'a') + 1;
    mbedtls_md_type_t type = types[*bits == '2' ? 0 : *bits == '3' ? 1 : 2];
    uint8_t hash[MBEDTLS_MD_MAX_SIZE], made[BYTES_MOST];
    size_t len = mbedtls_md_get_size(mbedtls_md_info_from_type(type)), made_len;
    const mbedtls_pk_rsassa_pss_options options = {type, (int)len};
    mbedtls_pk_context pk;
    int code;

    mbedtls_pk_init(&pk);
    assert_int_equal(
        mbedtls_md(mbedtls_md_info_from_type(type), message->bytes, message->len, hash), 0);
    if (strncmp(vector->kind, "sign-", 5) == 0) {
        assert_int_equal(
            mbedtls_pk_parse_key(&pk, key->bytes, key->len, NULL, 0, samples_random, &samples), 0);
        code = mbedtls_pk_sign(&pk, type, hash, len, made, sizeof(made), &made_len, samples_random,
                               &samples);
        assert_int_equal(code, 0);
        assert_int_equal(made_len, signature->len);
        assert_memory_equal(made, signature->bytes, made_len);
    } else {
        assert_int_equal(mbedtls_pk_parse_public_key(&pk, key->bytes, key->len), 0);
        if (strncmp(vector->kind, "pss-", 4) == 0)
            code = mbedtls_pk_verify_ext(MBEDTLS_PK_RSASSA_PSS, &options, &pk, type, hash, len,
                                         signature->bytes, signature->len);
        else
            code = mbedtls_pk_verify(&pk, type, hash, len, signature->bytes, signature->len);
        assert_int_equal(code == 0, vector->is_valid);
    }
    mbedtls_pk_free(&pk);
}

static void test_published_numbers(void **state)
{
    FILE *file = fopen("tests/unit/wycheproof.txt", "r");
    static struct vector vector;
    char *line = NULL;
    size_t size = 0, lines = 0;
    (void)state;

    assert_non_null(file);
    while (getline(&line, &size, file) > 0) {
        char *rest = line, *fields[FIELDS];
        if (*line == '#')
            continue;
        for (size_t i = 0; i < FIELDS; i++) {
            fields[i] = strsep(&rest, " \n");
            assert_non_null(fields[i]);
        }
        vector.kind = fields[0];
        vector.is_valid = strcmp(fields[1], "valid") == 0;
        for (size_t i = 0; i < COUNT(vector.parts); i++)
            read_bytes(fields[2 + i], &vector.parts[i]);

        if (!is_product(&vector))
            check_signature(&vector);
        lines++;
    }
    assert_true(lines >= LINES_LEAST);
    free(line);
    assert_int_equal(fclose(file), 0);
}

static int begin(void **state)
{
    (void)state;
#ifdef ACCELERATE
    if (!accelerate_begin())
        return -1;
#endif
    return psa_crypto_init() == PSA_SUCCESS ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
#ifdef ACCELERATE
    accelerate_end();
#endif
    mbedtls_psa_crypto_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published_numbers)};

    return cmocka_run_group_tests(tests, begin, end);
}
