#include "command/reading.h"

#include <stdlib.h>

#include "base/calendar.h"
#include "base/heap.h"
#include "base/suggest.h"
#include "base/text.h"
#include "load/concern.h"
#include "probe/report.h"

/* The request is for the configuration and the operands of the command line. */
static struct reading load(const struct command_line *line, struct load_request request)
{
    struct reading reading = {.diag = diag_new()};
    const struct concern concern = {
        .names = line->operands,
        .count = request.extra == NULL ? line->operand_count : 0,
        .file = request.extra == NULL ? NULL : "-",
    };
    request.path = line->path;
    request.listen = line->listen;
    request.now = line->now;
    request.concern = line->operand_count == 0 ? NULL : &concern;
    reading.configuration = configuration_load(&request, reading.diag);
    return reading;
}

struct reading reading_new(const struct command_line *line, bool without_certificates)
{
    return load(line, (struct load_request){.without_certificates = without_certificates});
}

struct reading reading_new_by_life(const struct command_line *line, const struct text *extra)
{
    struct load_request request = {.judge_life = true, .extra = extra};
    const struct load_request earlier_request = {
        .path = line->since, .now = line->now, .without_certificates = true};
    if (line->since == NULL)
        return load(line, request);
    struct reading earlier = {.diag = diag_new()};
    earlier.configuration = configuration_load(&earlier_request, earlier.diag);
    /* What is wrong with it is of interest only when nothing is left of it. */
    earlier.is_earlier_refused = earlier.configuration == NULL;
    if (earlier.is_earlier_refused)
        return earlier;
    request.earlier = earlier.configuration->site;
    struct reading reading = load(line, request);
    reading_free(&earlier);
    return reading;
}

void reading_free(struct reading *reading)
{
    configuration_free(reading->configuration);
    diag_free(reading->diag);
    *reading = (struct reading){0};
}

bool reading_print(struct diag *diag, enum diag_level least)
{
    struct text out = {0};
    diag_print(diag, least, &out);
    return command_complain_lines(&out);
}

size_t reading_errors(const struct reading *reading)
{
    return diag_shown(reading->diag, DIAG_FATAL) + diag_shown(reading->diag, DIAG_ERROR);
}

struct telling {
    struct text *out;
    size_t shown, most; /* errors of single domains and files */
};

static void tell(void *context, const struct diag_entry *entry, struct span text)
{
    struct telling *telling = context;
    if (entry->level != DIAG_FATAL && telling->shown == telling->most)
        return;
    telling->shown += entry->level == DIAG_FATAL ? 0 : 1;
    text_append(telling->out, text);
}

bool reading_tell(const struct command_line *line, const struct reading *reading)
{
    enum { FEW = 3, SOME = 10 };
    struct text out = {0};
    size_t count = diag_shown(reading->diag, DIAG_ERROR);
    struct telling telling = {.out = &out, .most = SIZE_MAX};
    if (reading->configuration == NULL)
        telling.most = SOME;
    else if (line->operand_count == 0)
        telling.most = count <= FEW ? FEW : 0;
    diag_each(reading->diag, DIAG_ERROR, tell, &telling);
    if (telling.shown < count) {
        size_t files = diag_shown_files(reading->diag, DIAG_ERROR);
        text_printf(&out, "mta-sts-httpd: %zu file%s ha%s faults (%zu error%s): ", files,
                    files == 1 ? "" : "s", files == 1 ? "s" : "ve", count, count == 1 ? "" : "s");
        text_printf(&out,
                    line->is_default_path ? "\"mta-sts-httpd check\" prints them\n"
                                          : "\"mta-sts-httpd check -c %s\" prints them\n",
                    line->path);
    }
    return out.len == 0 || command_complain_lines(&out);
}

static const char *nearest_domain(const struct site *site, const char *name)
{
    const char *nearest = NULL;
    const char **names = heap_take(site_count(site), sizeof(*names));
    for (size_t i = 0; i < site_count(site); i++)
        names[i] = site_name(site_at(site, i));
    size_t index = suggest_nearest(span_of(name), names, site_count(site));
    if (index < site_count(site))
        nearest = names[index];
    free(names);
    return nearest;
}

const struct site_domain *reading_find(const struct reading *reading, const char *name)
{
    const struct site *site = reading->configuration->site;
    const struct site_domain *domain = site_find_domain(site, span_of(name));
    if (domain != NULL)
        return domain;
    const struct report_words shown = report_show(span_of(name), REPORT_NAME);
    const char *mention = concern_find_mention(reading->configuration->files,
                                               reading->configuration->file_count, span_of(name));
    const char *nearest = mention != NULL ? NULL : nearest_domain(site, name);
    if (mention != NULL)
        (void)command_complain(
            "domain \"%s\" is not configured as far as can be read: %s mentions it", shown.text,
            mention);
    else if (nearest != NULL)
        (void)command_complain("domain \"%s\" is not configured; did you mean \"%s\"?", shown.text,
                               nearest);
    else
        (void)command_complain("domain \"%s\" is not configured", shown.text);
    return NULL;
}

bool reading_is_asked(const struct command_line *line, const char *name)
{
    const struct concern asked = {.names = line->operands, .count = line->operand_count};
    return line->operand_count == 0 || concern_names(&asked, name);
}

bool reading_check(const struct reading *reading, const char *operand)
{
    const struct site *site = reading->configuration->site;
    if (!concern_is_pattern(operand))
        return reading_find(reading, operand) != NULL;
    for (size_t i = 0; i < site_count(site); i++)
        if (concern_matches(operand, site_name(site_at(site, i))))
            return true;
    return command_complain("no configured domain matches \"%s\"",
                            report_show(span_of(operand), REPORT_NAME).text);
}

bool reading_check_all(const struct command_line *line, const struct reading *reading)
{
    bool good = true;
    for (size_t i = 0; i < line->operand_count; i++)
        good = reading_check(reading, line->operands[i]) && good;
    return good;
}

struct history *reading_history(const struct command_line *line, const struct reading *reading,
                                int64_t *ret_now)
{
    const struct settings *settings = &reading->configuration->settings;
    struct diag *diag = diag_new();
    struct history *history = history_new();
    struct position at = {.file = line->path};
    const char *own[] = {settings->state};
    const char *const *folders = line->state.count > 0 ? line->state.items : own;
    size_t count = line->state.count > 0 ? line->state.count : settings->state != NULL ? 1 : 0;
    for (size_t i = 0; i < count; i++)
        (void)history_read(history, folders[i], at, NULL, diag); /* what is wrong is told below */
    *ret_now = history_settle(history, line->now);
    if (*ret_now > line->now) {
        diag_add(diag, DIAG_WARNING, at, "it is %s by the clock, and %s was recorded before",
                 calendar_iso_time(line->now).text, calendar_iso_time(*ret_now).text);
        diag_reason(diag,
                    "until then the later time is taken for now, so that no date comes too early");
        diag_hint(diag, "set the clock, if it is wrong");
    }
    (void)reading_print(diag, DIAG_WARNING); /* the exit status says it too */
    diag_free(diag);
    return history;
}
