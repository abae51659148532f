/* Addresses of listeners: one canonical text for each. */
#include "load/address.h"
#include "unit.h"

static void parses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical; /* NULL: refused */
    } rows[] = {
        {"127.0.0.1:8443", "127.0.0.1:8443"},
        {"[::]:443", "[::]:443"},
        {"*:443", "[::]:443"},
        {":443", "[::]:443"},
        {"[2001:DB8:0:0::1]:0", "[2001:db8::1]:0"},
        {"0.0.0.0:65535", "0.0.0.0:65535"},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1", NULL},
        {"443", NULL},
        {"::1:443", NULL},
        {"[127.0.0.1]:443", NULL},
        {"[::1]", NULL},
        {"localhost:443", NULL},
        {"127.0.0.1:+1", NULL},
        {"127.0.0.1: 1", NULL},
        {"127.1:443", NULL},
        {"", NULL},
        {"[]:443", NULL},
        {"[:443", NULL},
        {"[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:1", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct address address;
        struct span text = guard_copy(span_of(rows[i].text));
        assert_int_equal(address_parse(text, &address), rows[i].canonical != NULL);
        if (rows[i].canonical != NULL)
            assert_string_equal(address.text, rows[i].canonical);
        guard_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parses)};
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
