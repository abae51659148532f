#include "probe/probe.h"

#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/heap.h"
#include "policy/record.h"
#include "probe/resolve.h"
#include "probe/visit.h"

enum { HTTPS = 443, SMTP = 25, HOST_SIZE = LIMIT_NAME + 16 };

/* Since when the looks at the DNS that were recorded have found the id; "" when they have not. */
static struct report_words since_text(const struct promise_facts *facts, struct span id)
{
    struct report_words words = {""};
    int64_t since = INT64_MAX;
    for (size_t i = 0; i < facts->sighting_count; i++)
        if (span_equal(facts->sightings[i].id, id) && facts->sightings[i].first < since)
            since = facts->sightings[i].first;
    if (since == INT64_MAX)
        return words;
    (void)snprintf(words.text, sizeof(words.text), "; it was seen first at %s",
                   calendar_iso_time(since).text);
    return words;
}

static void judge_record(struct span value, const struct probe_domain *domain,
                         struct report *report)
{
    const struct policy *policy = domain->policy;
    struct record record;
    record_read(value, &record);
    enum fault fault = record.form == RECORD_SPACE_BEFORE   ? FAULT_RECORD_SPACE_BEFORE
                       : record.form == RECORD_SPACE_BEHIND ? FAULT_RECORD_SPACE_BEHIND
                                                            : FAULT_RECORD_FORM;
    if (record.form != RECORD_SOUND)
        report_add(report, fault, "the record _mta-sts.%s %s: \"%s\"", report->domain,
                   record_form_text(record.form), report_show(value, 100).text);
    if (record.id.data == NULL)
        return;
    /* An id has at most LIMIT_ID letters and digits. */
    (void)snprintf(report->id, sizeof(report->id), "%.*s", (int)record.id.len, record.id.data);
    if (policy != NULL && !span_equal(record.id, span_of(policy_id(policy))))
        report_add(report, FAULT_RECORD_DIFFERS,
                   "the id of the record is %s, that of the configured policy %s%s", report->id,
                   policy_id(policy), since_text(&domain->facts, record.id).text);
    else if (!record.is_number)
        report_add(report, FAULT_RECORD_ID,
                   "the id of the record is not a number of at most %d digits: %s", LIMIT_ID_DIGITS,
                   report->id);
}

static bool mentions_version(struct span value)
{
    for (; value.len > 0; value = span_skip(value, 1))
        if (span_begins_fold(value, span_of("STSv1")))
            return true;
    return false;
}

/* There is no record that senders take: show the one that was meant, if there is one. */
static void judge_no_record(const struct dns_lookup *txt, struct report *report)
{
    for (size_t i = 0; i < txt->count; i++) {
        struct span value = {txt->values[i].data, txt->values[i].len};
        /* What an input field of a DNS provider makes of quotation marks that were typed into it. */
        bool quoted = value.len > 1 && value.data[0] == '"' &&
                      span_begins_fold(span_skip(value, 1), span_of("v=STSv1"));
        if (!quoted && !mentions_version(value))
            continue;
        if (quoted)
            report_add(report, FAULT_RECORD_QUOTED,
                       "the value of the record _mta-sts.%s begins with a quotation mark: \"%s\"",
                       report->domain, report_show(value, 100).text);
        else
            report_add(report, FAULT_RECORD_FORM,
                       "the record _mta-sts.%s does not begin with v=STSv1;: \"%s\"",
                       report->domain, report_show(value, 100).text);
        return;
    }
    report_add(report, FAULT_RECORD_MISSING, "the TXT record at _mta-sts.%s is not one of MTA-STS",
               report->domain);
}

/* RFC 8461 section 3.1: what does not begin with "v=STSv1;" is discarded, and one must be left. When
 * none is, the first that was meant as one tells why. */
