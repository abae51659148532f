#include "probe/visit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "inspect/inspect.h"
#include "policy/name.h"
#include "probe/chain.h"

/* RFC 8446 section 6. */
enum { ALERT_HANDSHAKE_FAILURE = 40, ALERT_INSUFFICIENT_SECURITY = 71 };
enum { ALERT_MISSING_EXTENSION = 109, ALERT_UNRECOGNIZED_NAME = 112 };

/* How long was waited at most. */
static struct report_words time_given(const struct visit *visit)
{
    return report_seconds((visit->deadline_us - visit->begin_us) / 1000);
}

static void judge_connection(struct visit *visit)
{
    struct report *report = visit->report;
    switch (visit->fetch.error) {
    case ECONNREFUSED:
        report_add(report, FAULT_REFUSED, "the connection is refused");
        break;
    case ETIMEDOUT:
        report_add(report, FAULT_CONNECT_TIMEOUT, "there is no answer to the connection within %s",
                   time_given(visit).text);
        break;
    case ENETUNREACH:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        report_add(report, FAULT_NO_ROUTE, "this machine has no way to the address");
        break;
    default:
        report_add(report, FAULT_UNREACHABLE, "the address cannot be reached: %s",
                   strerror(visit->fetch.error));
        break;
    }
}

static void judge_alert(struct visit *visit)
{
    const char *host = visit->host;
    switch (visit->fetch.alert) {
    case ALERT_UNRECOGNIZED_NAME:
        report_add(visit->report, FAULT_TLS_NAME,
                   "the server does not know the name %s (alert unrecognized_name)", host);
        break;
    case ALERT_HANDSHAKE_FAILURE:
    case ALERT_INSUFFICIENT_SECURITY:
        report_add(visit->report, FAULT_TLS_SUITES,
                   "the server has no TLS parameters in common with senders of today (alert %s)",
                   visit->fetch.alert == ALERT_HANDSHAKE_FAILURE ? "handshake_failure"
                                                                 : "insufficient_security");
        break;
    default:
        if (visit->fetch.alert >= 0)
            report_add(visit->report, FAULT_TLS_ALERT,
                       "the server ends the TLS handshake with alert %d", visit->fetch.alert);
        else
            report_add(visit->report, FAULT_TLS_ALERT,
                       "the server ends the TLS handshake with an alert");
        break;
    }
}

/* The handshake has failed. */
static void judge_handshake(struct visit *visit)
{
    static const char BROKEN[] = "the TLS handshake fails, because the server breaks the protocol";
    static const char CLOSED[] = "the server closes the connection during the TLS handshake";
    static const struct {
        enum fault fault;
        const char *message;
    } failures[] = {
        [CLIENT_DONE] = {FAULT_TLS_BROKEN, BROKEN},
        [CLIENT_CLOSED] = {FAULT_TLS_CLOSED, CLOSED},
        [CLIENT_RESET] = {FAULT_TLS_CLOSED, CLOSED},
        [CLIENT_OLD] = {FAULT_TLS_OLD, "the server supports neither TLS 1.2 nor 1.3"},
        [CLIENT_HTTP] = {FAULT_PLAIN_HTTP, "the port speaks plain HTTP instead of HTTPS"},
        [CLIENT_NOT_TLS] = {FAULT_NOT_TLS, "the port does not speak TLS"},
        [CLIENT_CERTIFICATE] = {FAULT_CERTIFICATE_UNREADABLE, "the certificate cannot be read"},
        [CLIENT_LARGE] = {FAULT_CERTIFICATE_LARGE,
                          "the server sends certificates of more than 16 KB"},
        [CLIENT_COSTLY] = {FAULT_CERTIFICATE_COSTLY,
                           "the key of the certificate has an RSA exponent of more than 32 bits"},
        [CLIENT_FAILED] = {FAULT_TLS_BROKEN, BROKEN},
    };
    enum client_result result = visit->fetch.result;
    if (result == CLIENT_LATE)
        report_add(visit->report, FAULT_TLS_TIMEOUT, "the TLS handshake does not end within %s",
                   time_given(visit).text);
    else if (result == CLIENT_ALERT)
        judge_alert(visit);
    else
        report_add(visit->report, failures[result].fault, "%s", failures[result].message);
}

/* There is no response, or only a part of one. */
static void judge_silence(struct visit *visit)
{
    struct report *report = visit->report;
    const struct answer *answer = visit->fetch.answer;
    const char *part = answer->head_len == 0 ? "no response" : "no whole response";
    if (visit->fetch.result == CLIENT_LATE)
        report_add(report, FAULT_HTTP_TIMEOUT, "there is %s within %s", part,
                   time_given(visit).text);
    else
        report_add(report, FAULT_HTTP_CLOSED, "the connection breaks, and there is %s", part);
}

