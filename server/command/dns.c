#include <stdio.h>

#include "command/command.h"
#include "command/reading.h"
#include "command/records_before.h"
#include "command/records_print.h"

static const struct {
    const char *name;
    records_print *print;
} formats[] = {
    {"zone", records_print_zone},
    {"nsupdate", records_print_nsupdate},
    {"json", records_print_json},
};

static records_print *find_format(const char *name)
{
    if (name == NULL)
        return formats[0].print;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strcmp(formats[i].name, name) == 0)
            return formats[i].print;
    return NULL;
}

/* The records of the domains that the command line names, or of all. False when it names one that
 * is not configured. */
static bool gather(const struct command_line *line, const struct reading *reading,
                   struct records *records)
{
    bool good = true;
    const struct configuration *configuration = reading->configuration;
    for (size_t i = 0; i < line->operand_count; i++) {
        const struct site_domain *domain = reading_find(reading, line->operands[i]);
        good = good && domain != NULL;
        if (domain != NULL)
            records_add_domain(records, &configuration->settings, domain, line->now);
    }
    for (size_t i = 0; line->operand_count == 0 && i < site_count(configuration->site); i++)
        records_add_domain(records, &configuration->settings, site_at(configuration->site, i),
                           line->now);
    return good;
}

static bool is_complete(const struct records *records)
{
    for (size_t i = 0; i < records->count; i++)
        if (records->items[i].withheld != NULL)
            return false;
    return true;
}

/* Domains may be out of sight because of a mistake, or because others were asked for. */
static bool may_miss_domains(const struct command_line *line, const struct reading *reading)
{
    return line->operand_count > 0 || diag_count(reading->diag, DIAG_ERROR) > 0;
}

static int print_records(const struct command_line *line, const struct reading *reading,
                         records_print *print, struct records *before)
{
    struct text out = {0};
    struct records records;
    int status = STATUS_WRONG;
    if (!records_begin(&records)) {
        (void)fputs("mta-sts-httpd: out of memory\n", stderr); /* nowhere is left to say it */
        return status;
    }
    bool good = gather(line, reading, &records);
    if (before != NULL)
        records_compare(before, &records, may_miss_domains(line, reading));
    print(&records, before, &out);
    out.failed = out.failed || records.shortage || (before != NULL && before->shortage);
    if (command_write(&out) && good && is_complete(&records))
        status = STATUS_GOOD;
    records_free(&records);
    text_free(&out);
    return status;
}

int command_dns(const struct command_line *line)
{
    int status = STATUS_WRONG;
    struct records before = {0};
    records_print *print = find_format(line->format);
    if (print == NULL)
        return command_misused("dns", "the format is none of zone, nsupdate, json:", line->format);
    struct reading reading = reading_new(line, false);
    bool good = reading.configuration != NULL;
    if (good && line->since != NULL)
        good = records_begin(&before) && records_read(&before, line->since, reading.diag);
    bool told = reading_print(&reading, DIAG_ERROR);
    if (good)
        status = print_records(line, &reading, print, line->since == NULL ? NULL : &before);
    /* An error may have cost a domain that is then missing here. */
    if (!told || (line->operand_count == 0 && diag_count(reading.diag, DIAG_ERROR) > 0))
        status = STATUS_WRONG;
    records_free(&before);
    reading_free(&reading);
    return status;
}