static void judge_records(const struct dns_lookup *txt, const struct probe_domain *domain,
                          struct report *report)
{
    size_t sound = 0, meant = 0;
    struct span which = {NULL, 0};
    for (size_t i = 0; i < txt->count; i++) {
        struct record record;
        struct span value = {txt->values[i].data, txt->values[i].len};
        record_read(value, &record);
        if (record.form == RECORD_OTHER)
            continue;
        bool is_first = record.form == RECORD_VERSION ? sound + meant == 0 : sound == 0;
        which = is_first ? value : which;
        meant += record.form == RECORD_VERSION ? 1 : 0;
        sound += record.form == RECORD_VERSION ? 0 : 1;
    }
    if (sound + meant == 0)
        judge_no_record(txt, report);
    else if (sound > 1)
        report_add(report, FAULT_RECORD_SEVERAL, "there are %zu MTA-STS records at _mta-sts.%s",
                   sound, report->domain);
    else
        judge_record(which, domain, report);
    if (sound + meant > 0 && txt->count > (sound > 1 ? sound : 1))
        report_add(report, FAULT_RECORD_OTHERS, "there are other TXT records at _mta-sts.%s",
                   report->domain);
    if (txt->is_more)
        report_add(report, FAULT_RECORD_OTHERS,
                   "there are more than %d TXT records at _mta-sts.%s, of which no more are read",
                   LIMIT_DNS_RECORDS, report->domain);
}

static bool has_failed(const struct dns_outcome *outcome)
{
    return outcome->result != DNS_DONE && outcome->result != DNS_NONE;
}

/* A look-up that failed, of what the words say. */
static void judge_failure(const struct dns_outcome *outcome, const char *what, int64_t timeout_ms,
                          struct report *report)
{
    char servers[REPORT_NAME];
    enum fault fault = FAULT_DNS_FAILED;
    resolve_servers_text(servers, sizeof(servers));
    if (outcome->result == DNS_NO_SERVER) {
        report_add(report, FAULT_DNS_HERE, "no name server of this machine (%s) can be reached",
                   servers);
    } else if (outcome->result == DNS_SILENT) {
        report_add(report, FAULT_DNS_SILENT, "the look-up of %s gets no answer within %s", what,
                   report_seconds(timeout_ms).text);
    } else {
        if (outcome->result == DNS_CUT)
            fault = FAULT_DNS_CUT;
        else if (outcome->result == DNS_ERROR && outcome->rcode == ns_r_servfail)
            fault = FAULT_DNS_SERVFAIL;
        else if (outcome->result == DNS_ERROR && outcome->rcode == ns_r_refused)
            fault = FAULT_DNS_REFUSED;
        report_add(report, fault, "the look-up of %s %s", what, dns_text(outcome));
    }
}

static bool is_same(const struct dns_outcome *left, const struct dns_outcome *right)
{
    return left->result == right->result && left->rcode == right->rcode;
}

/* One family that fails beside another that is there holds senders up; most get by. */
static void judge_host(const struct resolve_host *found, const char *host, int64_t timeout_ms,
                       struct report *report)
{
    char what[REPORT_TEXT];
    const struct dns_outcome *outcomes = found->outcomes;
    bool is_both = is_same(&outcomes[0], &outcomes[1]);
    static const char *const families[] = {"the IPv4 address (A)", "the IPv6 address (AAAA)"};
    for (size_t i = 0; i < 2; i++) {
        if (!has_failed(&outcomes[i]) || (i > 0 && is_both))
            continue;
        (void)snprintf(what, sizeof(what), "%s of %s", is_both ? "the address" : families[i],
                       host); /* it fits */
        if (found->count > 0 && outcomes[i].result == DNS_ERROR)
            report_add(report, FAULT_DNS_FAMILY, "the look-up of %s %s", what,
                       dns_text(&outcomes[i]));
        else
            judge_failure(&outcomes[i], what, timeout_ms, report);
    }
    if (found->count == 0 && is_both && outcomes[0].result == DNS_NONE)
        report_add(report, FAULT_NO_ADDRESS, "%s has no address", host);
}

/* A sender waits for both families. Where no answer came, a finding of its own tells so. */
static int64_t time_of(const struct resolve_host *found)
{
    int64_t most = 0;
    for (const struct dns_outcome *outcome = found->outcomes; outcome < found->outcomes + 2;
         outcome++)
        if (outcome->result != DNS_SILENT && outcome->result != DNS_CUT && outcome->took_us > most)
            most = outcome->took_us;
    return most;
}

