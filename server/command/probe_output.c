#include "command/probe_output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/json.h"
#include "command/command.h"

static const char BOLD[] = "\033[1m";
static const char *const headings[PROBE_COLUMNS] = {
    "DOMAIN", "ADDRESS", "DNS", "CONNECT", "TLS", "CERTIFICATE", "FETCH", "POLICY", "TOTAL"};

/* What the levels are called, as a finding and as the state of a domain, and the colour of a terminal
 * (ECMA-48). */
static const struct {
    const char *finding, *state, *colour;
} levels[DIAG_LEVELS] = {
    [DIAG_FATAL] = {"error", "error", "\033[31m"},
    [DIAG_ERROR] = {"error", "error", "\033[31m"},
    [DIAG_WARNING] = {"warning", "warning", "\033[33m"},
    [DIAG_NOTE] = {"note", "good", "\033[32m"},
};

bool probe_output_extend(struct probe_output *output, size_t count)
{
    struct probe_outcome *outcomes =
        realloc(output->outcomes, (output->count + count + 1) * sizeof(*outcomes));
    if (outcomes == NULL)
        return false;
    memset(outcomes + output->count, 0, (count + 1) * sizeof(*outcomes));
    output->outcomes = outcomes;
    output->count += count;
    return true;
}

void probe_output_free(struct probe_output *output)
{
    for (size_t i = 0; output->outcomes != NULL && i < output->count; i++) {
        columns_free(&output->outcomes[i].rows);
        text_free(&output->outcomes[i].json);
        text_free(&output->outcomes[i].findings);
    }
    free(output->outcomes);
    output->outcomes = NULL;
}

static void print_time(struct text *out, const char *before, int64_t us)
{
    int64_t ms = (us + 500) / 1000;
    if (ms < 10000)
        text_printf(out, "%s%" PRId64 " ms", before, ms);
    else
        text_printf(out, "%s%" PRId64 ".%" PRId64 " s", before, ms / 1000, ms / 100 % 10);
}

static int64_t total_us(const struct report *report, const struct report_visit *visit)
{
    return report->dns_us + visit->connect_us + visit->tls_us + visit->http_us;
}

/* What a stage says when nothing is wrong with it. */
static void print_value(const struct report *report, const struct report_visit *visit,
                        enum stage stage, int64_t now, struct text *out)
{
    char status[16];
    switch (stage) {
    case STAGE_DNS:
        if (report->has_dns)
            print_time(out, "", report->dns_us);
        else
            text_append(out, span_of("-"));
        break;
    case STAGE_CONNECT:
        print_time(out, "", visit->connect_us);
        break;
    case STAGE_TLS:
        text_printf(out, "%s ", visit->tls_version == NULL ? "-" : visit->tls_version);
        print_time(out, "", visit->tls_us);
        break;
    case STAGE_CERTIFICATE:
        if (visit->has_certificate)
            text_printf(out, "%" PRId64 " days", calendar_days(visit->not_after - now));
        else
            text_append(out, span_of("-"));
        break;
    case STAGE_HTTP:
        (void)snprintf(status, sizeof(status), "%u ", visit->status); /* three digits */
        print_time(out, status, visit->http_us);
        break;
    case STAGE_POLICY:
        text_append(out, span_of(visit->mode[0] == '\0' ? "-" : visit->mode));
        break;
    }
}

static void add_cell(const struct report *report, const struct report_visit *visit,
                     enum stage stage, int64_t now, struct columns *rows)
{
    const struct report_finding *finding = report_gravest(report, visit, stage);
    bool is_grave = finding != NULL && finding->level < DIAG_NOTE;
    bool is_end = visit == NULL ? stage == STAGE_DNS : stage == visit->reached;
    bool is_beyond = visit == NULL ? stage != STAGE_DNS : stage > visit->reached;
    const char *colour = levels[finding == NULL ? DIAG_NOTE : finding->level].colour;
    if (finding != NULL && finding->cell != NULL && (is_grave || (is_end && stage < STAGE_POLICY)))
        text_append(&rows->text, span_of(finding->cell));
    else if (is_beyond) {
        text_append(&rows->text, span_of("-"));
        colour = "";
    } else
        print_value(report, visit, stage, now, &rows->text);
    columns_end_cell(rows, colour);
}

/* visit is NULL for a domain that has no address. */
static void add_row(const struct report *report, const struct report_visit *visit, int64_t now,
                    struct columns *rows)
{
    columns_add(rows, "%s", report->domain);
    columns_add(rows, "%s", visit == NULL ? "-" : visit->address);
    for (int stage = 0; stage < STAGES; stage++)
        add_cell(report, visit, (enum stage)stage, now, rows);
    if (visit == NULL)
        text_append(&rows->text, span_of("-"));
    else
        print_time(&rows->text, "", total_us(report, visit));
    columns_end_cell(rows, "");
}

