#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/heap.h"
#include "command/command.h"
#include "command/probing.h"
#include "command/reading.h"
#include "command/records.h"
#include "load/concern.h"

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
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (name == NULL || strcmp(formats[i].name, name) == 0)
            return formats[i].print;
    return NULL;
}

/* A domain that is asked, and the records that depend on its answer; NULL for none. */
struct asked {
    struct dns_record *own, *shared;
};

/* What the command works on. */
struct job {
    struct probing probing; /* first: it is what take has; with --served */
    struct asked *asked;    /* owned; of each domain that is probed */
    const struct command_line *line;
    const struct reading *reading;
    records_print *print;
    struct records now;
    struct publication publication; /* or an earlier list alone */
    struct records *before;         /* its list; NULL: there is none to compare with */
};

/* Whether the operand is the zone of the shared records. */
static bool is_delegate(const struct job *job, const char *operand)
{
    const char *zone = job->reading->configuration->settings.dns_delegate;
    return zone != NULL && concern_matches(operand, zone);
}

/* Adds the records of the domain that the operand names, or the shared ones of the zone, unless they are
 * there. False when it is neither, after saying so. */
static bool add_operand(struct job *job, const char *operand)
{
    const struct site *site = job->reading->configuration->site;
    bool is_zone = is_delegate(job, operand);
    for (size_t i = 0; is_zone && i < site_count(site); i++)
        records_add_shared(&job->now, site_at(site, i));
    if (is_zone && site_find_domain(site, span_of(operand)) == NULL)
        return true;
    const struct site_domain *domain = reading_find(job->reading, operand);
    if (domain != NULL && records_find(&job->now, domain) == NULL)
        records_add_domain(&job->now, domain);
    return domain != NULL;
}

/* Domains may be out of sight because of a mistake, or because others were asked for. */
static void compare(struct job *job)
{
    const struct reading *reading = job->reading;
    bool has_errors = diag_count(reading->diag, DIAG_ERROR) > 0;
    const char *zone = NULL; /* when all of its records are known */
    for (size_t i = 0; i < job->line->operand_count && !has_errors; i++)
        if (is_delegate(job, job->line->operands[i]))
            zone =
                arena_printf(job->now.arena, "%s.", reading->configuration->settings.dns_delegate);
    if (job->before != NULL)
        records_compare(job->before, &job->now, job->line->operand_count > 0 || has_errors, zone);
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
        if (configuration->files[i].kind == SOURCE_BARE &&
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
    if (out.len == 0)
        return true;
    return command_complain_lines(&out) && false;
}

/* Why the policy is not known to be served as it is configured, at every address; NULL when it is. What the
 * record or an MX has is no reason: this record is not published yet. An address of a family that this
 * machine does not have says nothing about the server. */
static const char *find_reason(const struct report *report, struct arena *arena)
{
    static const char PENDING[] = "its policy is not served yet";
    size_t served = 0;
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct report_finding *finding = &report->findings[i];
        bool is_about_dns =
            strncmp(finding->code, "record-", 7) == 0 || strncmp(finding->code, "mx-", 3) == 0;
        /* A look-up that failed for one family leaves addresses unknown. */
        if (is_about_dns ||
            (finding->level > DIAG_ERROR && strcmp(finding->code, "dns-family") != 0))
            continue;
        if (finding->visits == 0)
            return arena_printf(arena, "%s: %s", PENDING, finding->message);
        return arena_printf(arena, "%s: %s: %s", PENDING,
                            report->visits[ffs((int)finding->visits) - 1].address,
                            finding->message);
    }
    for (size_t i = 0; i < report->visit_count; i++) {
        const struct report_visit *visit = &report->visits[i];
        if (visit->is_compared && visit->is_configured)
            served++;
        else if (!report_is_out_of_reach(report, visit))
            return arena_printf(arena, "%s: %s does not answer with it", PENDING, visit->address);
    }
    return served > 0 ? NULL : arena_printf(arena, "%s: no address answers with it", PENDING);
}

/* Whether the domain answers with another policy, and the DNS does not say that its record is not the
 * shared one. One that answers with none, as before it is set up, hinders no other. */
static bool hinders_others(const struct report *report, const struct dns_record *shared)
{
    bool is_other = false;
    for (size_t i = 0; i < report->visit_count; i++)
        is_other = is_other || report->visits[i].is_compared;
    return is_other && (!report->is_record_known || strcasecmp(report->alias, shared->domain) == 0);
}

