#include "probe/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/text.h"
#include "command/command.h"
#include "command/probe_options.h"
#include "command/probe_output.h"
#include "command/reading.h"
#include "policy/name.h"

/* A host that takes mail, and how grave it is that senders would refuse it. */
struct mx {
    char name[LIMIT_NAME + 1];
    enum diag_level level;
};

/* Everything that a run needs. */
struct run {
    const struct command_line *line;
    struct reading reading;  /* without a configuration when there is none to compare with */
    struct history *history; /* owned; of the state folder; NULL without a configuration */
    int64_t now;             /* to count with in the history */
    bool is_recorded;        /* what the DNS said is in the history, so far */
    struct probe_options options;
    struct probe_domain *domains; /* owned */
    struct name *names;           /* owned; of the operands */
    struct mx *mx;                /* owned; with --smtp, of all domains */
    size_t mx_count, mx_capacity;
    size_t count, done, first; /* what the output has before the first of domains */
    int64_t show_us;           /* when the first results are shown, whatever others take */
    bool is_written;           /* so far */
    struct probe_output output;
};

/* The operand as a domain; what people write instead is answered with what they meant. */
static int read_operand(const char *word, struct name *ret_name)
{
    struct name meant;
    const struct span prefix = span_of("mta-sts.");
    enum name_fault fault = name_parse(span_of(word), NAME_HOST, ret_name);
    if (fault == NAME_OK && !span_begins_fold(span_of(word), prefix))
        return STATUS_GOOD;
    char problem[LIMIT_NAME + 128] = "not the name of a domain:";
    if (fault == NAME_OK) /* what follows fits: a name has a bound */
        (void)snprintf(problem, sizeof(problem), "write the mail domain, %s, not its policy host:",
                       ret_name->text + prefix.len);
    else if (name_suggest(span_of(word), NAME_HOST, &meant))
        (void)snprintf(problem, sizeof(problem), "write %s instead of", meant.text);
    return command_misused("probe", problem, word, NULL);
}

