#include "probe/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/array.h"
#include "base/calendar.h"
#include "base/clock.h"
#include "base/columns.h"
#include "base/heap.h"
#include "base/json.h"
#include "command/command.h"
#include "command/probing.h"
#include "command/reading.h"
#include "policy/name.h"

static const char *const headings[] = {"DOMAIN",      "ADDRESS", "DNS",    "CONNECT", "TLS",
                                       "CERTIFICATE", "FETCH",   "POLICY", "TOTAL"};
enum { COLUMNS = sizeof(headings) / sizeof(headings[0]) };

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

/* What is kept of a report. The reports come in any order; what is shown at one time is in that of the
 * domains. */
struct outcome {
    struct columns rows; /* of the table */
    struct text text;    /* the findings; or all as JSON, without rows */
    enum diag_level level;
    bool is_mx, is_there, is_shown;
};

/* A host that takes mail, and how grave it is that senders would refuse it. */
struct mx {
    char name[LIMIT_NAME + 1];
    enum diag_level level;
};

/* Everything that a run needs. */
struct run {
    struct probing probing; /* first: it is what callbacks have */
    const struct command_line *line;
    struct reading reading;       /* without a configuration when there is none to compare with */
    struct probe_domain *domains; /* owned */
    struct outcome *outcomes;     /* owned; of the domains, and of the MX behind them */
    struct name *names;           /* owned; of the operands */
    struct mx *mx;                /* owned; with --smtp, of all domains */
    size_t mx_count;
    size_t count, first; /* of the outcomes, and before those of this round */
    int64_t show_us;     /* when the first results are shown, whatever others take */
    bool colour, notes;  /* notes: show also what needs no correction */
    bool is_begun;       /* the headings are shown */
    bool is_written;     /* so far */
    size_t widths[COLUMNS_MOST];
};

static void print_time(struct text *out, int64_t us)
{
    int64_t ms = (us + 500) / 1000;
    if (ms < 10000)
        text_printf(out, "%" PRId64 " ms", ms);
    else
        text_printf(out, "%" PRId64 ".%" PRId64 " s", ms / 1000, ms / 100 % 10);
}

static int64_t total_us(const struct report *report, const struct report_visit *visit)
{
    return report->dns_us + visit->connect_us + visit->tls_us + visit->http_us;
}