/* The addresses that have the fault, when others have not. */
static void print_addresses(const struct report *report, const struct report_finding *finding,
                            struct text *out)
{
    const char *before = "at ";
    if (finding->visits == 0 || finding->visits == (1U << report->visit_count) - 1)
        return;
    for (size_t i = 0; i < report->visit_count; i++) {
        if ((finding->visits >> i & 1) == 0)
            continue;
        text_printf(out, "%s%s", before, report->visits[i].address);
        before = ", ";
    }
    text_append(out, span_of(": "));
}

static void print_finding(const struct probe_output *output, const struct report *report,
                          const struct report_finding *finding, struct text *out)
{
    text_append(out, span_of(report->domain));
    if (finding->line > 0)
        text_printf(out, ":%" PRIu32 ":%" PRIu32, finding->line, finding->column);
    const char *colour = output->colour ? levels[finding->level].colour : "";
    text_printf(out, ": %s%s%s: ", colour, levels[finding->level].finding,
                colour[0] == '\0' ? "" : "\033[0m");
    print_addresses(report, finding, out);
    text_printf(out, "%s\n", finding->message);
    if (finding->senders[0] != '\0')
        text_printf(out, "    why: %s\n", finding->senders);
    if (finding->fix[0] != '\0')
        text_printf(out, "    fix: %s\n", finding->fix);
}

static void print_findings(const struct probe_output *output, const struct report *report,
                           struct text *out)
{
    for (int stage = 0; stage < STAGES; stage++) {
        for (size_t i = 0; i < report->finding_count; i++) {
            const struct report_finding *finding = &report->findings[i];
            if ((int)finding->stage == stage && (output->notes || finding->level < DIAG_NOTE))
                print_finding(output, report, finding, out);
        }
    }
    if (report->lost > 0)
        text_printf(out, "%s: note: %zu more are not shown\n", report->domain, report->lost);
}

static void print_json_ms(struct text *out, const char *name, int64_t us)
{
    json_printf(out, name, "%" PRId64 ".%03" PRId64, us / 1000, us % 1000);
}

static void print_json_certificate(const struct report_visit *visit, int64_t now, struct text *out)
{
    char begin[CALENDAR_DAY_SIZE], end[CALENDAR_DAY_SIZE];
    if (!visit->has_certificate) {
        json_null(out, "certificate");
        return;
    }
    calendar_day(visit->not_before, begin);
    calendar_day(visit->not_after, end);
    json_open(out, "certificate", '{');
    json_text(out, "issuer", visit->issuer);
    json_text(out, "algorithm", visit->key);
    json_text(out, "begins", begin);
    json_text(out, "expires", end);
    json_number(out, "days_left", calendar_days(visit->not_after - now));
    json_close(out, '}');
}

static void print_json_policy(const struct report_visit *visit, struct text *out)
{
    if (visit->reached < STAGE_POLICY) {
        json_null(out, "policy");
        return;
    }
    json_open(out, "policy", '{');
    json_text(out, "mode", visit->mode);
    json_text(out, "max_age", visit->max_age);
    json_number(out, "mx", (int64_t)visit->mx_count);
    if (visit->is_compared)
        json_flag(out, "as_configured", visit->is_configured);
    else
        json_null(out, "as_configured");
    json_close(out, '}');
}

static void print_json_visit(const struct report *report, const struct report_visit *visit,
                             int64_t now, struct text *out)
{
    json_open(out, NULL, '{');
    json_text(out, "address", visit->address);
    json_text(out, "reached", stage_text(visit->reached));
    print_json_ms(out, "connect_ms", visit->connect_us);
    print_json_ms(out, "tls_ms", visit->tls_us);
    print_json_ms(out, "http_ms", visit->http_us);
    print_json_ms(out, "total_ms", total_us(report, visit));
    json_text(out, "tls", visit->tls_version);
    print_json_certificate(visit, now, out);
    json_ordinal(out, "status", visit->status);
    json_text(out, "content_type", visit->content_type);
    json_number(out, "size", (int64_t)visit->size);
    print_json_policy(visit, out);
    json_close(out, '}');
}

static void print_json_finding(const struct report *report, const struct report_finding *finding,
                               struct text *out)
{
    json_open(out, NULL, '{');
    json_text(out, "code", finding->code);
    json_text(out, "stage", stage_text(finding->stage));
    json_text(out, "level", levels[finding->level].finding);
    json_open(out, "addresses", '[');
    for (size_t i = 0; i < report->visit_count; i++)
        if ((finding->visits >> i & 1) != 0)
            json_text(out, NULL, report->visits[i].address);
    json_close(out, ']');
    json_ordinal(out, "line", finding->line);
    json_ordinal(out, "column", finding->column);
    json_text(out, "message", finding->message);
    json_text(out, "reason", finding->senders);
    json_text(out, "hint", finding->fix);
    json_close(out, '}');
}

