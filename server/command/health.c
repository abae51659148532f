#include <assert.h>
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
#include "site/verdict.h"

enum health_state {
    HEALTH_SERVES, /* a policy */
    HEALTH_IDLE,   /* it is alive, and for no domain that was asked for it has a certificate */
    HEALTH_DEAD,   /* it does not answer, or not as it should */
};

struct health {
    enum health_state state;
    const char *domain; /* whose policy was served; borrowed from the site; or NULL */
    bool differs;       /* it is not the policy of the site */
    int64_t took_us;    /* of the fetch that decided */
    char reason[512];   /* why it is dead, as a sentence without a full stop */
};

/* Everything is borrowed for the call. */
struct health_question {
    const struct endpoint *endpoint;
    const struct site *site;        /* or NULL */
    const struct site_domain *only; /* of the site; or NULL */
    int64_t now;                    /* seconds since 1970 UTC */
    int64_t deadline_us;            /* of all that is asked */
};

enum { ALERT_UNRECOGNIZED_NAME = 112, HOST_SIZE = LIMIT_NAME + 16 };

/* A header of the PROXY protocol, version 2, with the command LOCAL: the proxy speaks for itself. */
static const char LOCAL[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/* One question to the endpoint. */
struct inquiry {
    const struct health_question *question;
    const struct site_domain *domain; /* or NULL */
    char host[HOST_SIZE];
    int64_t begin_us;
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

static void fetch(struct inquiry *inquiry)
{
    const struct endpoint *endpoint = inquiry->question->endpoint;
    for (int attempt = 0;; attempt++) {
        struct address target = fetch_address_of(&endpoint->address, attempt > 0);
        const struct fetch_request request = {
            .address = &target,
            .host = inquiry->host,
            .timeout_ms = (inquiry->question->deadline_us - clock_monotonic_us()) / 1000,
            .preamble = {LOCAL, is_proxy(endpoint, &target) ? sizeof(LOCAL) - 1 : 0},
            .versions = endpoint->plain ? CLIENT_PLAIN : CLIENT_TLS_ALL,
        };
        fetch_run(&request, &inquiry->fetch);
        bool is_v6_wildcard = target.any.sa_family == AF_INET6 &&
                              endpoint->address.any.sa_family == AF_INET6 &&
                              IN6_IS_ADDR_UNSPECIFIED(&endpoint->address.v6.sin6_addr);
        if (inquiry->fetch.step != FETCH_CONNECT || !is_v6_wildcard)
            return;
        fetch_free(&inquiry->fetch);
    }
}

/* Strictly: everything that senders mind but the authority. */
static void judge_strictly(struct inquiry *inquiry)
{
    struct report *report = heap_take(1, sizeof(*report));
    const struct fetch *fetch = &inquiry->fetch;
    const struct chain_question question = {
        .chain = fetch->chain,
        .count = fetch->chain_len,
        .host = inquiry->host,
        .now = inquiry->question->now,
    };
    chain_judge(&question, report, &report->visits[0]);
    if (report_level(report) <= DIAG_ERROR)
        die(inquiry->health, "%s", report->findings[0].message);
    else if (inquiry->health->differs)
        die(inquiry->health, "the policy is not that of the configuration");
    free(report);
}

static bool leaf_covers(const struct inquiry *inquiry)
{
    struct certificate *leaf = certificate_new(inquiry->fetch.chain[0]);
    if (leaf == NULL)
        heap_end();
    bool covers = chain_covers(leaf, span_of(inquiry->host));
    certificate_free(leaf);
    return covers;
}

/* A policy that is not configured may be one that is not configured any more, or not yet. */
static void judge_policy(struct inquiry *inquiry)
{
    struct health *health = inquiry->health;
    const struct answer *answer = inquiry->fetch.answer;
    const struct span body = {answer->body, answer->body_len};
    health->state = HEALTH_SERVES;
    health->domain = site_name(inquiry->domain);
    health->differs = !span_equal(body, policy_body(site_policy(inquiry->domain)));
    if (inquiry->fetch.chain_len > 0 && !leaf_covers(inquiry)) {
        die(health, "the certificate is not for %s", inquiry->host);
        return;
    }
    if (health->differs) {
        struct inspection *inspection = inspection_new(body, NULL);
        if (inspection->level <= DIAG_ERROR)
            die(health, "what is served for %s is no valid policy", site_name(inquiry->domain));
        inspection_free(inspection);
    }
    if (inquiry->question->only != NULL && health->state == HEALTH_SERVES &&
        inquiry->fetch.chain_len > 0)
        judge_strictly(inquiry);
    if (inquiry->question->only != NULL && health->state == HEALTH_SERVES &&
        site_state(inquiry->domain) == SITE_STALE)
        die(health, "the policy of %s is the last valid one, not the configured one",
            site_name(inquiry->domain));
}

static void judge_failure(struct inquiry *inquiry)
{
    const struct fetch *fetch = &inquiry->fetch;
    struct health *health = inquiry->health;
    bool is_unknown = fetch->step == FETCH_HANDSHAKE && fetch->alert == ALERT_UNRECOGNIZED_NAME;
    if (is_unknown && inquiry->question->only == NULL)
        health->state = HEALTH_IDLE;
    else if (is_unknown)
        die(health, "there is no certificate for %s", inquiry->host);
    else if (fetch->is_late)
        die(health, "no answer within %s",
            report_seconds((inquiry->question->deadline_us - inquiry->begin_us) / 1000).text);
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
    else if ((answer->status == 503 || answer->status == 421) && inquiry->question->only == NULL)
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
        .question = question,
        .domain = domain,
        .begin_us = begin_us,
        .health = health,
    };
    *health = (struct health){.state = HEALTH_DEAD};
    /* It fits; nobody has the second name (RFC 6761 section 6.4). */
    (void)snprintf(inquiry.host, sizeof(inquiry.host), "mta-sts.%s",
                   domain == NULL ? "health.invalid" : site_name(domain));
    fetch(&inquiry);
    judge(&inquiry);
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

/* Asks one endpoint of the server that runs on this machine whether it is healthy, as a client would: no
 * authority is trusted and no name is resolved, so that it works where there is neither.
 * Asks for the domains of the site until one is served. With only, for that one alone and strictly:
 * its certificate is to be valid now, and the policy to be the configured one; else the state is
 * HEALTH_DEAD. */
static void ask_health(const struct health_question *question, struct health *ret_health)
{
    const struct site *site = question->site;
    size_t count = site == NULL ? 0 : site_count(site);
    size_t tries = count < LIMIT_HEALTH_NAMES ? count : LIMIT_HEALTH_NAMES;
    size_t asked = 0;
    int64_t begin_us = clock_monotonic_us();
    *ret_health = (struct health){.state = HEALTH_DEAD};
    if (!is_known(&question->endpoint->address)) {
        die(ret_health, "the configuration does not give its address or port: name them with "
                        "--listen");
        return;
    }
    if (question->only != NULL) {
        inquire(question, question->only, begin_us, ret_health);
        return;
    }
    for (size_t i = 0; i < tries; i++) {
        const struct site_domain *domain = site_at(site, i * count / tries);
        if (site_policy(domain) == NULL || (site_is_proxied(domain) && !question->endpoint->plain))
            continue;
        inquire(question, domain, begin_us, ret_health);
        asked++;
        if (ret_health->state != HEALTH_IDLE)
            return;
    }
    if (asked == 0)
        inquire(question, NULL, begin_us, ret_health);
}

static void print_health(const struct endpoint *endpoint, const struct health *health,
                         struct text *out)
{
    text_printf(out, "%s: ", endpoint->address.text);
    switch (health->state) {
    case HEALTH_SERVES:
        text_printf(out, "healthy, serves the policy of %s (%" PRId64 " ms)%s\n", health->domain,
                    (health->took_us + 500) / 1000,
                    health->differs ? "; it is not that of the configuration: reload?" : "");
        break;
    case HEALTH_IDLE:
        text_append(out, span_of("alive, but there is no certificate yet, so nothing is served\n"));
        break;
    case HEALTH_DEAD:
        text_printf(out, "unhealthy: %s\n", health->reason);
        break;
    }
}

/* What a proxy shows senders is not shown at a listener with TLS. */
static bool is_asked(const struct endpoint *endpoint, const struct site_domain *only)
{
    return endpoint->service == ENDPOINT_POLICIES &&
           (only == NULL || !site_is_proxied(only) || endpoint->plain);
}

static size_t count_listeners(const struct endpoint *endpoints, size_t count,
                              const struct site_domain *only)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += is_asked(&endpoints[i], only) ? 1 : 0;
    return found;
}

/* Asks every listener, each for its part of the time that is left. True when all are alive. */
static bool ask_all(const struct endpoint *endpoints, size_t count, const struct site *site,
                    const struct site_domain *only, int64_t now, bool *ret_idle, struct text *out)
{
    int64_t end_us = clock_monotonic_us() + LIMIT_HEALTH_ALL_MS * INT64_C(1000);
    size_t left = count_listeners(endpoints, count, only);
    if (left == 0) {
        text_append(out, span_of("unhealthy: no listener for policies has \"tls: false\"\n"));
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct health health;
        if (!is_asked(&endpoints[i], only))
            continue;
        int64_t begin_us = clock_monotonic_us();
        assert(left > 0);
        int64_t share_us = (end_us - begin_us) / (int64_t)left--;
        if (share_us > LIMIT_HEALTH_MS * INT64_C(1000))
            share_us = LIMIT_HEALTH_MS * INT64_C(1000);
        const struct health_question question = {
            .endpoint = &endpoints[i],
            .site = site,
            .only = only,
            .now = now,
            .deadline_us = begin_us + share_us,
        };
        ask_health(&question, &health);
        print_health(&endpoints[i], &health, out);
        good = good && health.state != HEALTH_DEAD;
        *ret_idle = *ret_idle || health.state == HEALTH_IDLE;
    }
    return good;
}

/* A file that is being edited says nothing about the server, which goes on with what it has read. So
 * only the domains are unknown, and whether it is alive can still be asked. */
static bool ask_blindly(const struct command_line *line, struct text *out)
{
    struct endpoint endpoint = {0};
    if (line->listen != NULL)
        endpoint.address = *line->listen;
    else if (!address_parse(span_of("[::]:443"), &endpoint.address))
        return false;
    bool idle = false;
    text_printf(out, "%s has errors: see mta-sts-httpd check\n", line->path);
    return ask_all(&endpoint, 1, NULL, NULL, line->now, &idle, out);
}

/* The command has the rights of the server only where both run as the same user, as in a container. */
static bool can_read_any(const struct command_line *line, struct text *out)
{
    struct reading whole = reading_new(line, false, NULL);
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
    struct reading reading = reading_new(line, true, NULL);
    const struct configuration *configuration = reading.configuration;
    if (configuration != NULL && line->operand_count > 0)
        only = reading_find(&reading, line->operands[0]);
    if (configuration == NULL && line->operand_count == 0) {
        good = ask_blindly(line, out);
    } else if (configuration == NULL ||
               (line->operand_count > 0 && (only == NULL || site_policy(only) == NULL))) {
        reading_tell(line, &reading);
    } else {
        good = ask_all(configuration->settings.listeners, configuration->settings.listener_count,
                       configuration->site, only, line->now, &idle, out);
        if (good && idle && only == NULL)
            good = can_read_any(line, out);
    }
    reading_free(&reading);
    return good ? STATUS_GOOD : STATUS_WRONG;
}
