#include <stdio.h>
#include <strings.h>

#include "command/command.h"
#include "command/publish.h"
#include "command/reading.h"
#include "command/records_before.h"
#include "command/records_print.h"
#include "command/served.h"

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

/* Whether the operand is named once more before. */
static bool is_repeated(const struct command_line *line, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcasecmp(line->operands[i], line->operands[index]) == 0)
            return true;
    return false;
}

/* Whether the name is the zone of the shared records. */
static bool is_delegate(const struct configuration *configuration, const char *name)
{
    const char *zone = configuration->settings.dns_delegate;
    return zone != NULL && concern_matches(name, zone);
}

/* The zone of the shared records if all of them are known; else NULL. */
static const char *known_zone(const struct command_line *line, const struct reading *reading)
{
    const struct configuration *configuration = reading->configuration;
    for (size_t i = 0; i < line->operand_count; i++)
        if (is_delegate(configuration, line->operands[i]) &&
            diag_count(reading->diag, DIAG_ERROR) == 0)
            return configuration->settings.dns_delegate;
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
        bool is_zone = is_delegate(configuration, line->operands[i]);
        for (size_t k = 0; is_zone && k < site_count(configuration->site); k++)
            records_add_shared(records, &configuration->settings, site_at(configuration->site, k),
                               line->now);
        if (is_repeated(line, i) ||
            (is_zone && site_find_domain(configuration->site, span_of(line->operands[i])) == NULL))
            continue;
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

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Whether the file that named the domain is there and names none any more. */
static bool is_bare(const struct configuration *configuration, const char *file)
{
    for (size_t i = 0; file != NULL && i < configuration->file_count; i++)
        if (configuration->files[i].is_bare &&
            strcmp(last_part(configuration->files[i].path), last_part(file)) == 0)
            return true;
    return false;
}

/* An emptied file is a mistake more likely than a customer who leaves, for whom it is removed: what its
 * domains have published stays. False after saying so on standard error. */
static bool keep_emptied(const struct configuration *configuration, struct records *before)
{
    struct text out = {0};
    const char *domain = "";
    for (size_t i = 0; i < before->count; i++) {
        struct dns_record *record = &before->items[i];
        struct span name = span_of(record->domain);
        if (record->news != DNS_GONE || site_find_domain(configuration->site, name) != NULL ||
            !is_bare(configuration, record->file))
            continue;
        record->news = DNS_KEPT;
        if (strcmp(domain, record->domain) != 0)
            text_printf(&out,
                        "%s: error: the file does not name %s any more, whose records stay\n"
                        "    fix: name it again, or remove the file to remove its domains\n",
                        record->file, record->domain);
        domain = record->domain;
    }
    bool good = out.len == 0 && !out.failed;
    if (!good)
        (void)command_complain_lines(&out); /* the exit status says it too */
    text_free(&out);
    return good;
}

/* Says on standard error what is withheld: the first few of it. */
static void tell_withheld(const struct records *records)
{
    enum { SHOWN = 10 };
    struct text out = {0};
    size_t count = 0;
    for (size_t i = 0; i < records->count; i++) {
        const struct dns_record *record = &records->items[i];
        if (record->withheld != NULL && count++ < SHOWN)
            text_printf(&out, "mta-sts-httpd: %s: its %s record at %s is withheld: %s\n",
                        record->domain, record->type, record->name, record->withheld);
    }
    if (count > SHOWN)
        text_printf(
            &out,
            "mta-sts-httpd: %zu more records are withheld: \"mta-sts-httpd dns\" shows them\n",
            count - SHOWN);
    if (count > 0)
        (void)command_complain_lines(&out); /* the exit status says it too */
    text_free(&out);
}

/* A folder that is not mounted looks like a thousand customers who have left. */
static bool is_too_much(const struct command_line *line, const struct publication *publication,
                        const struct publication_counts *counts)
{
    enum { FEW = 10, SHARE = 4 };
    if (line->remove_many || counts->removed_domains <= FEW ||
        counts->removed_domains <= counts->domains / SHARE)
        return false;
    return !command_complain(
        "%s: %zu of its %zu domains are not configured any more: nothing is done\n"
        "    why: it may be a folder of \"include:\" that is not there\n"
        "    fix: use --remove-many if their records are to be removed",
        publication->path, counts->removed_domains, counts->domains);
}

static void print_counts(const struct publication_counts *counts, struct text *out)
{
    text_printf(out, "%zu record%s added, %zu changed, %zu removed", counts->added,
                counts->added == 1 ? "" : "s", counts->changed, counts->removed);
    if (counts->kept > 0)
        text_printf(out, "; %zu kept as published", counts->kept);
    text_append(out, span_of("\n"));
}

/* Sends the difference and tells what was done. */
static bool commit(const struct command_line *line, struct publication *publication,
                   struct records *now, records_print *print, struct text *out)
{
    struct publication_counts counts;
    tell_withheld(now);
    bool is_new = publication->is_new;
    bool good = publication_commit(publication, now, print, line->commit_with);
    publication_count(publication, now, &counts);
    print_counts(&counts, out);
    if (good && is_new)
        text_printf(out, "%s is written for the first time\n", publication->path);
    return good;
}

static int print_records(const struct command_line *line, const struct reading *reading,
                         records_print *print, struct records *before,
                         struct publication *publication, struct text *out)
{
    struct records records;
    int status = STATUS_WRONG;
    if (!records_begin(&records)) {
        (void)command_complain("out of memory");
        return status;
    }
    bool good = gather(line, reading, &records);
    const char *zone = known_zone(line, reading);
    if (before != NULL)
        records_compare(before, &records, may_miss_domains(line, reading), zone);
    if (line->served) {
        status = served_withhold(line, reading, &records, before != NULL);
        if (status != STATUS_GOOD)
            goto done;
        if (before != NULL) /* what is withheld now stays as it was published */
            records_compare(before, &records, may_miss_domains(line, reading), zone);
        status = STATUS_WRONG;
    }
    if (before != NULL)
        good = keep_emptied(reading->configuration, before) && good;
    out->failed = records.shortage || (before != NULL && before->shortage);
    if (publication != NULL && !out->failed) {
        struct publication_counts counts;
        publication_count(publication, &records, &counts);
        if (is_too_much(line, publication, &counts))
            goto done;
    }
    if (publication == NULL || line->commit_with == NULL)
        print(&records, before, out);
    else if (!out->failed)
        good = commit(line, publication, &records, print, out) && good;
    if (good)
        status = is_complete(&records) ? STATUS_GOOD : STATUS_PENDING;
done:
    records_free(&records);
    return status;
}

static int check_options(const struct command_line *line)
{
    if (find_format(line->format) == NULL)
        return command_misused("dns", "unknown format", line->format,
                               "; use zone, nsupdate or json");
    if (line->commit_with != NULL && line->published == NULL)
        return command_misused("dns", "--commit-with needs --published FILE", NULL, NULL);
    if (line->remove_many && line->published == NULL)
        return command_misused("dns", "--remove-many needs --published FILE", NULL, NULL);
    if (line->since != NULL && line->published != NULL)
        return command_misused("dns", "--since and --published exclude each other", NULL, NULL);
    if (!line->served && (line->connect != NULL || line->ca != NULL || line->timeout != NULL))
        return command_misused("dns", "--connect, --ca and --timeout need --served", NULL, NULL);
    if (line->record && (!line->served || line->connect != NULL))
        return command_misused("dns", "--record needs --served, without --connect", NULL, NULL);
    return STATUS_GOOD;
}

int command_dns(const struct command_line *line, struct text *out)
{
    struct records since = {0};
    struct records *before = NULL;
    struct publication publication = {.lock = -1};
    int status = check_options(line);
    if (status != STATUS_GOOD)
        return status;
    struct reading reading = reading_new(line, false, NULL);
    bool good = reading.configuration != NULL;
    if (good && line->since != NULL) {
        good = records_begin(&since) && records_read(&since, line->since, reading.diag);
        before = &since;
    } else if (good && line->published != NULL) {
        good = publication_open(line->published, line->commit_with != NULL, reading.diag,
                                &publication);
        before = &publication.before;
    }
    bool told = reading_tell(line, &reading);
    status = STATUS_WRONG;
    if (good)
        status = print_records(line, &reading, find_format(line->format), before,
                               line->published == NULL ? NULL : &publication, out);
    /* An error may have cost a domain that is then missing here. */
    if (!told || reading_errors(&reading) > 0)
        status = STATUS_WRONG;
    records_free(&since);
    publication_close(&publication);
    reading_free(&reading);
    return status;
}