static void judge_status(struct visit *visit)
{
    const struct answer *answer = visit->fetch.answer;
    unsigned status = answer->status;
    if (status >= 300 && status < 400 && answer->location.len > 0)
        report_add(visit->report, FAULT_REDIRECT,
                   "the response is a redirect (status %u) to \"%s\"", status,
                   report_show(answer->location, 80).text);
    else if (status > 200 && status < 300)
        report_add(visit->report, FAULT_STATUS_2XX, "the status is %u instead of 200", status);
    else if (status != 200)
        report_add(visit->report, FAULT_STATUS, "the status is %u instead of 200", status);
}

static void judge_headers(struct visit *visit)
{
    const struct answer *answer = visit->fetch.answer;
    const struct report_words shown = report_show(answer->content_type, 80);
    const struct span wanted = span_of("text/plain");
    struct span type, rest = answer->content_type;
    (void)span_take(&rest, ';', &type); /* the parameters, such as a charset, do not matter */
    type = span_trim(type);
    (void)snprintf(visit->result->content_type, sizeof(visit->result->content_type), "%.*s",
                   REPORT_NAME - 1, shown.text);
    if (answer->content_type.len == 0)
        report_add(visit->report, FAULT_TYPE_MISSING, "there is no Content-Type");
    else if (!span_equal_fold(type, wanted))
        report_add(visit->report, FAULT_TYPE, "the Content-Type is \"%s\" instead of text/plain",
                   shown.text);
    else if (!span_equal(type, wanted))
        report_add(visit->report, FAULT_TYPE_CASE, "the Content-Type is not in lower case: \"%s\"",
                   shown.text);
    if (answer->content_encoding.len > 0 &&
        !span_equal_fold(answer->content_encoding, span_of("identity")))
        report_add(visit->report, FAULT_COMPRESSED, "the body is encoded (Content-Encoding: %s)",
                   report_show(answer->content_encoding, 80).text);
}

static void add_inspected(struct visit *visit, const struct inspect_finding *found)
{
    struct report_finding finding = {
        .code = found->rule->code,
        .stage = STAGE_POLICY,
        .level = found->rule->level,
        .cell = found->rule->code,
        .line = found->at.line,
        .column = found->at.column,
        .senders = found->senders,
    };
    /* What does not fit is cut: who reads it knows the names by then. */
    (void)snprintf(finding.message, sizeof(finding.message), "%s", found->message);
    (void)snprintf(finding.fix, sizeof(finding.fix), "%s", found->fix == NULL ? "" : found->fix);
    report_add_finding(visit->report, &finding);
}

static void note_policy(struct report_visit *result, const struct policy_fields *fields)
{
    (void)snprintf(result->mode, sizeof(result->mode), "%.*s", REPORT_WORD - 1,
                   report_show(fields->mode.text, 80).text);
    (void)snprintf(result->max_age, sizeof(result->max_age), "%.*s", REPORT_WORD - 1,
                   report_show(fields->max_age.text, 80).text);
    result->mx_count = fields->mx_count;
    size_t len = 0;
    for (size_t i = 0; i < fields->mx_count; i++) {
        struct name name;
        if (name_parse(fields->mx[i].text, NAME_PATTERN, &name) != NAME_OK ||
            len + name.len + 2 > sizeof(result->patterns))
            continue;
        len += (size_t)snprintf(result->patterns + len, sizeof(result->patterns) - len, "%s%s",
                                len == 0 ? "" : " ", name.text);
    }
}

/* Those of the policy, and behind them those of the fields. */
static struct span mx_at(const struct policy *policy, const struct policy_fields *fields,
                         size_t index)
{
    size_t own = policy_mx_count(policy);
    return index < own ? policy_mx(policy, index) : fields->mx[index - own].text;
}

/* The first mx that only one of them has. False when there is none. */
static bool compare_mx(struct visit *visit, const struct policy_fields *fields)
{
    const struct policy *policy = visit->policy;
    size_t own = policy_mx_count(policy), count = own + fields->mx_count;
    for (size_t i = 0; i < count; i++) {
        struct span name = mx_at(policy, fields, i);
        bool is_in_both = false;
        for (size_t k = i < own ? own : 0; k < (i < own ? count : own) && !is_in_both; k++)
            is_in_both = span_equal_fold(mx_at(policy, fields, k), name);
        if (is_in_both)
            continue;
        report_add(visit->report, FAULT_POLICY_DIFFERS,
                   i < own ? "the policy is not the configured one: it has no mx %s"
                           : "the policy is not the configured one: it has mx \"%s\"",
                   report_show(name, i < own ? LIMIT_NAME : 80).text);
        return true;
    }
    return false;
}