static void judge_txt(const struct dns_lookup *txt, const char *name,
                      const struct probe_domain *domain, int64_t timeout_ms, struct report *report)
{
    char what[REPORT_TEXT];
    (void)snprintf(what, sizeof(what), "the TXT record at %s", name); /* it fits */
    bool is_alias = report->alias[0] != '\0';
    if (txt->outcome.result == DNS_DONE)
        judge_records(txt, domain, report);
    else if (txt->outcome.result == DNS_NONE)
        report_add(report, FAULT_RECORD_MISSING, "there is no TXT record at %s%s%s", name,
                   is_alias ? ", which is an alias of " : "", report->alias);
    else
        judge_failure(&txt->outcome, what, timeout_ms, report);
}

static bool is_enforced_still(const struct promise *promise, const struct promise_facts *facts)
{
    struct promise_end end;
    return promise->mode == POLICY_ENFORCE && promise_is_held(promise, facts, &end);
}

/* Where the record is in another zone, it is found there by way of an alias. */
static void judge_alias(const struct probe *probe, const struct probe_domain *domain,
                        const char *name, struct report *report)
{
    char wanted[RECORD_NAME_SIZE];
    if (probe->delegate == NULL || domain->label == NULL)
        return;
    record_shared_name(domain->label, probe->delegate, wanted);
    if (strcasecmp(report->alias, wanted) == 0)
        return;
    report_add(report, FAULT_RECORD_ALIAS, "%s is %s%s instead of an alias (CNAME) of %s", name,
               report->alias[0] == '\0' ? "no alias" : "an alias of ", report->alias, wanted);
}

/* The MX hosts that a policy which senders hold does not name. Of one that is served the fetch tells. */
static void judge_held(const struct promise *promise, const struct promise_facts *facts,
                       struct report *report)
{
    const char *refused = NULL;
    size_t count = 0;
    struct promise_end end = promise_end(promise, facts);
    if (promise->until == PROMISE_OPEN || !is_enforced_still(promise, facts))
        return;
    for (size_t i = 0; i < report->mx_count; i++)
        if (!promise_covers(promise, span_of(report->mx[i]))) {
            refused = refused == NULL ? report->mx[i] : refused;
            count++;
        }
    if (count == 0)
        return;
    report_add(report,
               count < report->mx_count || report->is_mx_more ? FAULT_MX_HELD : FAULT_MX_HELD_ALL,
               "senders may hold the enforced policy with id %.*s until %s%s, and it does not name "
               "the MX %s",
               (int)promise->id.len, promise->id.data, calendar_iso_time(end.at).text,
               end.kind == PROMISE_DATED ? "" : " at the earliest", refused);
}

/* Tells which MX hosts are aliases: one whose address is not known before the deadline counts as none. */
static void judge_aliases(struct report *report, int64_t deadline_us)
{
    struct dns_lookup *lookups = heap_take(report->mx_count, sizeof(*lookups));
    for (size_t i = 0; i < report->mx_count; i++)
        lookups[i] = (struct dns_lookup){.name = report->mx[i], .type = ns_t_a};
    resolve_ask(lookups, report->mx_count, deadline_us);
    for (size_t i = 0; i < report->mx_count; i++) {
        if (lookups[i].alias[0] != '\0' && strlen(lookups[i].alias) <= LIMIT_NAME)
            report_add(report, FAULT_MX_ALIAS, "the MX %s is an alias (CNAME) of %s", report->mx[i],
                       report_show(span_of(lookups[i].alias), LIMIT_NAME).text);
        dns_lookup_free(&lookups[i]);
    }
    free(lookups);
}

/* Without an MX record mail goes to the domain itself (RFC 5321 section 5.1). A look-up that fails as the
 * other did, which was reported, is not reported again. What is no name of a host is left out. */
