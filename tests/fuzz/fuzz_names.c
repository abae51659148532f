/*
 * Any bytes as each of the small things that people and clients write: domain
 * names and patterns, hosts in SNI and Host, addresses, durations, dates, and
 * words that are shown. Each reader is compared with a second one, or what it
 * has read is written and read again.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdio.h>

#include "base/address.h"
#include "base/calendar.h"
#include "base/suggest.h"
#include "base/text.h"
#include "body.h"
#include "fuzz.h"
#include "http/http.h"
#include "policy/name.h"
#include "site/site_builder.h"

static const char *const domains[] = {"example.com", "a.example", "xn--bcher-kva.example"};
enum { DOMAINS = sizeof(domains) / sizeof(domains[0]) };

static void check_name(struct span input, enum name_kind kind)
{
    struct name name, suggested;
    char folded[LIMIT_NAME + 1];
    enum name_fault fault = name_parse(input, kind, &name);
    bool fits = input.len <= LIMIT_NAME;
    for (size_t i = 0; fits && i < input.len; i++)
        folded[i] = ascii_lower(input.data[i]);
    bool is_name = fits && body_is_name((struct span){folded, input.len}, kind == NAME_PATTERN);
    assert((fault == NAME_OK) == is_name);
    assert(name_faults[fault].text != NULL);
    if (fault == NAME_OK)
        assert(name.len == input.len && memcmp(name.text, folded, name.len) == 0 &&
               name.text[name.len] == '\0');
    if (name_suggest(input, kind, &suggested))
        assert(body_is_name(span_of(suggested.text), kind == NAME_PATTERN));
}

static struct site *make_site(void)
{
    struct site_builder *builder = site_builder_new(-1);
    assert(builder != NULL);
    for (size_t i = 0; i < DOMAINS; i++)
        site_builder_add(builder, &(struct site_fields){.name = span_of(domains[i]),
                                                        .state = SITE_REFUSED,
                                                        .at = {.file = "input"}});
    struct site *site = site_builder_finish(builder);
    assert(site != NULL);
    return site;
}

/* The plain way to say which host is meant. */
static bool is_host_of(struct span host, const char *domain)
{
    char expected[LIMIT_NAME + 1] = "mta-sts.";
    size_t len = 8 + strlen(domain);
    memcpy(expected + 8, domain, strlen(domain));
    if (host.len > 0 && host.data[host.len - 1] == '.')
        host.len--;
    return host.len == len && strncasecmp(host.data, expected, len) == 0 &&
           memchr(host.data, '\0', len) == NULL;
}

static void check_host(const struct site *site, struct span host)
{
    const struct site_domain *found = site_find_host(site, host);
    size_t matches = 0;
    for (size_t i = 0; i < DOMAINS; i++) {
        if (!is_host_of(host, domains[i]))
            continue;
        assert(found != NULL && strcmp(site_name(found), domains[i]) == 0);
        matches++;
    }
    assert(matches == (found == NULL ? 0 : 1));
}

static void check_authority(const struct site *site, struct span input)
{
    struct host_port authority, again;
    if (!host_port_parse(input, &authority))
        return;
    struct span host = authority.host;
    assert(host.len > 0 && host.data == input.data && host.len <= input.len);
    assert(authority.has_port == (host.len + 1 < input.len));
    for (size_t i = 0; i < input.len; i++)
        assert(isgraph((unsigned char)input.data[i]) &&
               strchr("@/?#\\\"<>", input.data[i]) == NULL);
    assert(host_port_parse(host, &again) && !again.has_port);
    check_host(site, host);
}

static void check_address(struct span input)
{
    struct address address, again;
    if (!address_parse(input, &address))
        return;
    assert(address_parse(span_of(address.text), &again));
    assert(strcmp(address.text, again.text) == 0 && address.len == again.len);
    assert(memcmp(&address.any, &again.any, address.len) == 0);
}

/* A range has its own first address, and written anew it is the same. */
static void check_prefix(struct span input)
{
    struct prefix prefix, again;
    char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];
    struct sockaddr_in6 first = {.sin6_family = AF_INET6};
    if (prefix_parse(input, &prefix) != PREFIX_OK)
        return;
    assert(prefix.length <= 128);
    memcpy(&first.sin6_addr, prefix.bytes, sizeof(prefix.bytes));
    assert(prefix_contains(&prefix, (const struct sockaddr *)&first));
    assert(inet_ntop(AF_INET6, prefix.bytes, host, sizeof(host)) != NULL);
    (void)snprintf(text, sizeof(text), "%s/%u", host, prefix.length); /* it fits */
    assert(prefix_parse(span_of(text), &again) == PREFIX_OK);
    assert(again.length == prefix.length && memcmp(again.bytes, prefix.bytes, 16) == 0);
}

static void check_times(struct span input)
{
    uint32_t seconds = 0;
    int64_t instant = 0;
    char http[CALENDAR_HTTP_SIZE];
    if (calendar_duration(input, &seconds))
        assert(input.len > 0 && ascii_is_digit(input.data[0]));
    if (!calendar_parse(input, &instant))
        return;
    assert(input.len >= 10 && memcmp(calendar_day(instant).text, input.data, 10) == 0);
    calendar_http_date(instant, http);
    if (input.len > 10)
        assert(memcmp(http + 17, input.data + 11, 8) == 0);
}

static void check_words(struct span input)
{
    struct text escaped = {0}, json = {0};
    text_escape(&escaped, input, 100);
    text_json(&json, input);
    assert(!escaped.failed && !json.failed);
    for (size_t i = 0; i < escaped.len; i++)
        assert(escaped.data[i] >= ' ' && escaped.data[i] <= '~' && escaped.data[i] != '"');
    body_check_words((struct span){json.data, json.len});
    assert(json.len >= 2 && json.data[0] == '"' && json.data[json.len - 1] == '"');
    for (size_t i = 1; i + 1 < json.len; i++) {
        assert(json.data[i] != '"' && json.data[i] != '\n');
        i += json.data[i] == '\\' ? 1 : 0;
    }
    text_free(&escaped);
    text_free(&json);
    assert(suggest_nearest(input, domains, DOMAINS) <= DOMAINS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = {(const char *)data, size};
    struct site *site = make_site();
    check_name(input, NAME_HOST);
    check_name(input, NAME_PATTERN);
    check_host(site, input);
    check_authority(site, input);
    check_address(input);
    check_prefix(input);
    check_times(input);
    check_words(input);
    site_free(site);
    return 0;
}
