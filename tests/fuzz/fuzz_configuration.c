/*
 * Any bytes as a configuration, with drop-in files: there are diagnostics, or a
 * site whose every body reads back as the same policy. What was read once is
 * read again as the same site when only certificates are loaded anew.
 */
#include <assert.h>
#include <stdio.h>

#include "base/limits.h"
#include "body.h"
#include "files.h"
#include "fuzz.h"
#include "load/configuration.h"

static const char MAIN_FILE[] = "/etc/mta-sts.yaml";

static size_t errors(const struct diag *diag)
{
    return diag_count(diag, DIAG_FATAL) + diag_count(diag, DIAG_ERROR);
}

/* JSON without its strings has these bytes only, and as many brackets open as close. */
static void check_json(struct span json)
{
    static const char others[] = "[]{}:,\n0123456789nul";
    long depth = 0;
    bool quoted = false;
    body_check_words(json);
    for (size_t i = 0; i < json.len; i++) {
        char byte = json.data[i];
        if (quoted && byte == '\\')
            i++;
        else if (byte == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (byte == '[' || byte == '{') - (byte == ']' || byte == '}');
        assert(quoted || byte == '"' || memchr(others, byte, sizeof(others) - 1) != NULL);
    }
    assert(depth == 0 && !quoted);
}

static void check_diagnostics(struct diag *diag)
{
    struct text words = {0}, json = {0};
    diag_print(diag, DIAG_NOTE, &words);
    diag_print_json(diag, NULL, DIAG_NOTE, &json);
    assert(!words.failed && !json.failed);
    assert((words.len == 0) ==
           (errors(diag) + diag_count(diag, DIAG_WARNING) + diag_count(diag, DIAG_NOTE) == 0));
    body_check_words((struct span){words.data, words.len});
    check_json((struct span){json.data, json.len});
    text_free(&words);
    text_free(&json);
}

/* As clients write it: capitals, and a dot at the end. */
static void check_host(const struct site *site, const struct site_domain *domain)
{
    char host[LIMIT_NAME + 2];
    int len = snprintf(host, sizeof(host), "MTA-sts.%s.", site_name(domain));
    assert(len > 0 && (size_t)len < sizeof(host));
    for (int i = 0; i < len; i += 3)
        host[i] = (char)(host[i] >= 'a' && host[i] <= 'z' ? host[i] - 'a' + 'A' : host[i]);
    assert(site_find_host(site, (struct span){host, (size_t)len}) == domain);
    assert(site_find_host(site, (struct span){host, (size_t)len - 1}) == domain);
}

static void check_tls_rpt(const char *rua)
{
    for (; rua != NULL && *rua != '\0'; rua++)
        assert(*rua > ' ' && *rua <= '~' && *rua != ';' && *rua != '!' && *rua != '"');
}

static void check_site(const struct configuration *configuration, const struct diag *diag)
{
    const struct site *site = configuration->site;
    bool refused = false;
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        assert(strlen(site_name(domain)) == site_name_span(domain).len);
        assert(body_is_name(site_name_span(domain), false));
        assert(i == 0 || strcmp(site_name(site_at(site, i - 1)), site_name(domain)) < 0);
        assert((site_policy(domain) == NULL) == (site_state(domain) == SITE_REFUSED));
        check_host(site, domain);
        check_tls_rpt(site_tls_rpt(domain));
        if (site_policy(domain) != NULL)
            body_check_policy(site_policy(domain));
        refused = refused || site_policy(domain) == NULL;
    }
    assert(!refused || errors(diag) > 0);
    assert(diag_count(diag, DIAG_FATAL) == 0);
    assert(!configuration->settings.strict || errors(diag) == 0);
    check_tls_rpt(configuration->settings.tls_rpt);
    const char *target = configuration->settings.dns_target;
    assert(target == NULL || body_is_name(span_of(target), false));
    assert(configuration->settings.listener_count >= 1);
}

static void check_same(const struct site *one, const struct site *other)
{
    assert(site_count(one) == site_count(other));
    for (size_t i = 0; i < site_count(one); i++) {
        const struct site_domain *a = site_at(one, i), *b = site_at(other, i);
        assert(strcmp(site_name(a), site_name(b)) == 0);
        assert((site_policy(a) == NULL) == (site_policy(b) == NULL));
        if (site_policy(a) == NULL)
            continue;
        assert(span_equal(policy_body(site_policy(a)), policy_body(site_policy(b))));
        assert(strcmp(policy_id(site_policy(a)), policy_id(site_policy(b))) == 0);
    }
}

/* The files are gone, but they were read once. */
static void check_kept(const struct configuration *previous)
{
    struct diag *diag = diag_new();
    const struct load_request request = {.path = MAIN_FILE,
                                         .previous = previous->site,
                                         .kept_settings = &previous->settings,
                                         .kept_watch = &previous->watch,
                                         .without_certificates = true};
    assert(diag != NULL);
    struct configuration *kept = configuration_load(&request, diag);
    assert(kept != NULL);
    check_same(previous->site, kept->site);
    configuration_free(kept);
    diag_free(diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct load_request request = {.path = MAIN_FILE, .without_certificates = true};
    struct diag *diag = diag_new();
    assert(diag != NULL);
    files_begin();
    files_add_all(MAIN_FILE, "/etc", (struct span){(const char *)data, size});
    struct configuration *configuration = configuration_load(&request, diag);
    if (configuration == NULL) {
        assert(errors(diag) > 0);
    } else {
        check_site(configuration, diag);
        files_end();
        files_begin();
        check_kept(configuration);
    }
    check_diagnostics(diag);
    configuration_free(configuration);
    files_end();
    diag_free(diag);
    return 0;
}
