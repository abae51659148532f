#include "probe/report.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void report_begin(struct report *report, const char *domain)
{
    memset(report, 0, sizeof(*report));
    (void)snprintf(report->domain, sizeof(report->domain), "%s", domain); /* a valid name fits */
}

static unsigned bit_of(const struct report *report, const struct report_visit *visit)
{
    return visit == NULL ? 0 : 1U << (visit - report->visits);
}

static bool is_same(const struct report_finding *left, const struct report_finding *right)
{
    return strcmp(left->code, right->code) == 0 && left->line == right->line &&
           left->column == right->column && (left->visits == 0) == (right->visits == 0) &&
           strcmp(left->message, right->message) == 0;
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

void report_add_finding(struct report *report, const struct report_visit *visit,
                        const struct report_finding *finding)
{
    struct report_finding added = *finding;
    added.visits = bit_of(report, visit);
    for (size_t i = 0; i < report->finding_count; i++) {
        if (!is_same(&report->findings[i], &added))
            continue;
        report->findings[i].visits |= added.visits;
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
    report->visit_count++;
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

void report_add(struct report *report, const struct report_visit *visit, enum fault fault,
                const char *format, ...)
{
    const struct fault_rule *rule = fault_rule(fault);
    struct report_finding finding = {
        .code = rule->code,
        .stage = rule->stage,
        .level = rule->level,
        .cell = rule->cell,
    };
    va_list arguments;
    va_start(arguments, format);
    /* What does not fit is cut: who reads it knows the names by then. */
    (void)vsnprintf(finding.message, sizeof(finding.message), format, arguments);
    va_end(arguments);
    (void)snprintf(finding.senders, sizeof(finding.senders), "%s", rule->senders);
    (void)snprintf(finding.fix, sizeof(finding.fix), "%s", rule->fix == NULL ? "" : rule->fix);
    report_add_finding(report, visit, &finding);
}

const struct report_finding *report_gravest(const struct report *report,
                                            const struct report_visit *visit, enum stage stage)
{
    const struct report_finding *gravest = NULL;
    unsigned bit = bit_of(report, visit);
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct report_finding *finding = &report->findings[i];
        bool concerns = finding->visits == 0 || (finding->visits & bit) != 0;
        if (finding->stage == stage && concerns &&
            (gravest == NULL || finding->level < gravest->level))
            gravest = finding;
    }
    return gravest;
}

enum diag_level report_level(const struct report *report)
{
    enum diag_level level = DIAG_NOTE;
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i].level < level)
            level = report->findings[i].level;
    return level;
}
