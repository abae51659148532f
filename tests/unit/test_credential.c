/* Credentials: what a site is given of them comes out of it, and equal ones are there once. */
#include "unit.h"

#include "site/site_builder.h"

static void add(struct site_builder *builder, const char *name,
                const struct credential_fields *ecdsa, const struct credential_fields *rsa)
{
    site_builder_add(builder, &(struct site_fields){.name = span_of(name),
                                                    .state = SITE_REFUSED,
                                                    .credentials = {ecdsa, rsa},
                                                    .at = {"main.yaml", 3, 5}});
}

static const struct credential *find(const struct site *site, const char *name, size_t kind)
{
    const struct site_domain *domain = site_find_domain(site, span_of(name));
    assert_non_null(domain);
    return site_credential(domain, kind);
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    const struct credential_fields fields = {
        .kind = CREDENTIAL_RSA,
        .chain = {span_of("leaf"), span_of("intermediate")},
        .chain_len = 2,
        .key = span_of("key"),
        .not_before = 1,
        .not_after = INT64_C(1) << 40,
        .fault = CREDENTIAL_INCOMPLETE,
        .algorithm = "RSA 2048",
        .file = "a.pem",
        .line = 7,
    };
    struct site_builder *builder = site_builder_new(-1);
    add(builder, "a.example", NULL, &fields);
    struct site *site = site_builder_finish(builder);
    const struct credential *credential = find(site, "a.example", CREDENTIAL_RSA);
    assert_null(find(site, "a.example", CREDENTIAL_ECDSA));
    assert_int_equal(credential_fields(credential).kind, CREDENTIAL_RSA);
    assert_int_equal(credential_fields(credential).chain_len, 2);
    assert_true(span_equal(credential_fields(credential).chain[0], span_of("leaf")));
    assert_true(span_equal(credential_fields(credential).chain[1], span_of("intermediate")));
    assert_true(span_equal(credential_fields(credential).key, span_of("key")));
    assert_int_equal(credential_fields(credential).not_before, 1);
    assert_true(credential_fields(credential).not_after == INT64_C(1) << 40);
    assert_int_equal(credential_fields(credential).fault, CREDENTIAL_INCOMPLETE);
    assert_string_equal(credential_fields(credential).algorithm, "RSA 2048");
    assert_string_equal(credential_fields(credential).file, "a.pem");
    assert_int_equal(credential_fields(credential).line, 7);

    /* A credential of one site can go into the next one. */
    struct credential_fields kept = credential_fields(credential);
    builder = site_builder_new(-1);
    add(builder, "b.example", NULL, &kept);
    struct site *next = site_builder_finish(builder);
    site_free(site);
    credential = find(next, "b.example", CREDENTIAL_RSA);
    assert_true(span_equal(credential_fields(credential).chain[1], span_of("intermediate")));
    assert_true(span_equal(credential_fields(credential).key, span_of("key")));
    assert_string_equal(credential_fields(credential).file, "a.pem");
    site_free(next);
}

/* Authorities are in many chains, and one certificate may be that of many domains. */
static void equal_parts_are_there_once(void **state)
{
    (void)state;
    static const char shared[] = "shared", leaves[] = "onetwo", key[] = "key";
    const struct credential_fields one = {.chain = {{leaves, 3}, {shared, 6}},
                                          .chain_len = 2,
                                          .key = {key, 3},
                                          .algorithm = "any",
                                          .file = "f"};
    struct credential_fields other = one, same = one, later = one;
    other.chain[0].data += 3;
    later.not_after = 5;
    struct site_builder *builder = site_builder_new(-1);
    add(builder, "a.example", &one, NULL);
    add(builder, "b.example", &other, NULL);
    add(builder, "c.example", &same, NULL);
    add(builder, "d.example", &later, NULL);
    struct site *site = site_builder_finish(builder);
    const struct credential *found[4];
    static const char *const names[] = {"a.example", "b.example", "c.example", "d.example"};
    for (size_t i = 0; i < COUNT(found); i++)
        found[i] = find(site, names[i], CREDENTIAL_ECDSA);
    assert_ptr_equal(found[0], found[2]);
    assert_ptr_not_equal(found[0], found[1]);
    assert_ptr_not_equal(found[0], found[3]);
    assert_int_equal(credential_fields(found[3]).not_after, 5);
    for (size_t i = 0; i < COUNT(found); i++) {
        assert_ptr_equal(credential_fields(found[i]).chain[1].data,
                         credential_fields(found[0]).chain[1].data);
        assert_ptr_equal(credential_fields(found[i]).key.data,
                         credential_fields(found[0]).key.data);
        assert_ptr_equal(credential_fields(found[i]).file, credential_fields(found[0]).file);
    }
    assert_true(span_equal(credential_fields(found[1]).chain[0], span_of("two")));
    site_free(site);
}

/* Bytes are known by their place, but one place can have others in time. */
static void other_bytes_at_the_same_place_are_others(void **state)
{
    (void)state;
    char leaf[] = "leaf1", key[] = "key1";
    const struct credential_fields fields = {
        .chain = {{leaf, 5}}, .chain_len = 1, .key = {key, 4}, .algorithm = "any", .file = "f"};
    struct site_builder *builder = site_builder_new(-1);
    add(builder, "a.example", &fields, NULL);
    leaf[4] = key[3] = '2';
    add(builder, "b.example", &fields, NULL);
    struct site *site = site_builder_finish(builder);
    const struct credential *one = find(site, "a.example", CREDENTIAL_ECDSA);
    const struct credential *two = find(site, "b.example", CREDENTIAL_ECDSA);
    assert_true(span_equal(credential_fields(one).chain[0], span_of("leaf1")));
    assert_true(span_equal(credential_fields(one).key, span_of("key1")));
    assert_true(span_equal(credential_fields(two).chain[0], span_of("leaf2")));
    assert_true(span_equal(credential_fields(two).key, span_of("key2")));
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(equal_parts_are_there_once),
        cmocka_unit_test(other_bytes_at_the_same_place_are_others),
    };
    return cmocka_run_group_tests_name("credential", tests, NULL, NULL);
}