/* What a stage says when nothing is wrong with it. */
static void print_value(const struct report *report, const struct report_visit *visit,
                        enum stage stage, int64_t now, struct text *out)
{
    const size_t before = out->len;
    switch (stage) {
    case STAGE_DNS:
        if (report->has_dns)
            print_time(out, report->dns_us);
        break;
    case STAGE_CONNECT:
        print_time(out, visit->connect_us);
        break;
    case STAGE_TLS:
        text_printf(out, "%s ", visit->tls_version == NULL ? "-" : visit->tls_version);
        print_time(out, visit->tls_us);
        break;
    case STAGE_CERTIFICATE:
        if (visit->has_certificate)
            text_printf(out, "%" PRId64 " days", calendar_days(visit->not_after - now));
        break;
    case STAGE_HTTP:
        text_printf(out, "%u ", visit->status);
        print_time(out, visit->http_us);
        break;
    case STAGE_POLICY:
        text_append(out, span_of(visit->mode));
        break;
    }
    if (out->len == before)
        text_append(out, span_of("-"));
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
        print_time(&rows->text, total_us(report, visit));
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

static void print_findings(const struct run *run, const struct report *report, struct text *out)
{
    for (int stage = 0; stage < STAGES; stage++)
        for (size_t i = 0; i < report->finding_count; i++) {
            const struct report_finding *finding = &report->findings[i];
            if ((int)finding->stage != stage || (!run->notes && finding->level == DIAG_NOTE))
                continue;
            const char *colour = run->colour ? levels[finding->level].colour : "";
            text_append(out, span_of(report->domain));
            if (finding->line > 0)
                text_printf(out, ":%" PRIu32 ":%" PRIu32, finding->line, finding->column);
            text_printf(out, ": %s%s%s: ", colour, levels[finding->level].finding,
                        colour[0] == '\0' ? "" : "\033[0m");
            print_addresses(report, finding, out);
            text_printf(out, "%s\n", finding->message);
            if (finding->senders != NULL)
                text_printf(out, "    why: %s\n", finding->senders);
            if (finding->fix[0] != '\0')
                text_printf(out, "    fix: %s\n", finding->fix);
        }
    if (report->lost > 0)
        text_printf(out, "%s: note: %zu more are not shown\n", report->domain, report->lost);
}

static void print_json_ms(struct text *out, const char *name, int64_t us)
{
    json_printf(out, name, "%" PRId64 ".%03" PRId64, us / 1000, us % 1000);
}

static void print_json_visit(const struct report *report, const struct report_visit *visit,
                             int64_t now, struct text *out)
{
    json_open(out, NULL, '{');
    json_text(out, "address", visit->address);
    json_text(out, "reached", stage_texts[visit->reached]);
    print_json_ms(out, "connect_ms", visit->connect_us);
    print_json_ms(out, "tls_ms", visit->tls_us);
    print_json_ms(out, "http_ms", visit->http_us);
    print_json_ms(out, "total_ms", total_us(report, visit));
    json_text(out, "tls", visit->tls_version);
    if (visit->has_certificate) {
        json_open(out, "certificate", '{');
        json_text(out, "issuer", visit->issuer);
        json_text(out, "algorithm", visit->key);
        json_text(out, "begins", calendar_day(visit->not_before).text);
        json_text(out, "expires", calendar_day(visit->not_after).text);
        json_number(out, "days_left", calendar_days(visit->not_after - now));
        json_close(out, '}');
    } else {
        json_null(out, "certificate");
    }
    json_ordinal(out, "status", visit->status);
    json_text(out, "content_type", visit->content_type);
    json_number(out, "size", (int64_t)visit->size);
    if (visit->reached == STAGE_POLICY) {
        json_open(out, "policy", '{');
        json_text(out, "mode", visit->mode);
        json_text(out, "max_age", visit->max_age);
        json_number(out, "mx", (int64_t)visit->mx_count);
        json_printf(out, "as_configured", "%s",
                    !visit->is_compared    ? "null"
                    : visit->is_configured ? "true"
                                           : "false");
        json_close(out, '}');
    } else {
        json_null(out, "policy");
    }
    json_close(out, '}');
}

static void print_json_finding(const struct report *report, const struct report_finding *finding,
                               struct text *out)
{
    json_open(out, NULL, '{');
    json_text(out, "code", finding->code);
    json_text(out, "stage", stage_texts[finding->stage]);
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
        json_text(out, "alias", report->alias); /* null when there is none */
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

static void take(void *context, size_t index, const void *result)
{
    struct run *run = context;
    const struct report *report = result;
    struct outcome *outcome = &run->outcomes[run->first + index];
    outcome->level = report_level(report);
    outcome->is_mx = report->is_mx;
    outcome->is_there = true;
    outcome->rows.count = COLUMNS;
    probing_done(&run->probing, index, report);
    for (size_t i = 0; run->line->smtp && i < report->mx_count; i++) {
        array_room(&run->mx, run->mx_count, sizeof(*run->mx));
        struct mx *mx = &run->mx[run->mx_count++];
        (void)snprintf(mx->name, sizeof(mx->name), "%s", report->mx[i]); /* it fits */
        mx->level = report->mx_level;
    }
    if (run->line->json) {
        print_json(report, run->line->now, &outcome->text);
        return;
    }
    for (size_t i = 0; i < report->visit_count; i++)
        add_row(report, &report->visits[i], run->line->now, &outcome->rows);
    if (report->visit_count == 0)
        add_row(report, NULL, run->line->now, &outcome->rows);
    print_findings(run, report, &outcome->text);
}

static bool is_new(const struct outcome *outcome)
{
    return outcome->is_there && !outcome->is_shown;
}

/* Appends the part of the table that is there and not shown yet, with its findings between two empty
 * lines. */
static void show(struct run *run, struct text *out)
{
    bool is_any = false, has_findings = false;
    for (size_t i = 0; i < run->count; i++)
        if (is_new(&run->outcomes[i])) {
            columns_measure(&run->outcomes[i].rows, run->widths);
            is_any = true;
        }
    if (is_any && !run->is_begun) {
        struct columns columns = {.count = COLUMNS};
        for (size_t i = 0; i < COLUMNS; i++) {
            text_append(&columns.text, span_of(headings[i]));
            columns_end_cell(&columns, "\033[1m");
        }
        columns_print(&columns, run->widths, run->colour, out);
        columns_free(&columns);
        run->is_begun = true;
    }
    for (size_t i = 0; i < run->count; i++)
        if (is_new(&run->outcomes[i]))
            columns_print(&run->outcomes[i].rows, run->widths, run->colour, out);
    for (size_t i = 0; i < run->count; i++) {
        struct outcome *outcome = &run->outcomes[i];
        if (is_new(outcome) && outcome->text.len > 0) {
            text_append(out, span_of(has_findings ? "" : "\n"));
            text_append(out, heap_text(&outcome->text));
            has_findings = true;
        }
        outcome->is_shown = outcome->is_there;
    }
    text_append(out, span_of(has_findings ? "\n" : ""));
}

/* Appends what was not shown yet, when every report was taken that there will be. */
static void show_rest(struct run *run, struct text *out)
{
    size_t counts[2][DIAG_LEVELS] = {0}, sums[2] = {0};
    if (run->line->json) {
        json_open(out, NULL, '[');
        for (size_t i = 0; i < run->count; i++) {
            if (!run->outcomes[i].is_there)
                continue;
            json_new_line(out);
            text_append(out, heap_text(&run->outcomes[i].text));
        }
        text_append(out, span_of("\n]\n"));
        return;
    }
    show(run, out);
    for (size_t i = 0; i < run->count; i++) {
        const struct outcome *outcome = &run->outcomes[i];
        counts[outcome->is_mx][outcome->level] += outcome->is_there ? 1 : 0;
        sums[outcome->is_mx] += outcome->is_there ? 1 : 0;
    }
    for (size_t i = 0; i < 2; i++)
        if (i == 0 || sums[i] > 0)
            text_printf(out, "%zu %s%s: %zu good, %zu with warnings, %zu with errors\n", sums[i],
                        i == 0 ? "domain" : "MX", i > 0 || sums[i] == 1 ? "" : "s",
                        counts[i][DIAG_NOTE], counts[i][DIAG_WARNING],
                        counts[i][DIAG_ERROR] + counts[i][DIAG_FATAL]);
}

/* Writes what is there to standard output. */
static void write_results(struct run *run, void (*print)(struct run *run, struct text *out))
{
    struct text out = {0};
    print(run, &out);
    if (out.len > 0 && run->count > 1 && isatty(STDERR_FILENO))
        (void)fputs("\r\033[K", stderr); /* the progress, which comes again */
    if (out.len > 0)
        run->is_written = command_write(&out) && run->is_written;
    text_free(&out);
}

static void tick(void *context)
{
    struct run *run = context;
    if (!run->line->json && run->probing.done < run->probing.count &&
        clock_monotonic_us() >= run->show_us)
        write_results(run, show);
}

/* The operand as a domain; what people write instead is answered with what they meant. */
static int read_operand(const char *word, struct name *ret_name)
{
    struct name meant;
    const struct span prefix = span_of("mta-sts.");
    enum name_fault fault = name_parse(span_of(word), NAME_DOMAIN, ret_name);
    if (fault == NAME_OK && !span_begins_fold(span_of(word), prefix))
        return STATUS_GOOD;
    char problem[LIMIT_NAME + 128] = "not the name of a domain:";
    if (fault == NAME_OK) /* what follows fits: a name has a bound */
        (void)snprintf(problem, sizeof(problem), "write the mail domain, %s, not its policy host:",
                       ret_name->text + prefix.len);
    else if (fault == NAME_LONG)
        (void)snprintf(problem, sizeof(problem),
                       "longer than %d characters with \"mta-sts.\" before it:", LIMIT_NAME);
    else if (name_suggest(span_of(word), NAME_DOMAIN, &meant))
        (void)snprintf(problem, sizeof(problem), "write %s instead of", meant.text);
    return command_misused("probe", problem, word, NULL);
}

static int read_operands(struct run *run)
{
    run->count = run->line->operand_count;
    run->names = heap_take(run->count, sizeof(*run->names));
    for (size_t i = 0; i < run->count; i++) {
        int status = read_operand(run->line->operands[i], &run->names[i]);
        if (status != STATUS_GOOD)
            return status;
    }
    return STATUS_GOOD;
}

/* With domains on the command line, a configuration that is not named need not be there. */
static int read_configuration(struct run *run)
{
    const struct command_line *line = run->line;
    bool is_needed = run->count == 0 || !line->is_default_path;
    if (is_needed || access(line->path, R_OK) == 0) {
        run->reading = reading_new(line, true);
        const struct configuration *configuration = run->reading.configuration;
        if (configuration != NULL) {
            run->probing.probe.delegate = configuration->settings.dns_delegate;
            run->probing.probe.warning = configuration->settings.certificate_warning;
        }
        if (configuration != NULL || is_needed)
            reading_tell(line, &run->reading);
        else
            (void)fprintf(stderr,
                          "%s: the policies are not compared with it, because it has errors\n",
                          line->path); /* the policies are probed all the same */
        if (configuration == NULL && is_needed)
            return STATUS_WRONG;
    }
    return probing_read(&run->probing, &run->reading) ? STATUS_GOOD : STATUS_WRONG;
}

static void list_domains(struct run *run)
{
    const struct configuration *configuration = run->reading.configuration;
    const struct site *site = configuration == NULL ? NULL : configuration->site;
    const struct history *history = configuration == NULL ? NULL : run->probing.history;
    bool by_name = run->count > 0;
    if (!by_name)
        run->count = site_count(site);
    run->domains = heap_take(run->count, sizeof(*run->domains));
    run->outcomes = heap_take(run->count, sizeof(*run->outcomes));
    run->notes = run->count == 1;
    for (size_t i = 0; i < run->count; i++) {
        const struct site_domain *domain =
            !by_name       ? site_at(site, i)
            : site == NULL ? NULL
                           : site_find_domain(site, span_of(run->names[i].text));
        struct probe_domain *asked = &run->domains[i];
        asked->name = by_name ? run->names[i].text : site_name(domain);
        asked->policy = domain == NULL ? NULL : site_policy(domain);
        asked->label = domain == NULL ? NULL : site_label(domain);
        if (history == NULL)
            continue;
        asked->facts =
            history_facts(history, history_find(history, span_of(asked->name)), run->probing.now);
        asked->facts.ttl = configuration->settings.dns_ttl;
    }
}

/* The gravest of equal ones is the first. */
static int compare_mx(const void *left, const void *right)
{
    const struct mx *one = left, *other = right;
    int order = strcasecmp(one->name, other->name);
    return order != 0 ? order : (int)one->level - (int)other->level;
}

/* Each once, whatever the number of its domains. */
static void list_mx(struct run *run)
{
    size_t count = 0;
    free(run->domains);
    run->domains = heap_take(run->mx_count, sizeof(*run->domains));
    if (run->mx_count > 0)
        qsort(run->mx, run->mx_count, sizeof(*run->mx), compare_mx);
    for (size_t i = 0; i < run->mx_count; i++)
        if (i == 0 || strcasecmp(run->mx[i].name, run->mx[i - 1].name) != 0)
            run->domains[count++] = (struct probe_domain){
                .name = run->mx[i].name, .is_mx = true, .mx_level = run->mx[i].level};
    run->first = run->count;
    run->count += count;
    run->outcomes = heap_grow(run->outcomes, run->count + 1, sizeof(*run->outcomes));
    memset(run->outcomes + run->first, 0, (count + 1) * sizeof(*run->outcomes));
}

/* Where no processes can be started for a round, what is known is shown and recorded all the same. */
static int probe_all(struct run *run)
{
    bool good = true;
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    run->colour = isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0') &&
                  terminal != NULL && strcmp(terminal, "dumb") != 0;
    run->is_written = true;
    run->show_us = clock_monotonic_us() + LIMIT_PROBE_SHOW_MS * INT64_C(1000);
    for (int round = 0; good && round < (run->line->smtp ? 2 : 1); round++) {
        if (round == 0)
            list_domains(run);
        else
            list_mx(run);
        good = probing_run(&run->probing, run->domains, run->count - run->first, take, tick);
    }
    if (!good && run->probing.done + run->first == 0)
        return STATUS_WRONG;
    write_results(run, show_rest);
    good = probing_record(&run->probing, &run->reading) && run->is_written && good;
    for (size_t i = 0; i < run->count; i++)
        good = good && run->outcomes[i].level > DIAG_ERROR;
    return good ? STATUS_GOOD : STATUS_WRONG;
}

int command_probe(const struct command_line *line, struct text *out)
{
    struct run run = {.line = line};
    (void)out; /* it is written as the results come */
    if ((line->record || line->smtp) && line->connect != NULL)
        return command_misused(
            "probe",
            line->record ? "with --connect the DNS is not asked, so there is nothing to --record"
                         : "with --connect the DNS is not asked, so there is no MX for --smtp",
            NULL, NULL);
    int status = read_operands(&run);
    if (status == STATUS_GOOD)
        status = probing_begin(&run.probing, "probe", line);
    if (status == STATUS_GOOD)
        status = read_configuration(&run);
    if (status == STATUS_GOOD)
        status = probe_all(&run);
    for (size_t i = 0; run.outcomes != NULL && i < run.count; i++) {
        columns_free(&run.outcomes[i].rows);
        text_free(&run.outcomes[i].text);
    }
    free(run.outcomes);
    free(run.domains);
    free(run.names);
    free(run.mx);
    probing_end(&run.probing);
    reading_free(&run.reading);
    return status;
}
