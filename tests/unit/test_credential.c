/* Credentials: what goes in comes out, and owners are counted. */
#include "unit.h"

#include "site/credential.h"

static void test_fields(void **state)
{
    (void)state;
    struct certificate_der *leaf = certificate_der_new(span_of("leaf"));
    struct certificate_der *intermediate = certificate_der_new(span_of("intermediate"));
    struct certificate_der *chain[] = {leaf, intermediate};
    struct credential *credential = credential_new(&(struct credential_fields){
        .kind = CREDENTIAL_RSA,
        .chain = chain,
        .chain_len = 2,
        .key = span_of("key"),
        .not_before = 1,
        .not_after = INT64_C(1) << 40,
        .algorithm = "RSA 2048",
        .file = "a.pem",
        .line = 7,
    });
    /* The credential owns its share. */
    certificate_der_free(leaf);
    certificate_der_free(intermediate);

    assert_non_null(credential);
    assert_int_equal(credential_kind(credential), CREDENTIAL_RSA);
    assert_int_equal(credential_chain_len(credential), 2);
    assert_true(span_equal(credential_chain(credential, 0), span_of("leaf")));
    assert_true(span_equal(credential_chain(credential, 1), span_of("intermediate")));
    assert_true(span_equal(credential_key(credential), span_of("key")));
    assert_int_equal(credential_not_before(credential), 1);
    assert_true(credential_not_after(credential) == INT64_C(1) << 40);
    assert_string_equal(credential_algorithm(credential), "RSA 2048");
    assert_string_equal(credential_file(credential), "a.pem");
    assert_int_equal(credential_line(credential), 7);
    credential_free(credential);
}

static void test_sharing(void **state)
{
    (void)state;
    struct certificate_der *shared = certificate_der_new(span_of("shared"));
    struct credential *credentials[3];
    for (size_t i = 0; i < COUNT(credentials); i++) {
        credentials[i] = credential_new(&(struct credential_fields){
            .chain = &shared, .chain_len = 1, .algorithm = "", .file = ""});
        assert_non_null(credentials[i]);
    }
    certificate_der_free(shared);
    assert_ptr_equal(credential_chain(credentials[0], 0).data,
                     credential_chain(credentials[2], 0).data);
    assert_int_equal(credential_key(credentials[0]).len, 0);

    assert_ptr_equal(credential_share(credentials[1]), credentials[1]);
    for (size_t i = 0; i < COUNT(credentials); i++)
        credential_free(credentials[i]);
    assert_true(span_equal(credential_chain(credentials[1], 0), span_of("shared")));
    credential_free(credentials[1]);
}

static void test_nothing(void **state)
{
    (void)state;
    credential_free(NULL);
    certificate_der_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