/* What it means is compared; other bytes of the same meaning are a fault only when no rule has named
 * one already. */
static void compare(struct visit *visit, const struct policy_fields *fields, struct span body)
{
    const struct policy *policy = visit->policy;
    struct report_visit *result = visit->result;
    if (policy == NULL)
        return;
    result->is_compared = true;
    result->is_configured = span_equal(policy_body(policy), body);
    if (result->is_configured)
        return;
    char max_age[16];
    const char *mode = policy_mode_text(policy_mode(policy));
    (void)snprintf(max_age, sizeof(max_age), "%" PRIu32, policy_max_age(policy)); /* it fits */
    if (strcmp(result->mode, mode) != 0)
        report_add(visit->report, FAULT_POLICY_DIFFERS,
                   "the policy is not the configured one: mode \"%s\" instead of %s", result->mode,
                   mode);
    else if (strcmp(result->max_age, max_age) != 0)
        report_add(visit->report, FAULT_POLICY_DIFFERS,
                   "the policy is not the configured one: max_age \"%s\" instead of %s",
                   result->max_age, max_age);
    else if (!compare_mx(visit, fields) &&
             report_gravest(visit->report, result, STAGE_POLICY) == NULL)
        report_add(visit->report, FAULT_POLICY_DIFFERS,
                   "the policy is not the configured one, byte for byte");
}

/* The hosts that take the mail against the policy, as senders compare them. */
static void judge_mx(struct visit *visit, const struct policy_fields *fields)
{
    struct report *report = visit->report;
    bool is_enforced = span_equal(fields->mode.text, span_of("enforce"));
    if (!report->is_mx_known ||
        (!is_enforced && !span_equal(fields->mode.text, span_of("testing"))))
        return;
    for (size_t i = 0; i < report->mx_count; i++) {
        bool is_named = false;
        for (size_t k = 0; k < fields->mx_count && !is_named; k++)
            is_named = name_matches(fields->mx[k].text, span_of(report->mx[i]));
        if (is_named)
            continue;
        if (report->is_mx_implicit)
            report_add(report, FAULT_MX_NONE,
                       "%s has no MX record, so its mail goes to its own address, which the policy "
                       "does not name",
                       report->domain);
        else
            report_add(report, is_enforced ? FAULT_MX_REFUSED : FAULT_MX_UNCOVERED,
                       "the policy does not name %s, an MX of the domain", report->mx[i]);
    }
    for (size_t k = 0; k < fields->mx_count; k++) {
        bool is_used = report->is_mx_more;
        for (size_t i = 0; i < report->mx_count && !is_used; i++)
            is_used = name_matches(fields->mx[k].text, span_of(report->mx[i]));
        if (!is_used)
            report_add(report, FAULT_MX_UNUSED, "no MX of the domain is \"%s\"",
                       report_show(fields->mx[k].text, 80).text);
    }
}

static void judge_body(struct visit *visit)
{
    const struct answer *answer = visit->fetch.answer;
    const struct span body = {answer->body, answer->body_len};
    struct inspection *inspection = inspection_new(body, NULL);
    visit->result->reached = STAGE_POLICY;
    note_policy(visit->result, &inspection->fields);
    for (size_t i = 0; i < inspection->count; i++)
        add_inspected(visit, &inspection->findings[i]);
    compare(visit, &inspection->fields, body);
    judge_mx(visit, &inspection->fields);
    inspection_free(inspection);
}

static void judge_time(struct visit *visit)
{
    const struct report_visit *result = visit->result;
    int64_t total_ms =
        (visit->spent_us + result->connect_us + result->tls_us + result->http_us) / 1000;
    enum fault fault = total_ms > 5000 ? FAULT_SLOW_5 : total_ms > 4000 ? FAULT_SLOW_4 : FAULT_SLOW;
    if (total_ms > LIMIT_PROBE_BUDGET_MS)
        report_add(visit->report, fault, "the fetch takes %" PRId64 ".%" PRId64 " s",
                   total_ms / 1000, total_ms / 100 % 10);
}

static void keep_leaf(struct visit_kept *kept, const struct fetch *fetch)
{
    *kept = (struct visit_kept){0};
    if (fetch->chain_len == 0 || fetch->chain[0].len > sizeof(kept->leaf))
        return;
    kept->leaf_len = fetch->chain[0].len;
    memcpy(kept->leaf, fetch->chain[0].data, fetch->chain[0].len);
}

