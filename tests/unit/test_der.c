/* What is read of certificates beside the TLS library: names, constraints, keys; no byte leads astray. */
#include "certificates/der.h"
#include "certificates/key.h"

#include <stdlib.h>

#include "certificates/pem.h"
#include "files/file.h"
#include "pki.h"
#include "unit.h"

static const char LINES[] =
    "key ca; issue ca ca 10 basicConstraints=critical,CA:TRUE "
    "'nameConstraints=critical,permitted;DNS:example.com,permitted;DNS:.example.org,"
    "excluded;DNS:www.example.com'\n"
    "key policy; issue policy policy 10 'policyConstraints=critical,requireExplicitPolicy:0'\n"
    "key none; issue none none 10 basicConstraints=CA:TRUE\n"
    "key names; issue names names 10 'subjectAltName=DNS:*,IP:127.0.0.1,DNS:a.example.,DNS:b'\n";

/* The certificate in the file, at a guard page. End with guard_free. */
static struct span read_der(const char *path)
{
    struct text text = {0};
    struct pem_block block;
    assert_true(file_read(path, 65536, &text));
    struct pem_reader reader = pem_begin((struct span){text.data, text.len});
    assert_true(pem_next(&reader, &block));
    unsigned char *bytes = malloc(block.der_len);
    assert_non_null(bytes);
    pem_decode(&block, bytes);
    struct span der = guard_copy((struct span){(const char *)bytes, block.der_len});
    free(bytes);
    text_free(&text);
    return der;
}

static const struct {
    const char *file, *name;
    bool is_forbidden;
    const char *not_judged;
} rows[] = {
    {"ca.crt", "example.com", false, NULL},
    {"ca.crt", "mta-sts.Example.com", false, NULL},
    {"ca.crt", "notexample.com", true, NULL},
    {"ca.crt", "com", true, NULL},
    {"ca.crt", "", true, NULL},
    {"ca.crt", "example.org", true, NULL},
    {"ca.crt", "a.example.org", false, NULL},
    {"ca.crt", "www.example.com", true, NULL},
    {"ca.crt", "a.www.example.com", true, NULL},
    {"policy.crt", "example.com", false, "policyConstraints"},
    {"none.crt", "example.com", false, NULL},
};

static void authorities_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct der_verdict verdict;
        struct span der = read_der(rows[i].file);
        struct span name = span_of(rows[i].name);
        der_judge_authority(der, &name, 1, &verdict);
        assert_int_equal(verdict.forbidden.data != NULL, rows[i].is_forbidden);
        assert_int_equal(verdict.not_judged != NULL, rows[i].not_judged != NULL);
        if (rows[i].not_judged != NULL)
            assert_string_equal(verdict.not_judged, rows[i].not_judged);
        assert_false(public_key_is_costly(der));
        guard_free(der);
    }
}

static void names_come_as_they_are_written(void **state)
{
    (void)state;
    static const char *const written[] = {"*", "a.example.", "b"};
    struct span der = read_der("names.crt"), name = {NULL, 0};
    for (size_t i = 0; i < COUNT(written); i++) {
        assert_true(der_next_name(der, &name));
        assert_true(span_equal(name, span_of(written[i])));
    }
    assert_false(der_next_name(der, &name));
    guard_free(der);
}

/* Each byte takes some values, and the end is anywhere. */
static void no_byte_leads_astray(void **state)
{
    (void)state;
    static const char *const files[] = {"ca.crt", "names.crt"};
    const struct span name = span_of("mta-sts.example.com");
    for (size_t file = 0; file < COUNT(files); file++) {
        struct span der = read_der(files[file]);
        char *writable = (char *)(uintptr_t)der.data;
        for (size_t i = 0; i < der.len; i++) {
            static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0x81, 0x84, 0xff, 0x30};
            char before = writable[i];
            for (size_t k = 0; k < COUNT(values); k++) {
                struct der_verdict verdict;
                struct span found = {NULL, 0};
                writable[i] = (char)values[k];
                der_judge_authority(der, &name, 1, &verdict);
                while (der_next_name(der, &found))
                    assert_true(found.data + found.len <= der.data + der.len);
                (void)public_key_is_costly(der);
                (void)public_key_is_costly((struct span){der.data + der.len - i, i});
            }
            writable[i] = before;
        }
        guard_free(der);
    }
}

static int begin(void **state)
{
    (void)state;
    return pki_set_up(LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authorities_are_judged),
        cmocka_unit_test(names_come_as_they_are_written),
        cmocka_unit_test(no_byte_leads_astray),
    };
    return cmocka_run_group_tests(tests, begin, pki_tear_down);
}