static void judge_mx(const struct dns_lookup *mx, const struct dns_outcome *other,
                     const struct probe_domain *domain, int64_t deadline_us, struct report *report)
{
    bool is_null = false;
    report->is_mx_implicit = mx->outcome.result == DNS_NONE;
    for (size_t i = 0; i < mx->count + (report->is_mx_implicit ? 1 : 0); i++) {
        const char *host = report->is_mx_implicit ? domain->name : mx->values[i].data;
        is_null = is_null || host[0] == '\0';
        if (host[0] == '\0' || strlen(host) > LIMIT_NAME)
            continue;
        report->is_mx_more = report->mx_count == LIMIT_PROBE_MX;
        if (!report->is_mx_more)
            (void)snprintf(report->mx[report->mx_count++], REPORT_NAME, "%s", host); /* it fits */
    }
    if (is_null)
        report_add(report, report->mx_count == 0 ? FAULT_MX_NULL : FAULT_MX_NULL_AMONG,
                   "%s has a null MX record%s", report->domain,
                   report->mx_count == 0 ? "" : " beside others");
    if (has_failed(&mx->outcome) && !is_same(&mx->outcome, other))
        report_add(report, FAULT_MX_UNKNOWN, "the look-up of the MX of %s %s", report->domain,
                   dns_text(&mx->outcome));
    if (report->is_mx_more)
        report_add(report, FAULT_MX_MORE,
                   "%s has more than %d MX hosts, of which no more are checked", report->domain,
                   LIMIT_PROBE_MX);
    report->is_mx_known = !has_failed(&mx->outcome) && report->mx_count > 0;
    if (!report->is_mx_known)
        return;
    judge_aliases(report, deadline_us);
    for (size_t i = 0; i < domain->facts.count; i++)
        judge_held(&domain->facts.promises[i], &domain->facts, report);
}

/* Asks for the addresses and the records at the same time; of an MX for the addresses alone. */
static void ask_dns(const struct probe *probe, const struct probe_domain *domain, const char *host,
                    struct report *report, struct resolve_host *ret_found)
{
    enum { TXT = 2, MX = 3, LOOKUPS = 4 }; /* behind those of the addresses */
    char name[HOST_SIZE], servers[REPORT_NAME];
    (void)snprintf(name, sizeof(name), "_mta-sts.%s", report->domain); /* it fits */
    struct dns_lookup lookups[LOOKUPS] = {
        [TXT] = {.name = domain->is_mx ? NULL : name, .type = ns_t_txt},
        [MX] = {.name = domain->is_mx ? NULL : report->domain, .type = ns_t_mx},
    };
    const struct dns_lookup *txt = &lookups[TXT];
    const int64_t deadline_us = clock_monotonic_us() + probe->timeout_ms * 1000;
    resolve_host(host, domain->is_mx ? SMTP : HTTPS, lookups, LOOKUPS, deadline_us, ret_found);
    report->has_dns = true;
    report->dns_us = time_of(ret_found);
    if (domain->is_mx) {
        judge_host(ret_found, host, probe->timeout_ms, report);
        goto done;
    }
    report->ttl = txt->ttl;
    report->is_record_known = txt->outcome.result == DNS_DONE || txt->outcome.result == DNS_NONE;
    (void)snprintf(report->alias, sizeof(report->alias), "%.*s", REPORT_NAME - 1,
                   report_show(span_of(txt->alias), LIMIT_NAME).text);
    if (txt->outcome.result == DNS_SILENT && ret_found->outcomes[0].result == DNS_SILENT &&
        ret_found->outcomes[1].result == DNS_SILENT) {
        resolve_servers_text(servers, sizeof(servers));
        report_add(report, FAULT_DNS_MUTE,
                   "no question about the domain is answered by %s within %s", servers,
                   report_seconds(probe->timeout_ms).text);
    } else {
        judge_host(ret_found, host, probe->timeout_ms, report);
        judge_txt(txt, name, domain, probe->timeout_ms, report);
        if (txt->outcome.result == DNS_DONE || report->alias[0] != '\0')
            judge_alias(probe, domain, name, report);
        judge_mx(&lookups[MX], &txt->outcome, domain, deadline_us, report);
    }
    if (report->dns_us > LIMIT_PROBE_BUDGET_MS * 1000)
        report_add(report, FAULT_DNS_SLOW, "the look-up of the address takes %s",
                   report_seconds(report->dns_us / 1000).text);
done:
    for (size_t i = 0; i < LOOKUPS; i++)
        dns_lookup_free(&lookups[i]);
}

