
#include "base/text.h"
#include "command/command.h"
#include "command/reading.h"

struct counts {
    size_t served; /* stale ones too */
    size_t stale;
    size_t refused;
    size_t errors;
    size_t warnings;
};

static struct counts count(const struct reading *reading)
{
    struct counts counts = {
        .errors = diag_count(reading->diag, DIAG_FATAL) + diag_count(reading->diag, DIAG_ERROR),
        .warnings = diag_count(reading->diag, DIAG_WARNING),
    };
    const struct configuration *configuration = reading->configuration;
    for (size_t i = 0; configuration != NULL && i < site_count(configuration->site); i++) {
        enum site_state state = site_at(configuration->site, i)->state;
        counts.served += state != SITE_REFUSED ? 1 : 0;
        counts.stale += state == SITE_STALE ? 1 : 0;
        counts.refused += state == SITE_REFUSED ? 1 : 0;
    }
    return counts;
}

static const char *plural(size_t number)
{
    return number == 1 ? "" : "s";
}

static void print_summary(const struct reading *reading, const char *path, struct text *out)
{
    struct counts counts = count(reading);
    text_printf(out, "%s: ", path);
    if (reading->configuration == NULL)
        text_append(out, span_of("refused, nothing would be served; "));
    else
        text_printf(out, "%zu domain%s served, %zu refused; ", counts.served, plural(counts.served),
                    counts.refused);
    if (counts.stale > 0)
        text_printf(out, "%zu of them stale; ", counts.stale);
    text_printf(out, "%zu error%s, %zu warning%s\n", counts.errors, plural(counts.errors),
                counts.warnings, plural(counts.warnings));
}

static void print_json(const struct reading *reading, const char *path, struct text *out)
{
    struct counts counts = count(reading);
    text_append(out, span_of("{\"file\":"));
    text_json(out, span_of(path));
    text_printf(
        out,
        ",\"usable\":%s,\"served\":%zu,\"stale\":%zu,\"refused\":%zu,\"errors\":%zu,\"warnings\":%zu,"
        "\"diagnostics\":",
        reading->configuration == NULL ? "false" : "true", counts.served, counts.stale,
        counts.refused, counts.errors, counts.warnings);
    diag_print_json(reading->diag, DIAG_NOTE, out);
    text_append(out, span_of("}\n"));
}

int command_check(const struct command_line *line)
{
    struct text out = {0};
    struct reading reading = reading_new(line, false);
    int status = STATUS_WRONG;
    bool told = true;
    if (reading.diag == NULL)
        return status;
    if (line->json) {
        print_json(&reading, line->path, &out);
    } else {
        told = reading_print(&reading, DIAG_NOTE);
        print_summary(&reading, line->path, &out);
    }
    if (command_write(&out) && told && count(&reading).errors == 0)
        status = STATUS_GOOD;
    text_free(&out);
    reading_free(&reading);
    return status;
}
