/* The settings: what each key may be at and beyond its ends, and where each fault is reported. */
#include "configuration/settings.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"
#include "site/site.h"
#include "unit.h"

struct read {
    struct arena *arena;
    struct diag *diag;
    struct root_nodes nodes;
    struct settings settings;
    bool good;
};

static struct read read_settings(const char *yaml)
{
    struct read read = {.arena = arena_new(), .diag = diag_new()};
    const char *file = diag_intern(read.diag, span_of("f"));
    const struct node *root =
        document_parse(read.arena, span_of(yaml), file, DIAG_FATAL, read.diag, NULL, NULL);
    assert_non_null(root);
    bool known = schema_read(&schema_root, root, &read.nodes, DIAG_FATAL, read.diag);
    read.good = settings_read(&read.nodes, read.arena, read.diag, &read.settings) && known;
    assert_int_equal(read.good, diag_count(read.diag, DIAG_FATAL) == 0);
    return read;
}

static void drop(struct read *read)
{
    arena_free(read->arena);
    diag_free(read->diag);
}

static void has_defaults(void **state)
{
    (void)state;
    struct read read = read_settings("{}");
    const struct settings *settings = &read.settings;
    assert_true(read.good);
    assert_int_equal(settings->listener_count, 1);
    assert_string_equal(settings->listeners[0].address.text, "[::]:443");
    assert_true(settings->listeners[0].is_default);
    assert_int_equal(settings->listeners[0].service, ENDPOINT_POLICIES);
    assert_false(settings->listeners[0].plain || settings->listeners[0].v6_only);
    assert_int_equal(settings->workers, 0);
    assert_int_equal(settings->certificate_warning, VERDICT_WARNING_DEFAULT);
    assert_int_equal(read.nodes.watch, 0);
    assert_false(settings->strict || settings->seal_required);
    assert_false(settings->log.json || settings->log.anonymize);
    assert_int_equal(settings->log.access, LOG_ACCESS_OFF);
    assert_int_equal(settings->dns_ttl, 0);
    assert_int_equal(settings->dns_address_count, 0);
    assert_null(settings->user);
    assert_null(settings->dns_target);
    assert_null(settings->dns_delegate);
    assert_null(settings->tls_rpt);
    assert_null(settings->acme.alpn);
    assert_null(settings->acme.webroot);
    drop(&read);
}

/* A number of the settings, whatever its type is. */
static int64_t number_of(const struct settings *settings, const char *yaml)
{
    return yaml[0] == 'w'   ? (int64_t)settings->workers
           : yaml[0] == 'c' ? settings->certificate_warning
                            : (int64_t)settings->dns_ttl;
}

static void numbers_end_where_they_must(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        int64_t value; /* INT64_MIN: refused */
    } rows[] = {
        {"workers: auto", 0},
        {"workers: 1", 1},
        {"workers: 256", LIMIT_WORKERS},
        {"workers: 257", INT64_MIN},
        {"workers: 0", INT64_MIN},
        {"workers: -1", INT64_MIN},
        {"workers: 1.0", INT64_MIN},
        {"workers: Auto", INT64_MIN},
        {"workers: 18446744073709551617", INT64_MIN},
        {"certificate_warning: auto", VERDICT_WARNING_DEFAULT},
        {"certificate_warning: 0", 0},
        {"certificate_warning: 21d", 21 * 86400},
        {"certificate_warning: 4294967295", UINT32_MAX},
        {"certificate_warning: 4294967296", INT64_MIN},
        {"certificate_warning: 7101w", INT64_C(7101) * 604800},
        {"certificate_warning: 7102w", INT64_MIN},
        {"certificate_warning: -1", INT64_MIN},
        {"certificate_warning: 1 d", INT64_MIN},
        {"certificate_warning: d", INT64_MIN},
        {"dns: {ttl: 1}", 1},
        {"dns: {ttl: 1h}", 3600},
        {"dns: {ttl: 2147483647}", INT32_MAX},
        {"dns: {ttl: 2147483648}", INT64_MIN},
        {"dns: {ttl: 0}", INT64_MIN},
        {"dns: {ttl: 0w}", INT64_MIN},
        {"dns: {ttl: 99999999999999999999s}", INT64_MIN},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct read read = read_settings(rows[i].yaml);
        assert_int_equal(read.good, rows[i].value != INT64_MIN);
        if (read.good)
            assert_int_equal(number_of(&read.settings, rows[i].yaml), rows[i].value);
        drop(&read);
    }
}