static enum diag_level level_of_mode(struct span mode)
{
    return span_equal(mode, span_of("enforce")) ? DIAG_ERROR
           : span_equal(mode, span_of("none"))  ? DIAG_NOTE
                                                : DIAG_WARNING;
}

/* How grave it is that senders would refuse an MX follows from the strictest policy that they may have. */
static void judge_mode(const struct probe_domain *domain, struct report *report)
{
    const struct promise_facts *facts = &domain->facts;
    const char *mode = domain->policy == NULL ? "" : policy_mode_text(policy_mode(domain->policy));
    enum diag_level level = domain->policy == NULL && report->visit_count > 0
                                ? DIAG_NOTE
                                : level_of_mode(span_of(mode));
    for (size_t i = 0; i < report->visit_count; i++) {
        enum diag_level served = level_of_mode(span_of(report->visits[i].mode));
        level = served < level ? served : level;
    }
    for (size_t i = 0; i < facts->count; i++)
        if (is_enforced_still(&facts->promises[i], facts))
            level = DIAG_ERROR;
    if (!domain->is_mx)
        report->mx_level = level;
}

/* A machine without IPv6 says nothing about a server that has it too; one that reaches no address
 * at all has found out nothing. */
static void judge_reach(struct report *report)
{
    for (size_t i = 0; i < report->visit_count; i++)
        if (!report_is_out_of_reach(report, &report->visits[i]))
            return;
    if (report->visit_count > 0)
        report_add(report, FAULT_UNREACHABLE,
                   "none of the addresses can be reached from this machine");
}

/* Visits the address, if there is time left before the deadline. */
static void visit_one(const struct probe *probe, const struct probe_domain *domain,
                      const char *host, const struct address *address, int64_t deadline_us,
                      struct report *report)
{
    int64_t now = clock_monotonic_us(), end = now + probe->timeout_ms * 1000;
    bool is_slow = report->dns_us > LIMIT_PROBE_BUDGET_MS * 1000; /* which was told */
    struct visit visit = {
        .address = address,
        .host = host,
        .is_mx = domain->is_mx,
        .policy = domain->policy,
        .trust = probe->trust,
        .now = probe->now,
        .warning = probe->warning,
        .deadline_us = end < deadline_us ? end : deadline_us,
        .spent_us = is_slow ? 0 : report->dns_us,
    };
    visit_run(&visit, report);
}

static void begin(const struct probe_domain *domain, struct report *report)
{
    report_begin(report, domain->name);
    report->is_mx = domain->is_mx;
    report->mx_level = domain->mx_level;
}

void probe_run(const struct probe *probe, const struct probe_domain *domain, struct report *report)
{
    char host[HOST_SIZE];
    struct resolve_host found = {.count = 1};
    int64_t deadline_us = clock_monotonic_us() + LIMIT_PROBE_TIMEOUTS * probe->timeout_ms * 1000;
    begin(domain, report);
    (void)snprintf(host, sizeof(host), "%s%s", domain->is_mx ? "" : "mta-sts.",
                   domain->name); /* it fits */
    if (probe->connect != NULL)   /* which --smtp does not go with */
        found.addresses[0] = *probe->connect;
    else
        ask_dns(probe, domain, host, report, &found);
    for (size_t i = 0; i < found.count; i++)
        visit_one(probe, domain, host, &found.addresses[i], deadline_us, report);
    judge_reach(report);
    judge_mode(domain, report);
}

void probe_lose(const struct probe_domain *domain, struct report *report, bool is_late)
{
    if (report->domain[0] == '\0') /* else a part of it is there */
        begin(domain, report);
    if (is_late)
        report_add(report, FAULT_UNFINISHED,
                   "the probe of this domain takes too long, and was ended");
    else
        report_add(report, FAULT_INTERNAL, "the process that probed this domain crashed");
}
