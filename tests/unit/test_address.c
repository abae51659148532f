/* Addresses of listeners, one canonical text for each, and ranges of them. */
#include "base/address.h"

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
        {"unix:/run/mta-sts/http.sock", "unix:/run/mta-sts/http.sock"},
        {"unix:run/http.sock", NULL},
        {"unix:", NULL},
        {"systemd", "systemd"},
        {"systemd:https", "systemd:https"},
        {"systemd:", NULL},
        {"systemd:a:b", NULL},
        {"systemd:a b", NULL},
        {"systemdx", NULL},
        {"unix:/", NULL},
        {"unix:/1234567890123456789012345678901234567890123456789012345678901234567890123456789"
         "0123456789012345678901234567",
         NULL},
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

static void knows_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        enum prefix_fault fault;
        const char *inside, *outside; /* NULL: there is none */
    } rows[] = {
        {"192.0.2.0/24", PREFIX_OK, "192.0.2.255:1", "192.0.3.0:1"},
        {"192.0.2.0/24", PREFIX_OK, "[::ffff:192.0.2.7]:1", "[2001:db8::1]:1"},
        {"192.0.2.128/25", PREFIX_OK, "192.0.2.128:1", "192.0.2.127:1"},
        {"192.0.2.1", PREFIX_OK, "192.0.2.1:1", "192.0.2.2:1"},
        {"0.0.0.0/0", PREFIX_OK, "255.255.255.255:1", "[::1]:1"},
        {"2001:db8::/32", PREFIX_OK, "[2001:db8:ffff::]:1", "[2001:db9::]:1"},
        {"::1", PREFIX_OK, "[::1]:1", "[::2]:1"},
        {"::/0", PREFIX_OK, "127.0.0.1:1", "unix:/run/socket"},
        {"::ffff:192.0.2.0/120", PREFIX_OK, "192.0.2.9:1", "192.0.3.9:1"},
        {"192.0.2.1/24", PREFIX_HOST_BITS, NULL, NULL},
        {"2001:db8::1/64", PREFIX_HOST_BITS, NULL, NULL},
        {"192.0.2.0/33", PREFIX_MALFORMED, NULL, NULL},
        {"192.0.2.0/", PREFIX_MALFORMED, NULL, NULL},
        {"192.0.2.0/x", PREFIX_MALFORMED, NULL, NULL},
        {"192.0.2/24", PREFIX_MALFORMED, NULL, NULL},
        {"2001:db8::/129", PREFIX_MALFORMED, NULL, NULL},
        {"2001:db8::/0128", PREFIX_MALFORMED, NULL, NULL},
        {"/8", PREFIX_MALFORMED, NULL, NULL},
        {"", PREFIX_MALFORMED, NULL, NULL},
        {"localhost", PREFIX_MALFORMED, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct prefix prefix;
        struct address address;
        struct span text = guard_copy(span_of(rows[i].range));
        assert_int_equal(prefix_parse(text, &prefix), rows[i].fault);
        guard_free(text);
        if (rows[i].fault != PREFIX_OK)
            continue;
        assert_true(address_parse(span_of(rows[i].inside), &address));
        assert_true(prefix_contains(&prefix, &address.any));
        assert_true(address_parse(span_of(rows[i].outside), &address));
        assert_false(prefix_contains(&prefix, &address.any));
    }
}

/* As Linux answers bind(2) with SO_REUSEADDR while the first socket listens. */
static void knows_what_the_kernel_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *one, *other;
        bool overlap, overlap_v6_only;
    } rows[] = {
        {"0.0.0.0:443", "[::]:443", true, false},
        {"127.0.0.1:443", "[::]:443", true, false},
        {"127.0.0.1:443", "0.0.0.0:443", true, true},
        {"127.0.0.1:443", "127.0.0.2:443", false, false},
        {"127.0.0.1:443", "127.0.0.1:444", false, false},
        {"127.0.0.1:443", "127.0.0.1:443", true, true},
        {"[::1]:443", "[::]:443", true, true},
        {"[::1]:443", "0.0.0.0:443", false, false},
        {"[::1]:443", "[::2]:443", false, false},
        {"[2001:db8::1]:443", "[2001:db8:0::1]:443", true, true},
        {"[::ffff:127.0.0.1]:443", "127.0.0.1:443", true, true},
        {"[::ffff:127.0.0.1]:443", "0.0.0.0:443", true, true},
        {"[::ffff:127.0.0.1]:443", "[::]:443", true, false},
        {"127.0.0.1:0", "127.0.0.1:0", false, false},
        {"0.0.0.0:0", "[::]:0", false, false},
        {"unix:/run/a", "unix:/run/a", true, true},
        {"unix:/run/a", "unix:/run/b", false, false},
        {"unix:/run/a", "[::]:0", false, false},
        {"systemd", "[::]:443", false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct address one, other;
        assert_true(address_parse(span_of(rows[i].one), &one));
        assert_true(address_parse(span_of(rows[i].other), &other));
        assert_int_equal(address_overlaps(&one, &other, false), rows[i].overlap);
        assert_int_equal(address_overlaps(&other, &one, false), rows[i].overlap);
        assert_int_equal(address_overlaps(&one, &other, true), rows[i].overlap_v6_only);
        assert_int_equal(address_overlaps(&other, &one, true), rows[i].overlap_v6_only);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parses), cmocka_unit_test(knows_ranges),
                                       cmocka_unit_test(knows_what_the_kernel_refuses)};
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