static void a_long_ttl_is_warned_of(void **state)
{
    (void)state;
    struct read day = read_settings("dns: {ttl: 1d}"), more = read_settings("dns: {ttl: 86401}");
    assert_true(day.good && more.good);
    assert_int_equal(diag_count(day.diag, DIAG_WARNING), 0);
    assert_int_equal(diag_count(more.diag, DIAG_WARNING), 1);
    drop(&day);
    drop(&more);
}

/* Every word that a key takes, and what it comes to. */
static void words_are_taken_as_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *end, *words[4];
    } rows[] = {
        {"strict: ", "", {"true", "false"}},
        {"watch: ", "", {"true", "false"}},
        {"seal: ", "", {"required", "best"}},
        {"log: {access: ", "}", {"on", "off", "errors"}},
        {"log: {format: ", "}", {"text", "json"}},
        {"log: {anonymize: ", "}", {"true", "false"}},
        {"listen: {address: ':443', freebind: ", "}", {"true", "false"}},
        {"listen: {address: ':443', tls: ", "}", {"true", "false"}},
        {"acme: {http: ':80', webroot: d, redirect: ", "}", {"true", "false"}},
    };
    static const char *const bad[] = {"True", "yes", "1", "tru", "truex", "ON", "'on '", "none"};
    char yaml[128];
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t k = 0; rows[i].words[k] != NULL; k++) {
            (void)snprintf(yaml, sizeof(yaml), "%s%s%s", rows[i].begin, rows[i].words[k],
                           rows[i].end);
            struct read read = read_settings(yaml);
            const struct settings *is = &read.settings;
            const bool values[] = {is->strict,
                                   read.nodes.watch == 2,
                                   is->seal_required,
                                   is->log.access == LOG_ACCESS_ON,
                                   !is->log.json,
                                   is->log.anonymize,
                                   is->listeners[0].freebind,
                                   !is->listeners[0].plain,
                                   is->listener_count == 2 && is->listeners[1].redirect};
            assert_true(read.good);
            assert_int_equal(values[i], k == 0);
            drop(&read);
        }
        for (size_t k = 0; k < COUNT(bad); k++) {
            (void)snprintf(yaml, sizeof(yaml), "%s%s%s", rows[i].begin, bad[k], rows[i].end);
            struct read read = read_settings(yaml);
            assert_false(read.good);
            drop(&read);
        }
    }
    struct read off = read_settings("watch: false"),
                errors = read_settings("log: {access: errors}");
    assert_int_equal(off.nodes.watch, 1);
    assert_int_equal(errors.settings.log.access, LOG_ACCESS_ERRORS);
    drop(&off);
    drop(&errors);
}

