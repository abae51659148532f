#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/json.h"
#include "base/limits.h"
#include "command/command.h"
#include "command/reading.h"
#include "site/verdict.h"
#include "supervise/machine_check.h"

struct counts {
    size_t served; /* stale ones too */
    size_t stale;
    size_t
        no_certificate; /* with a policy; 0 when no certificates are configured, which is said once */
    size_t refused;
    size_t errors;
    size_t warnings;
};

/* The operand that means standard input. */
static bool is_input(const struct command_line *line)
{
    return line->operand_count == 1 && strcmp(line->operands[0], "-") == 0;
}

static struct counts count(const struct command_line *line, const struct reading *reading)
{
    struct counts counts = {
        .errors = reading_errors(reading),
        .warnings = diag_shown(reading->diag, DIAG_WARNING),
    };
    const struct configuration *configuration = reading->configuration;
    for (size_t i = 0; configuration != NULL && i < site_count(configuration->site); i++) {
        const struct site_domain *domain = site_at(configuration->site, i);
        if (is_input(line) ? strcmp(site_file(domain), "-") != 0
                           : !reading_is_asked(line, site_name(domain)))
            continue;
        enum domain_state state = verdict_state(domain);
        if (state == DOMAIN_NO_CERTIFICATE && !configuration->has_certificates)
            state = DOMAIN_SERVED;
        counts.served += state == DOMAIN_SERVED || state == DOMAIN_STALE;
        counts.stale += state == DOMAIN_STALE;
        counts.no_certificate += state == DOMAIN_NO_CERTIFICATE;
        counts.refused += state == DOMAIN_REFUSED;
    }
    return counts;
}

static const char *plural(size_t number)
{
    return number == 1 ? "" : "s";
}

static void print_summary(const struct command_line *line, const struct reading *reading,
                          struct text *out)
{
    struct counts counts = count(line, reading);
    const char *path = is_input(line) ? "-" : line->path;
    text_printf(out, "%s: ", reading->is_earlier_refused ? line->since : path);
    if (reading->is_earlier_refused)
        text_append(out, span_of("refused, so nothing was compared with it; "));
    else if (reading->configuration == NULL)
        text_append(out, span_of("refused, nothing would be served; "));
    else
        text_printf(out, "%zu domain%s served, ", counts.served, plural(counts.served));
    if (counts.no_certificate > 0)
        text_printf(out, "%zu without a certificate, ", counts.no_certificate);
    if (reading->configuration != NULL)
        text_printf(out, "%zu refused; ", counts.refused);
    if (counts.stale > 0)
        text_printf(out, "%zu of them stale; ", counts.stale);
    text_printf(out, "%zu error%s, %zu warning%s\n", counts.errors, plural(counts.errors),
                counts.warnings, plural(counts.warnings));
}

static void print_json(const struct command_line *line, const struct reading *reading,
                       struct text *out)
{
    struct counts counts = count(line, reading);
    json_open(out, NULL, '{');
    json_text(out, "file", is_input(line) ? "-" : line->path);
    json_flag(out, "usable", reading->configuration != NULL);
    json_number(out, "served", (int64_t)counts.served);
    json_number(out, "stale", (int64_t)counts.stale);
    json_number(out, "no_certificate", (int64_t)counts.no_certificate);
    json_number(out, "refused", (int64_t)counts.refused);
    json_number(out, "errors", (int64_t)counts.errors);
    json_number(out, "warnings", (int64_t)counts.warnings);
    diag_print_json(reading->diag, "diagnostics", DIAG_NOTE, out);
    text_append(out, span_of("}\n"));
}

/* Reads standard input to its end. False after saying why that is not possible. */
static bool read_input(struct text *ret_bytes)
{
    char buffer[16384];
    ssize_t count;
    while ((count = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0) {
        text_append(ret_bytes, (struct span){buffer, (size_t)count});
        if (heap_text(ret_bytes).len > LIMIT_INCLUDE_FILE)
            return command_complain("standard input: %s", strerror(EFBIG));
    }
    return count == 0 || command_complain("standard input: %s", strerror(errno));
}

/* Whether all that is to be judged is there; if not, after saying what is missing. */
static bool has_all(const struct command_line *line, const struct reading *reading)
{
    if (reading->configuration == NULL)
        return true;
    if (!is_input(line))
        return reading_check_all(line, reading);
    const struct counts counts = count(line, reading);
    bool good = counts.served + counts.no_certificate + counts.refused > 0;
    if (!good && counts.errors == 0)
        (void)command_complain("standard input names no domain");
    return good;
}

int command_check(const struct command_line *line, struct text *out)
{
    struct text input = {0};
    if (is_input(line) && !read_input(&input)) {
        text_free(&input);
        return STATUS_WRONG;
    }
    struct reading reading = reading_new_by_life(line, is_input(line) ? &input : NULL);
    bool told = true;
    if (reading.configuration != NULL && line->operand_count == 0)
        machine_check(&reading.configuration->settings, line->path, reading.diag);
    if (line->json) {
        print_json(line, &reading, out);
    } else {
        told = reading_print(&reading, DIAG_NOTE);
        print_summary(line, &reading, out);
    }
    bool good = has_all(line, &reading) && told && count(line, &reading).errors == 0;
    text_free(&input);
    reading_free(&reading);
    return good ? STATUS_GOOD : STATUS_WRONG;
}