static void print_json(const struct report *report, int64_t now, struct text *out)
{
    json_open(out, NULL, '{');
    json_text(out, report->is_mx ? "mx" : "domain", report->domain);
    json_text(out, "state", levels[report_level(report)].state);
    if (report->has_dns) {
        json_open(out, "dns", '{');
        json_text(out, "id", report->id);
        json_text(out, "alias", report->alias[0] == '\0' ? NULL : report->alias);
        print_json_ms(out, "ms", report->dns_us);
        json_open(out, "mx", '[');
        for (size_t i = 0; i < report->mx_count; i++)
            json_text(out, NULL, report->mx[i]);
        json_close(out, ']');
        json_close(out, '}');
    } else {
        json_null(out, "dns");
    }
    json_open(out, "servers", '[');
    for (size_t i = 0; i < report->visit_count; i++)
        print_json_visit(report, &report->visits[i], now, out);
    json_close(out, ']');
    json_open(out, "findings", '[');
    for (size_t i = 0; i < report->finding_count; i++)
        print_json_finding(report, &report->findings[i], out);
    json_close(out, ']');
    json_close(out, '}');
}

void probe_output_take(struct probe_output *output, size_t index, const struct report *report)
{
    struct probe_outcome *outcome = &output->outcomes[index];
    outcome->level = report_level(report);
    outcome->is_mx = report->is_mx;
    outcome->is_there = true;
    if (output->json) {
        print_json(report, output->now, &outcome->json);
        return;
    }
    outcome->rows.count = PROBE_COLUMNS;
    for (size_t i = 0; i < report->visit_count; i++)
        add_row(report, &report->visits[i], output->now, &outcome->rows);
    if (report->visit_count == 0)
        add_row(report, NULL, output->now, &outcome->rows);
    print_findings(output, report, &outcome->findings);
}

static void print_summary(const struct probe_output *output, struct text *out)
{
    size_t counts[2][DIAG_LEVELS] = {0}, sums[2] = {0};
    for (size_t i = 0; i < output->count; i++) {
        counts[output->outcomes[i].is_mx][output->outcomes[i].level]++;
        sums[output->outcomes[i].is_mx]++;
    }
    for (size_t i = 0; i < 2; i++)
        if (i == 0 || sums[i] > 0)
            text_printf(out, "%zu %s%s: %zu good, %zu with warnings, %zu with errors\n", sums[i],
                        i == 0 ? "domain" : "MX", i > 0 || sums[i] == 1 ? "" : "s",
                        counts[i][DIAG_NOTE], counts[i][DIAG_WARNING],
                        counts[i][DIAG_ERROR] + counts[i][DIAG_FATAL]);
}

static void print_all_json(const struct probe_output *output, struct text *out)
{
    json_open(out, NULL, '[');
    for (size_t i = 0; i < output->count; i++) {
        const struct text *object = &output->outcomes[i].json;
        json_new_line(out);
        text_append(out, (struct span){object->data, object->len});
        out->failed = out->failed || object->failed;
    }
    text_append(out, span_of("\n]\n"));
}

/* Whether it is to be shown now. */
static bool is_new(const struct probe_outcome *outcome)
{
    return outcome->is_there && !outcome->is_shown;
}

/* Between two empty lines, when there are any. */
static void print_new_findings(const struct probe_output *output, struct text *out)
{
    bool any = false;
    for (size_t i = 0; i < output->count; i++) {
        const struct text *findings = &output->outcomes[i].findings;
        if (!is_new(&output->outcomes[i]) || findings->len == 0)
            continue;
        text_append(out, span_of(any ? "" : "\n"));
        text_append(out, (struct span){findings->data, findings->len});
        any = true;
    }
    text_append(out, span_of(any ? "\n" : ""));
}

static void print_headings(struct probe_output *output, struct text *out)
{
    struct columns columns = {.count = PROBE_COLUMNS};
    for (size_t i = 0; i < PROBE_COLUMNS; i++) {
        text_append(&columns.text, span_of(headings[i]));
        columns_end_cell(&columns, BOLD);
    }
    columns_print(&columns, output->widths, output->colour, out);
    columns_free(&columns);
}

void probe_output_show(struct probe_output *output, struct text *out)
{
    size_t count = 0;
    for (size_t i = 0; i < output->count; i++) {
        const struct probe_outcome *outcome = &output->outcomes[i];
        if (!is_new(outcome))
            continue;
        count++;
        out->failed = out->failed || outcome->findings.failed;
        columns_measure(&outcome->rows, output->widths);
    }
    if (output->json || count == 0)
        return;
    if (!output->is_begun)
        print_headings(output, out);
    output->is_begun = true;
    for (size_t i = 0; i < output->count; i++)
        if (is_new(&output->outcomes[i]))
            columns_print(&output->outcomes[i].rows, output->widths, output->colour, out);
    print_new_findings(output, out);
    for (size_t i = 0; i < output->count; i++)
        output->outcomes[i].is_shown = output->outcomes[i].is_there;
}

void probe_output_end(struct probe_output *output, struct text *out)
{
    if (output->json) {
        print_all_json(output, out);
        return;
    }
    probe_output_show(output, out);
    print_summary(output, out);
}

bool probe_output_is_good(const struct probe_output *output)
{
    for (size_t i = 0; i < output->count; i++)
        if (output->outcomes[i].level <= DIAG_ERROR)
            return false;
    return true;
}