/* Of each what is printed first. */
static void faults_have_their_places(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *line;
    } rows[] = {
        {"strict: 1",
         "f:1:9: error: strict \"1\" is neither true nor false\n    fix: write true\n"},
        {"a: 1\nworkers: 0", "f:1:1: error: unknown key \"a\" at the top of the configuration\n"
                             "f:2:10: error: workers \"0\" is neither auto nor 1 to 256\n"},
        {"seal: no", "f:1:7: error: seal \"no\" is neither required nor best\n"},
        {"log: {access: no}", "f:1:15: error: access \"no\" is neither on, off nor errors\n"},
        {"log: {format: no}", "f:1:15: error: format \"no\" is neither text nor json\n"},
        {"dns:\n  target: a\n", "f:2:11: error: target \"a\" has only one label\n"},
        {"dns: {addresses: [192.0.2.1, a]}", "f:1:30: error: \"a\" is not an IP address\n"},
        {"dns: {addresses: 192.0.2.256}", "f:1:18: error: \"192.0.2.256\" is not an IP address\n"},
        {"dns: {target: a.example, addresses: '::1'}",
         "f:1:37: error: dns has both target and addresses\n"},
        {"tls_rpt: []", "f:1:10: error: tls_rpt is an empty list\n"},
        {"tls_rpt: [mailto:a@b, x]", "f:1:23: error: tls_rpt \"x\" is neither a mailto: nor an "
                                     "https: address\n"},
        {"tls_rpt: mailto:@b", "f:1:10: error: tls_rpt \"mailto:@b\" is neither a mailto: nor an "
                               "https: address\n"},
        {"tls_rpt: https://", "f:1:10: error: tls_rpt \"https://\" is neither a mailto: nor an "
                              "https: address\n"},
        {"user: ''",
         "f:1:7: error: user must be the name or number of a user, not an empty text\n"},
        {"state: ''", "f:1:8: error: state must be a folder, not an empty text\n"},
        {"certificates: [a, '']",
         "f:1:19: error: certificates must be a file or folder, or a list of "
         "them, not an empty text\n"},
        {"include: ''",
         "f:1:10: error: include must be a file name or pattern, or a list of them, not "
         "an empty text\n"},
        {"acme: {alpn: ''}", "f:1:14: error: alpn must be a folder, not an empty text\n"},
        {"acme: {http: ':80', webroot: \"\"}",
         "f:1:30: error: webroot must be a folder, not an empty text\n"},
        {"acme: {http: ':80'}", "f:1:14: error: acme has http but no webroot\n"},
        {"acme: {webroot: d}", "f:1:17: error: acme has a webroot but nothing that serves it\n"},
        {"acme: {alpn: d, redirect: true}", "f:1:27: error: acme has redirect but no http\n"},
        {"acme: {}", "f:1:7: error: acme has neither alpn nor http\n"},
        {"acme: {http: x, webroot: d}",
         "f:1:14: error: http \"x\" is not an address with a port\n"},
        {"metrics: '9810'", "f:1:10: error: metrics \"9810\" is not an address with a port\n"},
        {"listen: []", "f:1:9: error: listen is an empty list\n"},
        {"listen: [[]]", "f:1:10: error: listen must be an address or a mapping\n"},
        {"listen: {tls: true}", "f:1:9: error: the listener has no address\n"},
        {"listen: [':443', ':443']", "f:1:18: error: listen \"[::]:443\" is listed twice\n"},
        {"listen: [':443', '127.0.0.1:443']",
         "f:1:18: error: listen \"127.0.0.1:443\" overlaps with listen \"[::]:443\"\n"},
        {"metrics: ':443'",
         "f:1:10: error: metrics \"[::]:443\" overlaps with listen \"[::]:443\", the default\n"},
        {"listen: {address: ':443', proxy_protocol: {}}",
         "f:1:43: error: proxy_protocol does not say which proxies to trust\n"},
        {"listen: {address: ':443', proxy_protocol: {from: 10.0.0.1/8}}",
         "f:1:50: error: from \"10.0.0.1/8\" has bits set after the length of its range\n"},
        {"listen: {address: ':443', proxy_protocol: {from: 10.0.0.0/33}}",
         "f:1:50: error: from \"10.0.0.0/33\" is neither an IP address nor a range\n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct read read = read_settings(rows[i].yaml);
        struct text text = {0};
        diag_print(read.diag, DIAG_WARNING, &text);
        assert_false(read.good);
        assert_memory_equal(text.data, rows[i].line, strlen(rows[i].line));
        text_free(&text);
        drop(&read);
    }
}

/* One fault hides no other, and with any of them the settings stay as they were. */
static void all_faults_are_found_at_once(void **state)
{
    (void)state;
    struct read read = read_settings("listen: [x, y]\n"
                                     "metrics: x\n"
                                     "workers: 0\n"
                                     "strict: x\n"
                                     "watch: x\n"
                                     "seal: x\n"
                                     "certificate_warning: x\n"
                                     "tls_rpt: x\n"
                                     "log: {access: x, format: x, anonymize: x}\n"
                                     "dns: {ttl: x, target: x, delegate: x}\n"
                                     "acme: {http: x, webroot: d, redirect: x}\n");
    assert_int_equal(diag_count(read.diag, DIAG_FATAL), 2 + 7 + 3 + 3 + 2);
    assert_memory_equal(&read.settings, &(struct settings){0}, sizeof(read.settings));
    drop(&read);
}

/* A value with so many items; in each the number takes the place of "#". */
static char *repeat(const char *begin, const char *item, size_t count, const char *end)
{
    struct text text = {0};
    text_append(&text, span_of(begin));
    for (size_t i = 0; i < count; i++)
        for (const char *at = item; *at != '\0'; at++)
            if (*at == '#')
                text_printf(&text, "%zu", i + 1);
            else
                text_append(&text, (struct span){at, 1});
    text_append(&text, span_of(end));
    assert_false(text.failed);
    return text.data;
}

