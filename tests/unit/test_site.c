/* The site: what is found by which host name. */
#include "site/site_builder.h"

#include <stdio.h>

#include "unit.h"

static void add(struct site_builder *builder, const char *name)
{
    site_builder_add(
        builder,
        &(struct site_fields){.name = span_of(name), .state = SITE_REFUSED, .at = {.file = "f"}});
}

static void finds_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host, *name; /* NULL: not found */
    } rows[] = {
        {"mta-sts.example.com", "example.com"},
        {"MTA-STS.Example.COM", "example.com"},
        {"mta-sts.example.com.", "example.com"},
        {"mta-sts.example.com..", NULL},
        {"mta-sts.a.example.com", "a.example.com"},
        {"mta-sts.b.example.com", NULL},
        {"example.com", NULL},
        {"mta-sts.", NULL},
        {"mta-sts..", NULL},
        {"mta-sts", NULL},
        {"", NULL},
        {"xmta-sts.example.com", NULL},
        {"mta-sts.example.co", NULL},
    };
    struct site_builder *builder = site_builder_new();
    add(builder, "example.com");
    add(builder, "a.example.com");
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span host = guard_copy(span_of(rows[i].host));
        const struct site_domain *domain = site_find_host(site, host);
        assert_int_equal(domain != NULL, rows[i].name != NULL);
        if (domain != NULL)
            assert_string_equal(site_name(domain), rows[i].name);
        guard_free(host);
    }
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "mta-sts.", 8);
    assert_null(site_find_host(site, (struct span){longest, sizeof(longest)}));
    assert_null(site_find_host(site, (struct span){"mta-sts.exa\0mple.com", 20}));
    site_free(site);
}

static void an_empty_site_finds_nothing(void **state)
{
    (void)state;
    struct site_builder *builder = site_builder_new();
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    assert_null(site_find_host(site, span_of("mta-sts.example.com")));
    assert_int_equal(site_count(site), 0);
    site_free(site);
    site_free(NULL);
}

static void many_are_sorted_and_found(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct site_builder *builder = site_builder_new();
    char name[32];
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "d%u.example", i * 7919 % MANY);
        add(builder, name);
    }
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    assert_int_equal(site_count(site), MANY);
    for (size_t i = 1; i < MANY; i++)
        assert_true(strcmp(site_name(site_at(site, i - 1)), site_name(site_at(site, i))) < 0);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "d%u.example", i);
        assert_string_equal(site_name(site_find_domain(site, span_of(name))), name);
    }
    site_free(site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_hosts),
        cmocka_unit_test(an_empty_site_finds_nothing),
        cmocka_unit_test(many_are_sorted_and_found),
    };
    return cmocka_run_group_tests_name("site", tests, NULL, NULL);
}
