#include "probe/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char NOT_REACHED[] = "no sender gets the policy from there";
static const char NO_FURTHER[] = "no sender gets further than this";
static const char NOT_VERIFIED[] = "no sender takes a policy from a server that it cannot verify";
static const char NOT_FOUND[] = "without it no sender looks for a policy (RFC 8461 section 3.1)";
static const char SUITES[] = "offer TLS 1.2 and 1.3 with ECDHE and AES-GCM or ChaCha20-Poly1305";
static const char PUBLISH[] = "publish what \"mta-sts-httpd dns\" prints for the domain";
static const char RENEW[] = "have a new certificate issued, and see that the server takes it over";
static const char MX_UNKNOWN[] = "nothing is known about the certificate of this host";
static const char MX_ELSEWHERE[] =
    "probe it from a machine that may send mail: many networks block "
    "port 25, and many servers refuse unknown clients";
static const char FASTER[] = "serve the policy from a machine that is near and awake";

const struct fault_rule fault_rules[] = {
#define FAULT(name, code, stage, level, ...) {code, STAGE_##stage, DIAG_##level, __VA_ARGS__},
#include "probe/faults.h"
#undef FAULT
};

const char *const stage_texts[STAGES] = {"dns", "connect", "tls", "certificate", "http", "policy"};

void report_begin(struct report *report, const char *domain)
{
    memset(report, 0, sizeof(*report));
    (void)snprintf(report->domain, sizeof(report->domain), "%s", domain); /* a valid name fits */
}

/* The place of the next finding. When there is no room, a graver one takes that of the last of the
 * least. NULL when there is none that is less grave. */
static struct report_finding *room_for(struct report *report, enum diag_level level)
{
    struct report_finding *least = NULL;
    if (report->finding_count < LIMIT_PROBE_FINDINGS)
        return &report->findings[report->finding_count];
    report->lost++;
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i].level > level &&
            (least == NULL || report->findings[i].level >= least->level))
            least = &report->findings[i];
    return least;
}

void report_add_finding(struct report *report, const struct report_finding *finding)
{
    struct report_finding added = *finding;
    added.visits = report->visiting;
    for (size_t i = 0; i < report->finding_count; i++) {
        struct report_finding *same = &report->findings[i];
        if (strcmp(same->code, added.code) != 0 || same->line != added.line ||
            same->column != added.column || (same->visits == 0) != (added.visits == 0) ||
            strcmp(same->message, added.message) != 0)
            continue;
        same->visits |= added.visits;
        return;
    }
    struct report_finding *place = room_for(report, added.level);
    if (place == NULL)
        return;
    *place = added;
    atomic_signal_fence(memory_order_release);
    if (place == &report->findings[report->finding_count])
        report->finding_count++;
}

struct report_visit *report_add_visit(struct report *report, const struct address *address)
{
    struct report_visit *visit = &report->visits[report->visit_count];
    (void)snprintf(visit->address, sizeof(visit->address), "%s", address->text); /* of equal size */
    atomic_signal_fence(memory_order_release);
    report->visiting = 1U << report->visit_count++;
    return visit;
}

struct report_words report_seconds(int64_t ms)
{
    struct report_words words; /* two numbers fit */
    int64_t tenths = (ms + 50) / 100;
    if (tenths % 10 == 0)
        (void)snprintf(words.text, sizeof(words.text), "%" PRId64 " s", tenths / 10);
    else
        (void)snprintf(words.text, sizeof(words.text), "%" PRId64 ".%" PRId64 " s", tenths / 10,
                       tenths % 10);
    return words;
}

struct report_words report_show(struct span bytes, size_t limit)
{
    struct report_words words;
    struct text shown = {0};
    text_escape(&shown, bytes, limit);
    (void)snprintf(words.text, sizeof(words.text), "%s", shown.data == NULL ? "" : shown.data);
    text_free(&shown);
    return words;
}

/* Senders that enforce a policy refuse an MX for its TLS, but not for what hinders this program alone. They
 * wait for minutes. */
static void judge_mx_fault(const struct report *report, enum fault fault,
                           struct report_finding *finding)
{
    bool is_unknown = finding->stage <= STAGE_CONNECT || fault == FAULT_TLS_TIMEOUT ||
                      fault == FAULT_TLS_SUITES || fault == FAULT_CERTIFICATE_LARGE;
    enum diag_level least =
        is_unknown && report->mx_level < DIAG_WARNING ? DIAG_WARNING : report->mx_level;
    const char *senders =
        is_unknown ? MX_UNKNOWN
        : least == DIAG_ERROR
            ? "senders that enforce the policy of the domain do not deliver to this host"
            : "senders would not deliver to this host if the policy of the domain were enforced";
    if (fault == FAULT_INTERNAL || fault == FAULT_UNFINISHED)
        return;
    if (finding->level == DIAG_ERROR) {
        finding->senders = senders;
        if (finding->stage == STAGE_CONNECT)
            (void)snprintf(finding->fix, sizeof(finding->fix), "%s", MX_ELSEWHERE);
    }
    if (finding->level < least)
        finding->level = least;
}

void report_add(struct report *report, enum fault fault, const char *format, ...)
{
    const struct fault_rule *rule = &fault_rules[fault];
    struct report_finding finding = {
        .code = rule->code,
        .stage = rule->stage,
        .level = rule->level,
        .cell = rule->cell,
        .senders = rule->senders,
    };
    va_list arguments;
    va_start(arguments, format);
    /* What does not fit is cut: who reads it knows the names by then. */
    (void)vsnprintf(finding.message, sizeof(finding.message), format, arguments);
    va_end(arguments);
    (void)snprintf(finding.fix, sizeof(finding.fix), "%s", rule->fix == NULL ? "" : rule->fix);
    if (report->is_mx)
        judge_mx_fault(report, fault, &finding);
    report_add_finding(report, &finding);
}

const struct report_finding *report_gravest(const struct report *report,
                                            const struct report_visit *visit, enum stage stage)
{
    const struct report_finding *gravest = NULL;
    unsigned bit = visit == NULL ? 0 : 1U << (visit - report->visits);
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct report_finding *finding = &report->findings[i];
        bool concerns = finding->visits == 0 || (finding->visits & bit) != 0;
        if (finding->stage == stage && concerns &&
            (gravest == NULL || finding->level < gravest->level))
            gravest = finding;
    }
    return gravest;
}

bool report_is_out_of_reach(const struct report *report, const struct report_visit *visit)
{
    const struct report_finding *finding = report_gravest(report, visit, STAGE_CONNECT);
    return visit->reached == STAGE_CONNECT && finding != NULL && finding->level == DIAG_NOTE;
}

enum diag_level report_level(const struct report *report)
{
    enum diag_level level = DIAG_NOTE;
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i].level < level)
            level = report->findings[i].level;
    return level;
}
