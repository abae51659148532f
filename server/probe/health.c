#include "probe/health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "policy/inspect.h"
#include "probe/chain.h"
#include "probe/fetch.h"

enum { ALERT_UNRECOGNIZED_NAME = 112, HOST_SIZE = LIMIT_NAME + 16 };

/* A header of the PROXY protocol, version 2, with the command LOCAL: the proxy speaks for itself. */
static const char LOCAL[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/* One question to the endpoint. */
struct inquiry {
    const struct endpoint *endpoint;
    const struct site_domain *domain; /* or NULL */
    char host[HOST_SIZE];
    bool strict;
    int64_t now;
    int64_t begin_us, deadline_us;
    struct fetch fetch;
    struct health *health;
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

/* Who connects to an address of this machine comes from it: are we taken for a proxy? */
static bool is_proxy(const struct endpoint *endpoint, const struct address *target)
{
    for (size_t i = 0; i < endpoint->proxy_count; i++)
        if (prefix_contains(&endpoint->proxies[i], &target->any))
            return true;
    return false;
}

/* False when memory is short. */
static bool fetch(struct inquiry *inquiry)
{
    for (int attempt = 0;; attempt++) {
        struct address target = fetch_address_of(&inquiry->endpoint->address, attempt > 0);
        const struct fetch_request request = {
            .address = &target.any,
            .address_len = target.len,
            .host = inquiry->host,
            .timeout_ms = (inquiry->deadline_us - clock_monotonic_us()) / 1000,
            .preamble = {LOCAL, is_proxy(inquiry->endpoint, &target) ? sizeof(LOCAL) - 1 : 0},
            .versions = inquiry->endpoint->plain ? CLIENT_PLAIN : CLIENT_TLS_ALL,
        };
        if (!fetch_run(&request, &inquiry->fetch))
            return false;
        bool is_v6_wildcard = target.any.sa_family == AF_INET6 &&
                              inquiry->endpoint->address.any.sa_family == AF_INET6 &&
                              IN6_IS_ADDR_UNSPECIFIED(&inquiry->endpoint->address.v6.sin6_addr);
        if (inquiry->fetch.step != FETCH_CONNECT || !is_v6_wildcard)
            return true;
        fetch_free(&inquiry->fetch);
    }
}

/* Strictly: everything that senders mind but the authority. */
static bool judge_strictly(struct inquiry *inquiry)
{
    struct report *report = calloc(1, sizeof(*report));
    const struct fetch *fetch = &inquiry->fetch;
    const struct chain_question question = {
        .chain = fetch->chain,
        .count = fetch->chain_len,
        .host = inquiry->host,
        .now = inquiry->now,
    };
    bool good = report != NULL && chain_judge(&question, report, &report->visits[0]);
    if (!good)
        die(inquiry->health, "memory is short");
    else if (report_level(report) <= DIAG_ERROR)
        die(inquiry->health, "%s", report->findings[0].message);
    else if (inquiry->health->differs)
        die(inquiry->health, "the policy is not that of the configuration");
    free(report);
    return good;
}

static bool leaf_covers(const struct inquiry *inquiry)
{
    struct certificate_der *der = certificate_der_new(inquiry->fetch.chain[0]);
    struct certificate *leaf = der == NULL ? NULL : certificate_new(der);
    bool covers = leaf != NULL && chain_covers(leaf, span_of(inquiry->host));
    certificate_free(leaf);
    certificate_der_free(der);
    return covers;
}

/* A policy that is not configured may be one that is not configured any more, or not yet. */
static void judge_policy(struct inquiry *inquiry)
{
    struct health *health = inquiry->health;
    const struct answer *answer = inquiry->fetch.answer;
    const struct span body = {answer->body, answer->body_len};
    health->state = HEALTH_SERVES;
    health->domain = inquiry->domain->name;
    health->differs = !span_equal(body, policy_body(inquiry->domain->policy));
    if (inquiry->fetch.chain_len > 0 && !leaf_covers(inquiry)) {
        die(health, "the certificate is not for %s", inquiry->host);
        return;
    }
    if (health->differs) {
        struct inspection *inspection = inspection_new(body, NULL);
        if (inspection == NULL || inspection->gravity == FINDING_REFUSAL)
            die(health, "what is served for %s is no valid policy", inquiry->domain->name);
        inspection_free(inspection);
    }
    if (inquiry->strict && health->state == HEALTH_SERVES && inquiry->fetch.chain_len > 0)
        (void)judge_strictly(inquiry); /* a shortage is told in the state */
    if (inquiry->strict && health->state == HEALTH_SERVES && inquiry->domain->state == SITE_STALE)
        die(health, "the policy of %s is the last valid one, not the configured one",
            inquiry->domain->name);
}

static void judge_failure(struct inquiry *inquiry)
{
    const struct fetch *fetch = &inquiry->fetch;
    struct health *health = inquiry->health;
    bool is_unknown = fetch->step == FETCH_HANDSHAKE && fetch->alert == ALERT_UNRECOGNIZED_NAME;
    if (is_unknown && !inquiry->strict)
        health->state = HEALTH_IDLE;
    else if (is_unknown)
        die(health, "there is no certificate for %s", inquiry->host);
    else if (fetch->is_late)
        die(health, "no answer within %s",
            report_seconds((inquiry->deadline_us - inquiry->begin_us) / 1000).text);
    else if (fetch->step == FETCH_CONNECT)
        die(health, "%s", strerror(fetch->error));
    else if (fetch->step == FETCH_HANDSHAKE)
        die(health, "the TLS handshake fails");
    else
        die(health, "the connection breaks before there is a response");
}

/* 503 is the answer for a domain that was refused, 421 that for one that is not served at all. */
static void judge(struct inquiry *inquiry)
{
    struct health *health = inquiry->health;
    const struct answer *answer = inquiry->fetch.answer;
    health->took_us =
        inquiry->fetch.connect_us + inquiry->fetch.handshake_us + inquiry->fetch.answer_us;
    if (inquiry->fetch.step != FETCH_DONE)
        judge_failure(inquiry);
    else if (answer->fault != NULL)
        die(health, "the response %s", answer->fault);
    else if (answer->status == 200 && inquiry->domain != NULL)
        judge_policy(inquiry);
    else if ((answer->status == 503 || answer->status == 421) && !inquiry->strict)
        health->state = HEALTH_IDLE;
    else if (answer->status == 200)
        die(health,
            "another program answers there: it has status 200 for %s, a name that no server "
            "has",
            inquiry->host);
    else
        die(health, "the status for %s is %u instead of 200", inquiry->host, answer->status);
}

static void inquire(const struct health_question *question, const struct site_domain *domain,
                    int64_t begin_us, struct health *health)
{
    struct inquiry inquiry = {
        .endpoint = question->endpoint,
        .domain = domain,
        .strict = question->only != NULL,
        .now = question->now,
        .begin_us = begin_us,
        .deadline_us = question->deadline_us,
        .health = health,
    };
    *health = (struct health){.state = HEALTH_DEAD};
    /* It fits; nobody has the second name (RFC 6761 section 6.4). */
    (void)snprintf(inquiry.host, sizeof(inquiry.host), "mta-sts.%s",
                   domain == NULL ? "health.invalid" : domain->name);
    if (fetch(&inquiry))
        judge(&inquiry);
    else
        die(health, "memory is short");
    fetch_free(&inquiry.fetch);
}

/* A service manager may know the address, or the kernel the port. */
static bool is_known(const struct address *address)
{
    switch (address->any.sa_family) {
    case AF_INET:
        return address->v4.sin_port != 0;
    case AF_INET6:
        return address->v6.sin6_port != 0;
    case AF_UNIX:
        return true;
    default:
        return false;
    }
}

void health_ask(const struct health_question *question, struct health *ret_health)
{
    const struct site *site = question->site;
    size_t count = site == NULL ? 0 : site_count(site);
    size_t tries = count < LIMIT_HEALTH_NAMES ? count : LIMIT_HEALTH_NAMES;
    size_t asked = 0;
    int64_t begin_us = clock_monotonic_us();
    *ret_health = (struct health){.state = HEALTH_DEAD};
    if (!is_known(&question->endpoint->address)) {
        die(ret_health, "the configuration does not tell its address or port: name them with "
                        "--listen");
        return;
    }
    if (question->only != NULL) {
        inquire(question, question->only, begin_us, ret_health);
        return;
    }
    for (size_t i = 0; i < tries; i++) {
        const struct site_domain *domain = site_at(site, i * count / tries);
        if (domain->policy == NULL || (domain->is_proxied && !question->endpoint->plain))
            continue;
        inquire(question, domain, begin_us, ret_health);
        asked++;
        if (ret_health->state != HEALTH_IDLE)
            return;
    }
    if (asked == 0)
        inquire(question, NULL, begin_us, ret_health);
}