static void take(void *context, size_t index, const void *result)
{
    struct job *job = context;
    const struct report *report = result;
    struct dns_record *own = job->asked[index].own, *shared = job->asked[index].shared;
    const char *reason = find_reason(report, job->now.arena);
    probing_done(&job->probing, index, report);
    if (own != NULL && reason != NULL)
        own->withheld = reason;
    if (shared == NULL)
        return;
    /* Until the end a record that several share is withheld for the first reason, or the gravest. */
    bool hinders = reason != NULL && hinders_others(report, shared);
    if (reason != NULL && (shared->withheld == NULL || (hinders && !shared->is_hindered)))
        shared->withheld = arena_printf(job->now.arena, "%s: %s", report->domain, reason);
    shared->is_served = shared->is_served || reason == NULL;
    shared->is_hindered = shared->is_hindered || hinders;
}

/* The record, if its policy is to be asked for. */
static struct dns_record *if_asked(struct dns_record *record, bool is_news)
{
    bool is_asked = record != NULL && record->withheld == NULL && record->value != NULL &&
                    (!is_news || record->news != DNS_SAME);
    return is_asked ? record : NULL;
}

/* Withholds what is not served yet, of the records that are not withheld already, or of those that are news:
 * unless every address of the policy host serves the policy. One domain that serves it is enough for a record
 * that several share, if none hinders it. STATUS_GOOD, or an exit status after saying on standard error
 * why nothing is known. */
static int withhold_unserved(struct job *job)
{
    size_t count = 0;
    struct records *now = &job->now;
    const struct site *site = job->reading->configuration->site;
    struct probing *probing = &job->probing;
    struct probe_domain *domains = heap_take(site_count(site), sizeof(*domains));
    job->asked = heap_take(site_count(site), sizeof(*job->asked));
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        const struct asked asked = {
            if_asked(records_find(now, domain), job->before != NULL),
            if_asked(records_find_shared(now, domain), job->before != NULL)};
        if (asked.own == NULL && asked.shared == NULL)
            continue;
        domains[count].name = site_name(domain);
        domains[count].policy = asked.shared == NULL ? site_policy(domain) : asked.shared->policy;
        job->asked[count++] = asked;
    }
    int status = probing_begin(probing, "dns", job->line);
    if (status == STATUS_GOOD && ((job->line->record && !probing_read(probing, job->reading)) ||
                                  !probing_run(probing, domains, count, take, NULL) ||
                                  !probing_record(probing, job->reading)))
        status = STATUS_WRONG;
    for (size_t i = 0; i < now->count; i++)
        if (now->items[i].is_served && !now->items[i].is_hindered)
            now->items[i].withheld = NULL;
    compare(job); /* what is withheld now stays as it was published */
    probing_end(probing);
    free(job->asked);
    free(domains);
    return status;
}

/* What comparing the two lists has come to. */
struct counts {
    size_t added, changed, removed;  /* records to be sent */
    size_t kept;                     /* published records that stay as they are */
    size_t domains, removed_domains; /* published before, and those of them that go */
};

static struct counts count_news(const struct records *before, const struct records *now)
{
    struct counts counts = {0};
    for (size_t i = 0; i < now->count; i++) {
        bool is_sent = now->items[i].withheld == NULL;
        counts.added += is_sent && now->items[i].news == DNS_NEW ? 1 : 0;
        counts.changed += is_sent && now->items[i].news == DNS_CHANGED ? 1 : 0;
    }
    bool is_going = true;
    for (size_t i = 0; i < before->count; i++) {
        enum dns_news news = before->items[i].news;
        bool is_last = i + 1 == before->count ||
                       strcmp(before->items[i].domain, before->items[i + 1].domain) != 0;
        counts.removed += news == DNS_GONE ? 1 : 0;
        counts.kept += news == DNS_KEPT ? 1 : 0;
        is_going = is_going && news == DNS_GONE;
        counts.domains += is_last ? 1 : 0;
        counts.removed_domains += is_last && is_going ? 1 : 0;
        is_going = is_going || is_last;
    }
    return counts;
}