static void lists_end_where_they_must(void **state)
{
    (void)state;
    enum { RUA = sizeof("mailto:@b") - 1 };
    static const struct {
        const char *begin, *item, *end;
        size_t most;
    } rows[] = {
        {"listen: [", "'192.0.2.1:#', ", "]", LIMIT_LISTENERS},
        {"metrics: ':9999'\nlisten: [", "'192.0.2.1:#', ", "]", LIMIT_LISTENERS - 1},
        {"tls_rpt: mailto:", "a", "@b", LIMIT_TLS_RPT - RUA},
        {"tls_rpt: [https://a, mailto:", "a", "@b]", LIMIT_TLS_RPT - RUA - 10},
        /* Three bytes for one. */
        {"tls_rpt: mailto:", "!", "a@b", (LIMIT_TLS_RPT - RUA) / 3},
        {"dns: {delegate: a.", "a.", "example}", (LIMIT_DELEGATE - 9) / 2},
        {"dns: {delegate: aa.", "a.", "example}", (LIMIT_DELEGATE - 10) / 2},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t more = 0; more < 2; more++) {
            char *yaml = repeat(rows[i].begin, rows[i].item, rows[i].most + more, rows[i].end);
            struct read read = read_settings(yaml);
            assert_int_equal(read.good, more == 0);
            assert_int_equal(diag_count(read.diag, DIAG_FATAL), more);
            drop(&read);
            free(yaml);
        }
}

static void addresses_for_reports_are_encoded(void **state)
{
    (void)state;
    struct read read = read_settings("tls_rpt: [MAILTO:a!b@c, 'https://d/e;f,g%2C']");
    assert_true(read.good);
    assert_string_equal(read.settings.tls_rpt, "MAILTO:a%21b@c,https://d/e%3Bf%2Cg%2C");
    drop(&read);
}

static void names_and_addresses_are_canonical(void **state)
{
    (void)state;
    struct read one = read_settings("dns: {target: STS.Example., delegate: Z.Example}");
    assert_true(one.good);
    assert_string_equal(one.settings.dns_target, "sts.example");
    assert_string_equal(one.settings.dns_delegate, "z.example");
    drop(&one);
    struct read two = read_settings("dns: {addresses: [192.0.2.1, 2001:DB8:0::1]}");
    assert_true(two.good);
    assert_int_equal(two.settings.dns_address_count, 2);
    assert_string_equal(two.settings.dns_addresses[0], "192.0.2.1");
    assert_string_equal(two.settings.dns_addresses[1], "2001:db8::1");
    drop(&two);
}

static void listeners_are_what_was_written(void **state)
{
    (void)state;
    struct read read = read_settings("listen:\n"
                                     "  - '[::]:443'\n"
                                     "  - 0.0.0.0:443\n"
                                     "  - {address: 'unix:/run/p', tls: false,\n"
                                     "     proxy_protocol: {from: [10.0.0.0/8, '::1']}}\n"
                                     "metrics: 127.0.0.1:9810\n"
                                     "acme: {http: '[::]:80', webroot: d, redirect: true}\n");
    const struct endpoint *items = read.settings.listeners;
    assert_true(read.good);
    assert_int_equal(read.settings.listener_count, 5);
    assert_true(items[0].v6_only && !items[1].v6_only);
    assert_true(items[2].plain && !items[0].plain);
    assert_int_equal(items[2].proxy_count, 2);
    assert_int_equal(items[0].proxy_count, 0);
    assert_int_equal(items[3].service, ENDPOINT_METRICS);
    assert_int_equal(items[4].service, ENDPOINT_CHALLENGES);
    assert_true(items[3].plain && items[4].plain && items[4].redirect && !items[3].redirect);
    assert_false(items[4].v6_only || endpoint_all_plain(items, read.settings.listener_count));
    drop(&read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(numbers_end_where_they_must),
        cmocka_unit_test(a_long_ttl_is_warned_of),
        cmocka_unit_test(words_are_taken_as_they_are),
        cmocka_unit_test(faults_have_their_places),
        cmocka_unit_test(all_faults_are_found_at_once),
        cmocka_unit_test(lists_end_where_they_must),
        cmocka_unit_test(addresses_for_reports_are_encoded),
        cmocka_unit_test(names_and_addresses_are_canonical),
        cmocka_unit_test(listeners_are_what_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
