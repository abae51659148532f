/* DNS names and mx patterns, each at a guard page. */
#include "policy/name.h"
#include "unit.h"

#define L63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"

static void judges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum name_fault host, pattern;
    } rows[] = {
        {"mail.example.com", NAME_OK, NAME_OK},
        {"MAIL.Example.COM", NAME_OK, NAME_OK},
        {"xn--bcher-kva.example", NAME_OK, NAME_OK},
        {"1.2.3.4.example", NAME_OK, NAME_OK},
        {"a.b", NAME_OK, NAME_OK},
        {L63 ".example", NAME_OK, NAME_OK},
        {L63 "." L63 "." L63 "." L63, NAME_LONG, NAME_LONG},
        {L63 "1.example", NAME_LABEL_LONG, NAME_LABEL_LONG},
        {"*.example.com", NAME_WILDCARD, NAME_OK},
        {"*.com", NAME_WILDCARD, NAME_SINGLE_LABEL},
        {"*", NAME_WILDCARD, NAME_WILDCARD},
        {"*.", NAME_WILDCARD, NAME_EMPTY_LABEL},
        {"*.*.example.com", NAME_WILDCARD, NAME_WILDCARD},
        {"a*.example.com", NAME_WILDCARD, NAME_WILDCARD},
        {"", NAME_EMPTY, NAME_EMPTY},
        {".", NAME_EMPTY_LABEL, NAME_EMPTY_LABEL},
        {"localhost", NAME_SINGLE_LABEL, NAME_SINGLE_LABEL},
        {"mail.example.com.", NAME_TRAILING_DOT, NAME_TRAILING_DOT},
        {".example.com", NAME_EMPTY_LABEL, NAME_EMPTY_LABEL},
        {"a..b", NAME_EMPTY_LABEL, NAME_EMPTY_LABEL},
        {"-a.example", NAME_HYPHEN, NAME_HYPHEN},
        {"a-.example", NAME_HYPHEN, NAME_HYPHEN},
        {"a_b.example", NAME_UNDERSCORE, NAME_UNDERSCORE},
        {"b\xc3\xbc"
         "cher.example",
         NAME_U_LABEL, NAME_U_LABEL},
        {"a.example\xc2\xa0", NAME_BLANK, NAME_BLANK},
        {"b\xc3\xbc"
         "cher.example\xe2\x80\x8b",
         NAME_BLANK, NAME_BLANK},
        {"a b.example", NAME_CHARACTER, NAME_CHARACTER},
        {"a.example:25", NAME_CHARACTER, NAME_CHARACTER},
        {"192.0.2.1", NAME_ADDRESS, NAME_ADDRESS},
        {"2001:db8::1", NAME_ADDRESS, NAME_ADDRESS},
        {"[2001:db8::1]", NAME_ADDRESS, NAME_ADDRESS},
        {"300.300.300.300", NAME_NUMERIC_TLD, NAME_NUMERIC_TLD},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct name name;
        struct span text = guard_copy(span_of(rows[i].text));
        assert_int_equal(name_parse(text, NAME_HOST, &name), rows[i].host);
        assert_int_equal(name_parse(text, NAME_PATTERN, &name), rows[i].pattern);
        if (rows[i].pattern == NAME_OK) {
            assert_true(span_equal_fold(text, (struct span){name.text, name.len}));
            for (size_t k = 0; k < name.len; k++)
                assert_int_equal(name.text[k], ascii_lower(name.text[k]));
        } else {
            assert_non_null(name_faults[rows[i].pattern].text);
        }
        guard_free(text);
    }
}

/* The policy host of a domain is a name as well. */
static void domain_leaves_room_for_its_policy_host(void **state)
{
    (void)state;
    static const char text[] = L63 "." L63 "." L63 "." L63; /* its end is what fits */
    for (size_t len = 1; len < sizeof(text); len++) {
        struct name name;
        struct span end = guard_copy(span_of(text + sizeof(text) - 1 - len));
        enum name_fault host = name_parse(end, NAME_HOST, &name);
        bool is_long = len + strlen("mta-sts.") > LIMIT_NAME;
        assert_int_equal(name_parse(end, NAME_DOMAIN, &name), is_long ? NAME_LONG : host);
        guard_free(end);
    }
}

static void every_byte_is_judged(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        struct name name;
        char text[] = "a?b.example";
        text[1] = (char)byte;
        bool allowed =
            ascii_is_alpha((char)byte) || ascii_is_digit((char)byte) || byte == '-' || byte == '.';
        enum name_fault fault = name_parse((struct span){text, 11}, NAME_HOST, &name);
        assert_int_equal(fault == NAME_OK, allowed);
    }
}

static void suggests(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name; /* NULL: no sure answer */
    } rows[] = {
        {"mail.example.com.", "mail.example.com"},
        {"mail.example.com:25", "mail.example.com"},
        {"*.example.com.", NULL}, /* only names are suggested */
        {"b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example"},
        {"Stra\xc3\x9f"
         "e.Example",
         "xn--strae-oqa.example"},
        {"\xc2\xa0\xef\xbb\xbfmail.example.com.\xe2\x80\x89", "mail.example.com"},
        {"mail\xc2\xa0.example.com", NULL},
        {"\xc2\xa0", NULL},
        {"\xd0\xbf\xd0\xbe\xd1\x87\xd1\x82\xd0\xb0.\xd1\x80\xd1\x84", "xn--80a1acny.xn--p1ai"},
        {"\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah"},
        {"B\xc3\x9c"
         "CHER.example",
         NULL}, /* a capital letter needs tables we do not have */
        {"b\xc3", NULL},
        {"", NULL},
        {"a_b.example", NULL},
        {"localhost.", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct name name;
        struct span text = guard_copy(span_of(rows[i].text));
        bool sure = name_suggest(text, NAME_HOST, &name);
        assert_int_equal(sure, rows[i].name != NULL);
        if (sure)
            assert_string_equal(name.text, rows[i].name);
        guard_free(text);
    }
}

static void no_suggestion_overflows(void **state)
{
    (void)state;
    struct name name;
    char text[2000];
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xbc", 2);
    for (size_t len = 0; len <= sizeof(text); len += 7) {
        struct span copy = guard_copy((struct span){text, len});
        (void)name_suggest(copy, NAME_HOST, &name);
        guard_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges),
        cmocka_unit_test(domain_leaves_room_for_its_policy_host),
        cmocka_unit_test(every_byte_is_judged),
        cmocka_unit_test(suggests),
        cmocka_unit_test(no_suggestion_overflows),
    };
    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