/* A folder that is not mounted looks like a thousand customers who have left. */
static bool is_too_much(const struct job *job)
{
    enum { FEW = 10, SHARE = 4 };
    assert(job->before != NULL); /* it is published, or since is given */
    struct counts counts = count_news(job->before, &job->now);
    if (job->line->remove_many || counts.removed_domains <= FEW ||
        counts.removed_domains <= counts.domains / SHARE)
        return false;
    return !command_complain(
        "%s: %zu of its %zu domains are not configured any more: nothing is done\n"
        "    why: it may be a folder of \"include:\" that is not there\n"
        "    fix: use --remove-many if their records are to be removed",
        job->publication.path, counts.removed_domains, counts.domains);
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
    (void)command_complain_lines(&out); /* the exit status says it too */
}

/* Sends the difference and tells what was done. */
static bool commit(struct job *job, struct text *out)
{
    assert(job->before != NULL); /* check_options */
    tell_withheld(&job->now);
    bool good =
        publication_commit(&job->publication, &job->now, job->print, job->line->commit_with);
    struct counts counts = count_news(job->before, &job->now);
    text_printf(out, "%zu record%s added, %zu changed, %zu removed", counts.added,
                counts.added == 1 ? "" : "s", counts.changed, counts.removed);
    if (counts.kept > 0)
        text_printf(out, "; %zu kept as published", counts.kept);
    text_append(out, span_of("\n"));
    if (good && job->publication.is_new)
        text_printf(out, "%s is written for the first time\n", job->publication.path);
    return good;
}

static int run(struct job *job, struct text *out)
{
    int status = STATUS_GOOD;
    bool good = true;
    const struct site *site = job->reading->configuration->site;
    for (size_t i = 0; i < job->line->operand_count; i++)
        good = add_operand(job, job->line->operands[i]) && good;
    for (size_t i = 0; job->line->operand_count == 0 && i < site_count(site); i++)
        records_add_domain(&job->now, site_at(site, i));
    compare(job);
    if (job->line->served)
        status = withhold_unserved(job);
    if (status != STATUS_GOOD)
        return status;
    if (job->before != NULL)
        good = keep_emptied(job->reading->configuration, job->before) && good;
    if (job->line->published != NULL && is_too_much(job))
        return STATUS_WRONG;
    if (job->line->commit_with == NULL)
        job->print(&job->now, job->before, out);
    else
        good = commit(job, out) && good;
    for (size_t i = 0; i < job->now.count; i++)
        if (job->now.items[i].withheld != NULL)
            status = STATUS_PENDING;
    return good ? status : STATUS_WRONG;
}

static int check_options(const struct command_line *line)
{
    const struct {
        bool is_wrong;
        const char *text;
    } rules[] = {
        {line->commit_with != NULL && line->published == NULL,
         "--commit-with needs --published FILE"},
        {line->remove_many && line->published == NULL, "--remove-many needs --published FILE"},
        {line->since != NULL && line->published != NULL,
         "--since and --published exclude each other"},
        {!line->served && (line->connect != NULL || line->ca != NULL || line->timeout != NULL),
         "--connect, --ca and --timeout need --served"},
        {line->record && (!line->served || line->connect != NULL),
         "--record needs --served, without --connect"},
    };
    if (find_format(line->format) == NULL)
        return command_misused("dns", "unknown format", line->format,
                               "; use zone, nsupdate or json");
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].is_wrong)
            return command_misused("dns", rules[i].text, NULL, NULL);
    return STATUS_GOOD;
}

int command_dns(const struct command_line *line, struct text *out)
{
    struct reading reading;
    struct job job = {.line = line,
                      .reading = &reading,
                      .print = find_format(line->format),
                      .publication = {.lock = -1}};
    int status = check_options(line);
    if (status != STATUS_GOOD)
        return status;
    reading = reading_new(line, false);
    bool good = reading.configuration != NULL;
    struct arena *arena = arena_new();
    job.publication.before.arena = arena;
    if (good)
        job.now = (struct records){
            .arena = arena, .settings = &reading.configuration->settings, .now = line->now};
    if (line->since != NULL || line->published != NULL)
        job.before = &job.publication.before;
    if (good && line->since != NULL)
        good = records_read(job.before, line->since, reading.diag);
    else if (good && line->published != NULL)
        good = publication_open(line->published, line->commit_with != NULL, arena, reading.diag,
                                &job.publication);
    bool told = reading_tell(line, &reading);
    status = good ? run(&job, out) : STATUS_WRONG;
    /* An error may have cost a domain that is then missing here. */
    if (!told || reading_errors(&reading) > 0)
        status = STATUS_WRONG;
    records_free(&job.now);
    publication_close(&job.publication);
    arena_free(arena);
    reading_free(&reading);
    return status;
}
