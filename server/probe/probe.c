#include "probe/probe.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "policy/record.h"
#include "probe/crowd.h"
#include "probe/resolve.h"
#include "probe/visit.h"

enum { HTTPS = 443, RECORDS_MOST = 16, HOST_SIZE = LIMIT_NAME + 16 };

/* The faults of a record's form that have a row of their own. */
static enum fault fault_of(enum record_form form)
{
    return form == RECORD_SPACE_BEFORE   ? FAULT_RECORD_SPACE_BEFORE
           : form == RECORD_SPACE_BEHIND ? FAULT_RECORD_SPACE_BEHIND
                                         : FAULT_RECORD_FORM;
}

static void judge_record(struct span value, const struct policy *policy, struct report *report)
{
    struct record record;
    struct text shown = {0};
    record_read(value, &record);
    text_escape(&shown, value, 100);
    if (record.form != RECORD_SOUND)
        report_add(report, NULL, fault_of(record.form), "the record _mta-sts.%s %s: \"%s\"",
                   report->domain, record_form_text(record.form),
                   shown.data == NULL ? "" : shown.data);
    text_free(&shown);
    if (record.id.data == NULL)
        return;
    /* An id has at most LIMIT_ID letters and digits. */
    (void)snprintf(report->id, sizeof(report->id), "%.*s", (int)record.id.len, record.id.data);
    if (policy != NULL && !span_equal(record.id, span_of(policy_id(policy))))
        report_add(report, NULL, FAULT_RECORD_DIFFERS,
                   "the id of the record is %s, that of the configured policy %s", report->id,
                   policy_id(policy));
    else if (!record.is_number)
        report_add(report, NULL, FAULT_RECORD_ID,
                   "the id of the record is not a number of at most %d digits: %s", LIMIT_ID_DIGITS,
                   report->id);
}

/* RFC 8461 section 3.1: what does not begin as it should is discarded, and one must be left. */
static void judge_records(const struct text *values, size_t count, const struct policy *policy,
                          struct report *report)
{
    size_t ours = 0, which = 0;
    for (size_t i = 0; i < count; i++) {
        struct record record;
        record_read((struct span){values[i].data, values[i].len}, &record);
        if (record.form == RECORD_OTHER)
            continue;
        which = i;
        ours++;
    }
    if (ours == 0)
        report_add(report, NULL, FAULT_RECORD_MISSING,
                   "the TXT record at _mta-sts.%s is not one of MTA-STS", report->domain);
    else if (ours > 1)
        report_add(report, NULL, FAULT_RECORD_SEVERAL,
                   "there are %zu MTA-STS records at _mta-sts.%s", ours, report->domain);
    else
        judge_record((struct span){values[which].data, values[which].len}, policy, report);
    if (ours > 0 && ours < count)
        report_add(report, NULL, FAULT_RECORD_OTHERS, "there are other TXT records at _mta-sts.%s",
                   report->domain);
}

static void ask_record(const struct policy *policy, struct report *report)
{
    char name[HOST_SIZE];
    size_t count = 0;
    struct text values[RECORDS_MOST] = {0};
    bool failed = false;
    (void)snprintf(name, sizeof(name), "_mta-sts.%s", report->domain); /* it fits */
    switch (resolve_txt(name, values, RECORDS_MOST, &count)) {
    case RESOLVE_DONE:
        judge_records(values, count, policy, report);
        break;
    case RESOLVE_NONE:
        report_add(report, NULL, FAULT_RECORD_MISSING, "there is no TXT record at %s", name);
        break;
    case RESOLVE_FAILED:
        report_add(report, NULL, FAULT_DNS_FAILED,
                   "the name servers do not answer for the TXT record at %s", name);
        break;
    }
    for (size_t i = 0; i < RECORDS_MOST; i++) {
        failed = failed || values[i].failed;
        text_free(&values[i]);
    }
    if (failed)
        report_add(report, NULL, FAULT_INTERNAL, "memory is short");
}

static size_t ask_addresses(const char *host, struct report *report,
                            struct address ret_addresses[static LIMIT_PROBE_ADDRESSES])
{
    size_t count = 0;
    int64_t begin = clock_monotonic_us();
    enum resolve_result result =
        resolve_host(host, HTTPS, ret_addresses, LIMIT_PROBE_ADDRESSES, &count);
    report->has_dns = true;
    report->dns_us = clock_monotonic_us() - begin;
    if (result == RESOLVE_NONE)
        report_add(report, NULL, FAULT_NO_ADDRESS, "%s has no address", host);
    else if (result == RESOLVE_FAILED)
        report_add(report, NULL, FAULT_DNS_FAILED,
                   "the name servers do not answer for the address of %s", host);
    return count;
}

/* A machine without IPv6 says nothing about a server that has it too; one that reaches no address
 * at all has found out nothing. */
static void judge_reach(struct report *report)
{
    for (size_t i = 0; i < report->visit_count; i++) {
        const struct report_finding *finding =
            report_gravest(report, &report->visits[i], STAGE_CONNECT);
        if (finding == NULL || finding->level != DIAG_NOTE)
            return;
    }
    if (report->visit_count > 0)
        report_add(report, NULL, FAULT_UNREACHABLE,
                   "none of the addresses can be reached from this machine");
}

/* All domains of one run. */
struct round {
    const struct probe *probe;
    const struct probe_domain *domains;
    probe_take *take;
    void *context;
};

static void begin(void *context)
{
    const struct round *round = context;
    resolve_begin(round->probe->timeout_ms);
}

static void run(void *context, size_t index, void *ret_result)
{
    const struct round *round = context;
    const struct probe *probe = round->probe;
    const struct probe_domain *domain = &round->domains[index];
    struct report *ret_report = ret_result;
    char host[HOST_SIZE];
    struct address addresses[LIMIT_PROBE_ADDRESSES];
    size_t count = 1;
    report_begin(ret_report, domain->name);
    (void)snprintf(host, sizeof(host), "mta-sts.%s", domain->name); /* it fits */
    if (probe->connect != NULL) {
        addresses[0] = *probe->connect;
    } else {
        count = ask_addresses(host, ret_report, addresses);
        ask_record(domain->policy, ret_report);
    }
    for (size_t i = 0; i < count; i++) {
        const struct visit_question question = {
            .address = &addresses[i],
            .host = host,
            .policy = domain->policy,
            .trust = probe->trust,
            .now = probe->now,
            .warning = probe->warning,
            .timeout_ms = probe->timeout_ms,
            .spent_us = ret_report->dns_us,
        };
        if (!visit_run(&question, ret_report))
            report_add(ret_report, NULL, FAULT_INTERNAL, "memory is short");
    }
    judge_reach(ret_report);
}

static void died(void *context, size_t index, void *ret_result)
{
    const struct round *round = context;
    report_begin(ret_result, round->domains[index].name);
    report_add(ret_result, NULL, FAULT_INTERNAL,
               "the process that probed this domain died of what it was told");
}

static void done(void *context, size_t index, const void *result)
{
    const struct round *round = context;
    round->take(round->context, index, result);
}

bool probe_domains(const struct probe *probe, const struct probe_domain *domains, size_t count,
                   probe_take *take, void *context)
{
    struct round round = {probe, domains, take, context};
    const struct crowd_jobs jobs = {
        .count = count,
        .result_size = sizeof(struct report),
        .begin = begin,
        .run = run,
        .died = died,
        .done = done,
        .context = &round,
    };
    return crowd_run(&jobs);
}