/* A body is judged as a policy only when it is meant as one: a page of an error is no bad policy. */
static void judge_answer(struct visit *visit)
{
    const struct answer *answer = visit->fetch.answer;
    visit->result->status = answer->status;
    visit->result->size = answer->body_len;
    judge_time(visit);
    if (answer->fault != NULL) {
        report_add(visit->report, FAULT_HTTP_MALFORMED, "the response %s", answer->fault);
        return;
    }
    judge_status(visit);
    if (answer->status < 200 || answer->status >= 300)
        return;
    judge_headers(visit);
    if (answer->is_cut)
        report_add(visit->report, FAULT_LARGE, "the body is larger than %d KB",
                   LIMIT_BODY_MOST / 1024);
    if (answer->is_cut || answer->content_encoding.len > 0)
        return;
    struct visit_kept *kept = visit->kept;
    if (kept == NULL) {
        judge_body(visit);
        return;
    }
    kept->is_whole = answer->status == 200;
    kept->body_len = answer->body_len;
    memcpy(kept->body, answer->body, answer->body_len);
}

static int64_t time_left_ms(const struct visit *visit)
{
    return (visit->deadline_us - clock_monotonic_us()) / 1000;
}

/* mimecast needs TLS 1.2: a second handshake, after one with TLS 1.3, tells, in the time that is
 * left. */
static void judge_versions(struct visit *visit, const struct fetch_request *first)
{
    struct fetch_request request = *first;
    struct fetch fetch;
    request.versions = CLIENT_TLS_12_ONLY;
    request.handshake_only = true;
    request.timeout_ms = time_left_ms(visit);
    if (request.timeout_ms <= 0)
        return;
    fetch_run(&request, &fetch);
    bool failed = fetch.step == FETCH_HANDSHAKE;
    if (failed && (fetch.result == CLIENT_OLD || fetch.result == CLIENT_ALERT))
        report_add(visit->report, FAULT_TLS_13_ONLY, "the server does not support TLS 1.2");
    else if (failed && fetch.result == CLIENT_LATE && request.timeout_ms >= LIMIT_PROBE_BUDGET_MS)
        report_add(visit->report, FAULT_TLS_12_TIMEOUT,
                   "a handshake of TLS 1.2 does not end within %s",
                   report_seconds(request.timeout_ms).text);
    fetch_free(&fetch);
}

static void judge(struct visit *visit, const struct fetch_request *request)
{
    const struct fetch *fetch = &visit->fetch;
    struct report_visit *result = visit->result;
    result->connect_us = fetch->connect_us;
    result->tls_us = fetch->handshake_us;
    result->http_us = fetch->answer_us;
    result->tls_version = fetch->tls_version;
    if (visit->kept != NULL)
        keep_leaf(visit->kept, fetch);
    if (fetch->step == FETCH_BEGIN)
        return; /* smtp_start_tls has said why */
    result->reached = fetch->step == FETCH_CONNECT     ? STAGE_CONNECT
                      : fetch->step == FETCH_HANDSHAKE ? STAGE_TLS
                      : visit->is_mx                   ? STAGE_CERTIFICATE
                                                       : STAGE_HTTP;
    if (fetch->step == FETCH_CONNECT) {
        judge_connection(visit);
        return;
    }
    if (fetch->step == FETCH_HANDSHAKE) {
        judge_handshake(visit);
        return;
    }
    struct chain chain = {
        .der = fetch->chain,
        .count = fetch->chain_len,
        .host = visit->host,
        .trust = visit->trust,
        .now = visit->now,
        .warning = visit->warning,
    };
    chain_judge(&chain, visit->report, result);
    if (visit->is_mx)
        return;
    if (fetch->step == FETCH_ANSWER)
        judge_silence(visit);
    else
        judge_answer(visit);
    if (visit->kept == NULL && strcmp(fetch->tls_version, "1.3") == 0)
        judge_versions(visit, request);
}

static bool start_tls(struct stream *stream, void *context)
{
    struct visit *visit = context;
    return smtp_start_tls(stream, visit->report, visit->result);
}

void visit_run(struct visit *visit, struct report *report)
{
    visit->report = report;
    visit->result = report_add_visit(report, visit->address);
    visit->begin_us = clock_monotonic_us();
    const struct fetch_request request = {
        .address = visit->address,
        .host = visit->host,
        .timeout_ms = time_left_ms(visit),
        .versions = visit->is_mx ? CLIENT_TLS_MAIL : CLIENT_TLS_ALL,
        .handshake_only = visit->is_mx,
        .begin = visit->is_mx ? start_tls : NULL,
        .context = visit,
    };
    if (request.timeout_ms <= 0) {
        visit->result->reached = STAGE_CONNECT;
        report_add(report, FAULT_NOT_ASKED, "no time is left to connect to the address");
    } else {
        fetch_run(&request, &visit->fetch);
        judge(visit, &request);
        fetch_free(&visit->fetch);
    }
    report->visiting = 0;
}
