#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/text.h"
#include "command/command.h"
#include "command/reading.h"
#include "inspect/inspect.h"
#include "probe/chain.h"
#include "probe/fetch.h"
#include "site/endpoint.h"
#include "site/site.h"

enum health_state {
    HEALTH_SERVES, /* a policy */
    HEALTH_IDLE,   /* it is alive, and for no domain that was asked for it has a certificate */
    HEALTH_DEAD,   /* it does not answer, or not as it should */
};

enum { ALERT_UNRECOGNIZED_NAME = 112 };

/* A header of the PROXY protocol, version 2, with the command LOCAL: the proxy speaks for itself. */
static const char LOCAL[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/* The question to an endpoint, and what came of it. Everything is borrowed for the call. */
struct health {
    const struct endpoint *endpoint;
    const struct site_domain *only; /* the only domain that is asked for; or NULL */
    int64_t now;                    /* seconds since 1970 UTC */
    int64_t begin_us, deadline_us;  /* of all that is asked */

    const struct site_domain *domain; /* that is asked for now; or NULL */
    char host[LIMIT_NAME + 16];
    struct fetch fetch;

    enum health_state state;
    bool differs;     /* what is served is not the policy of the site */
    int64_t took_us;  /* of the fetch that decided */
    char reason[512]; /* why it is dead, as a sentence without a full stop */
};

static void die(struct health *health, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void die(struct health *health, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* What does not fit is cut: who reads it knows the names by then. */
    (void)vsnprintf(health->reason, sizeof(health->reason), format, arguments);
    va_end(arguments);
    health->state = HEALTH_DEAD;
}

static void fetch(struct health *health)
{
    const struct endpoint *endpoint = health->endpoint;
    const struct address *own = &endpoint->address;
    for (int attempt = 0; attempt < (address_is_v6_wildcard(own) ? 2 : 1); attempt++) {
        struct address target = fetch_address_of(own, attempt > 0);
        bool is_proxy = false; /* who connects to an address of this machine comes from it */
        for (size_t i = 0; i < endpoint->proxy_count; i++)
            is_proxy = is_proxy || prefix_contains(&endpoint->proxies[i], &target.any);
        const struct fetch_request request = {
            .address = &target,
            .host = health->host,
            .timeout_ms = (health->deadline_us - clock_monotonic_us()) / 1000,
            .preamble = {LOCAL, is_proxy ? sizeof(LOCAL) - 1 : 0},
            .versions = endpoint->plain ? CLIENT_PLAIN : CLIENT_TLS_ALL,
        };
        fetch_free(&health->fetch);
        fetch_run(&request, &health->fetch);
        if (health->fetch.step != FETCH_CONNECT)
            return;
    }
}

/* Strictly: everything that senders mind but the authority. */
static void judge_strictly(struct health *health)
{
    struct report *report = heap_take(1, sizeof(*report));
    struct chain chain = {
        .der = health->fetch.chain,
        .count = health->fetch.chain_len,
        .host = health->host,
        .now = health->now,
    };
    if (health->fetch.chain_len > 0)
        chain_judge(&chain, report, &report->visits[0]);
    if (report_level(report) <= DIAG_ERROR)
        die(health, "%s", report->findings[0].message);
    else if (health->fetch.chain_len > 0 && health->differs)
        die(health, "the policy is not that of the configuration");
    else if (site_state(health->domain) == SITE_STALE)
        die(health, "the policy of %s is the last valid one, not the configured one",
            site_name(health->domain));
    free(report);
}

static bool leaf_covers(const struct health *health)
{
    struct certificate *leaf = certificate_new(health->fetch.chain[0]);
    bool covers = chain_covers(leaf, span_of(health->host));
    certificate_free(leaf);
    return covers;
}

/* A policy that is not configured may be one that is not configured any more, or not yet. */
static void judge_policy(struct health *health)
{
    const struct answer *answer = health->fetch.answer;
    const struct span body = {answer->body, answer->body_len};
    health->state = HEALTH_SERVES;
    health->differs = !span_equal(body, policy_body(site_policy(health->domain)));
    if (health->fetch.chain_len > 0 && !leaf_covers(health)) {
        die(health, "the certificate is not for %s", health->host);
        return;
    }
    if (health->differs) {
        struct inspection *inspection = inspection_new(body, NULL);
        if (inspection->level <= DIAG_ERROR)
            die(health, "what is served for %s is no valid policy", site_name(health->domain));
        inspection_free(inspection);
    }
    if (health->only != NULL && health->state == HEALTH_SERVES)
        judge_strictly(health);
}

static void judge_failure(struct health *health)
{
    const struct fetch *fetch = &health->fetch;
    bool is_unknown = fetch->step == FETCH_HANDSHAKE && fetch->alert == ALERT_UNRECOGNIZED_NAME;
    if (is_unknown && health->only == NULL)
        health->state = HEALTH_IDLE;
    else if (is_unknown)
        die(health, "there is no certificate for %s", health->host);
    else if (fetch->error == ETIMEDOUT)
        die(health, "no answer within %s",
            report_seconds((health->deadline_us - health->begin_us) / 1000).text);
    else if (fetch->step == FETCH_CONNECT)
        die(health, "%s", strerror(fetch->error));
    else if (fetch->step == FETCH_HANDSHAKE)
        die(health, "the TLS handshake fails");
    else
        die(health, "the connection breaks before there is a response");
}

/* Asks for the domain; with NULL for a name that no server has (RFC 6761 section 6.4). 503 is the answer for
 * a domain that was refused, 421 that for one that is not served at all. */
static void inquire(struct health *health, const struct site_domain *domain)
{
    health->domain = domain;
    (void)snprintf(health->host, sizeof(health->host), "mta-sts.%s",
                   domain == NULL ? "health.invalid" : site_name(domain)); /* it fits */
    fetch(health);
    const struct answer *answer = health->fetch.answer;
    health->took_us =
        health->fetch.connect_us + health->fetch.handshake_us + health->fetch.answer_us;
    if (health->fetch.step != FETCH_DONE)
        judge_failure(health);
    else if (answer->fault != NULL)
        die(health, "the response %s", answer->fault);
    else if (answer->status == 200 && domain != NULL)
        judge_policy(health);
    else if ((answer->status == 503 || answer->status == 421) && health->only == NULL)
        health->state = HEALTH_IDLE;
    else if (answer->status == 200)
        die(health,
            "another program answers there: it has status 200 for %s, a name that no server "
            "has",
            health->host);
    else
        die(health, "the status for %s is %u instead of 200", health->host, answer->status);
    fetch_free(&health->fetch);
}

/* Asks one endpoint of the server that runs on this machine whether it is healthy, as a client would: no
 * authority is trusted and no name is resolved, so that it works where there is neither.
 * Asks for the domains of the site (or NULL) until one is served. With only, for that one alone and strictly:
 * its certificate is to be valid now, and the policy to be the configured one; else the state is
 * HEALTH_DEAD. */
static void ask_health(struct health *health, const struct site *site)
{
    size_t count = site == NULL ? 0 : site_count(site);
    size_t tries = count < LIMIT_HEALTH_NAMES ? count : LIMIT_HEALTH_NAMES;
    size_t asked = 0;
    const struct address *address = &health->endpoint->address;
    bool is_inet = address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6;
    /* A service manager may know the address, or the kernel the port, which is at the same place in both. */
    if (is_inet ? address->v4.sin_port == 0 : address->any.sa_family != AF_UNIX) {
        die(health, "the configuration does not give its address or port: name them with "
                    "--listen");
        return;
    }
    if (health->only != NULL) {
        inquire(health, health->only);
        return;
    }
    for (size_t i = 0; i < tries; i++) {
        const struct site_domain *domain = site_at(site, i * count / tries);
        if (site_policy(domain) == NULL || (site_is_proxied(domain) && !health->endpoint->plain))
            continue;
        inquire(health, domain);
        asked++;
        if (health->state != HEALTH_IDLE)
            return;
    }
    if (asked == 0)
        inquire(health, NULL);
}

/* What a proxy shows senders is not shown at a listener with TLS. */
static bool is_asked(const struct endpoint *endpoint, const struct site_domain *only)
{
    return endpoint->service == ENDPOINT_POLICIES &&
           (only == NULL || !site_is_proxied(only) || endpoint->plain);
}

/* Asks every listener, each for its part of the time that is left. True when all are alive. */
static bool ask_all(const struct endpoint *endpoints, size_t count, const struct site *site,
                    const struct site_domain *only, int64_t now, bool *ret_idle, struct text *out)
{
    int64_t end_us = clock_monotonic_us() + LIMIT_HEALTH_ALL_MS * INT64_C(1000);
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        left += is_asked(&endpoints[i], only) ? 1 : 0;
    if (left == 0) {
        text_append(out, span_of("unhealthy: no listener for policies has \"tls: false\"\n"));
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct health health = {.endpoint = &endpoints[i], .only = only, .now = now};
        if (!is_asked(&endpoints[i], only))
            continue;
        assert(left > 0);
        health.begin_us = clock_monotonic_us();
        int64_t share_us = (end_us - health.begin_us) / (int64_t)left--;
        if (share_us > LIMIT_HEALTH_MS * INT64_C(1000))
            share_us = LIMIT_HEALTH_MS * INT64_C(1000);
        health.deadline_us = health.begin_us + share_us;
        ask_health(&health, site);
        text_printf(out, "%s: ", endpoints[i].address.text);
        if (health.state == HEALTH_DEAD)
            text_printf(out, "unhealthy: %s\n", health.reason);
        else if (health.state == HEALTH_IDLE)
            text_append(out,
                        span_of("alive, but there is no certificate yet, so nothing is served\n"));
        else
            text_printf(out, "healthy, serves the policy of %s (%" PRId64 " ms)%s\n",
                        site_name(health.domain), (health.took_us + 500) / 1000,
                        health.differs ? "; it is not that of the configuration: reload?" : "");
        good = good && health.state != HEALTH_DEAD;
        *ret_idle = *ret_idle || health.state == HEALTH_IDLE;
    }
    return good;
}

/* The command has the rights of the server only where both run as the same user, as in a container. */
static bool can_read_any(const struct command_line *line, struct text *out)
{
    struct reading whole = reading_new(line, false);
    const struct configuration *configuration = whole.configuration;
    bool good =
        configuration == NULL || !verdict_is_blocked(configuration->site, configuration->denied);
    if (!good)
        text_printf(out,
                    "unhealthy: no certificate is served, and %s cannot be read by user %u: "
                    "Permission denied\n",
                    configuration->first_denied, (unsigned)geteuid());
    reading_free(&whole);
    return good;
}

int command_health(const struct command_line *line, struct text *out)
{
    bool good = false, idle = false;
    const struct site_domain *only = NULL;
    struct endpoint usual = {0};
    struct reading reading = reading_new(line, true);
    const struct configuration *configuration = reading.configuration;
    if (configuration != NULL && line->operand_count > 0)
        only = reading_find(&reading, line->operands[0]);
    if (line->operand_count > 0 && (only == NULL || site_policy(only) == NULL)) {
        reading_tell(line, &reading);
    } else if (configuration != NULL) {
        good = ask_all(configuration->settings.listeners, configuration->settings.listener_count,
                       configuration->site, only, line->now, &idle, out);
        if (good && idle && only == NULL)
            good = can_read_any(line, out);
    } else if (address_parse(span_of("[::]:443"), &usual.address)) {
        /* A file that is being edited says nothing about the server, which goes on with what it has read.
         * So only the domains are unknown, and whether it is alive can still be asked. */
        if (line->listen != NULL)
            usual.address = *line->listen;
        text_printf(out, "%s has errors: see mta-sts-httpd check\n", line->path);
        good = ask_all(&usual, 1, NULL, NULL, line->now, &idle, out);
    }
    reading_free(&reading);
    return good ? STATUS_GOOD : STATUS_WRONG;
}