static int read_operands(struct run *run)
{
    run->count = run->line->operand_count;
    run->names = calloc(run->count + 1, sizeof(*run->names));
    for (size_t i = 0; i < run->count && run->names != NULL; i++) {
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
    if (!is_needed && access(line->path, R_OK) != 0)
        return STATUS_GOOD;
    run->reading = reading_new(line, true, NULL);
    if (run->reading.configuration != NULL) {
        run->options.probe.delegate = run->reading.configuration->settings.dns_delegate;
        run->options.probe.warning = run->reading.configuration->settings.certificate_warning;
        reading_tell(line, &run->reading);
        run->history = reading_history(line, &run->reading, &run->now);
        return run->history != NULL ? STATUS_GOOD : STATUS_WRONG;
    }
    if (is_needed) {
        reading_tell(line, &run->reading);
        return STATUS_WRONG;
    }
    (void)fprintf(stderr, "%s: the policies are not compared with it, because it has errors\n",
                  line->path); /* the policies are probed all the same */
    return STATUS_GOOD;
}

static bool list_domains(struct run *run)
{
    const struct configuration *configuration = run->reading.configuration;
    const struct site *site = configuration == NULL ? NULL : configuration->site;
    bool by_name = run->count > 0;
    if (!by_name)
        run->count = site_count(site);
    run->domains = calloc(run->count + 1, sizeof(*run->domains));
    if (run->domains == NULL || run->names == NULL)
        return false;
    for (size_t i = 0; i < run->count; i++) {
        const struct site_domain *domain =
            !by_name       ? site_at(site, i)
            : site == NULL ? NULL
                           : site_find_domain(site, span_of(run->names[i].text));
        run->domains[i] = (struct probe_domain){
            .name = by_name ? run->names[i].text : site_name(domain),
            .policy = domain == NULL ? NULL : site_policy(domain),
            .label = domain == NULL ? NULL : site_label(domain),
        };
        if (run->history == NULL)
            continue;
        run->domains[i].facts = history_facts(
            run->history, history_find(run->history, span_of(run->domains[i].name)), run->now);
        run->domains[i].facts.ttl = configuration->settings.dns_ttl;
    }
    return true;
}

/* Writes what is there to standard output. */
static void write_results(struct run *run, bool is_end)
{
    struct text out = {0};
    if (is_end)
        probe_output_end(&run->output, &out);
    else
        probe_output_show(&run->output, &out);
    if (out.len > 0 && run->count > 1 && isatty(STDERR_FILENO))
        (void)fputs("\r\033[K", stderr); /* the progress, which comes again */
    if (out.len > 0 || out.failed)
        run->is_written = command_write(&out) && run->is_written;
    text_free(&out);
}

static void tick(void *context)
{
    struct run *run = context;
    if (!run->output.json && run->done < run->count && clock_monotonic_us() >= run->show_us)
        write_results(run, false);
}

static void keep_mx(struct run *run, const struct report *report)
{
    for (size_t i = 0; i < report->mx_count; i++) {
        if (!array_room(&run->mx, run->mx_count, &run->mx_capacity, sizeof(*run->mx))) {
            run->is_written = command_complain("out of memory");
            return;
        }
        struct mx *mx = &run->mx[run->mx_count++];
        (void)snprintf(mx->name, sizeof(mx->name), "%s", report->mx[i]); /* it fits */
        mx->level = report->mx_level;
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
static bool list_mx(struct run *run)
{
    run->first = run->count;
    run->count = run->done = 0;
    free(run->domains);
    run->domains = calloc(run->mx_count + 1, sizeof(*run->domains));
    if (run->domains == NULL)
        return false;
    qsort(run->mx, run->mx_count, sizeof(*run->mx), compare_mx);
    for (size_t i = 0; i < run->mx_count; i++)
        if (i == 0 || strcasecmp(run->mx[i].name, run->mx[i - 1].name) != 0)
            run->domains[run->count++] = (struct probe_domain){
                .name = run->mx[i].name, .is_mx = true, .mx_level = run->mx[i].level};
    return probe_output_extend(&run->output, run->count);
}

static void take(void *context, size_t index, const struct report *report)
{
    struct run *run = context;
    probe_output_take(&run->output, run->first + index, report);
    if (run->line->smtp)
        keep_mx(run, report);
    if (run->line->record && report->is_record_known)
        run->is_recorded =
            history_see(run->history, report->domain, span_of(report->id), report->ttl, run->now) &&
            run->is_recorded;
    run->done++;
    command_show_progress(run->done, run->count);
}

static bool wants_colour(void)
{
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0') &&
           terminal != NULL && strcmp(terminal, "dumb") != 0;
}

static int probe_all(struct run *run)
{
    run->is_written = run->is_recorded = true;
    run->show_us = clock_monotonic_us() + LIMIT_PROBE_SHOW_MS * INT64_C(1000);
    run->output = (struct probe_output){
        .json = run->line->json,
        .colour = wants_colour(),
        .notes = run->count == 1,
        .now = run->line->now,
    };
    for (int i = 0; i < (run->line->smtp ? 2 : 1); i++) {
        if (!(i == 0 ? list_domains(run) && probe_output_extend(&run->output, run->count)
                     : list_mx(run))) {
            (void)command_complain("out of memory");
            return STATUS_WRONG;
        }
        if (!probe_domains(&run->options.probe, run->domains, run->count, take, tick, run)) {
            (void)command_complain("cannot start processes to probe: %s", strerror(errno));
            return STATUS_WRONG;
        }
    }
    write_results(run, true);
    bool is_recorded = !run->line->record ||
                       (run->is_recorded && reading_record(&run->reading, run->history, run->now));
    bool is_good = is_recorded && run->is_written && probe_output_is_good(&run->output);
    return is_good ? STATUS_GOOD : STATUS_WRONG;
}

int command_probe(const struct command_line *line)
{
    struct run run = {.line = line};
    if ((line->record || line->smtp) && line->connect != NULL)
        return command_misused(
            "probe",
            line->record ? "with --connect the DNS is not asked, so there is nothing to --record"
                         : "with --connect the DNS is not asked, so there is no MX for --smtp",
            NULL, NULL);
    int status = read_operands(&run);
    if (status == STATUS_GOOD)
        status = probe_options_read("probe", line, &run.options);
    if (status == STATUS_GOOD)
        status = read_configuration(&run);
    if (status == STATUS_GOOD)
        status = !line->record || reading_can_record(&run.reading) ? probe_all(&run) : STATUS_WRONG;
    probe_output_free(&run.output);
    probe_options_free(&run.options);
    free(run.domains);
    free(run.names);
    free(run.mx);
    history_free(run.history);
    reading_free(&run.reading);
    return status;
}
