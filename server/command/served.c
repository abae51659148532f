#include "command/served.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "certificates/trust.h"
#include "command/probe_options.h"
#include "probe/probe.h"

struct asking {
    struct records *records;
    struct probe_domain *domains; /* owned */
    size_t *indexes;              /* owned; of the record of each domain */
    size_t count, done;
    struct history *history; /* owned; where what the DNS says is recorded; or NULL */
    int64_t now;             /* to count with in it */
    bool is_recorded;        /* so far */
};

static const char PREFIX[] = "_mta-sts.";

static bool is_asked(const struct dns_record *record, bool is_news)
{
    return record->withheld == NULL && record->value != NULL &&
           strncmp(record->name, PREFIX, strlen(PREFIX)) == 0 && strcmp(record->type, "TXT") == 0 &&
           (!is_news || record->news != DNS_SAME);
}

/* What the record is about is not published yet, so what the DNS says of it is no reason; nor is an MX
 * that the policy lacks. */
static bool is_about_record(const struct report_finding *finding)
{
    return strncmp(finding->code, "record-", strlen("record-")) == 0 ||
           strncmp(finding->code, "mx-", strlen("mx-")) == 0;
}

/* A look-up that failed for one family leaves addresses unknown. */
static bool is_reason(const struct report_finding *finding)
{
    return !is_about_record(finding) &&
           (finding->level <= DIAG_ERROR || strcmp(finding->code, "dns-family") == 0);
}

/* An address of a family that this machine does not have says nothing about the server. */
static bool is_out_of_reach(const struct report *report, const struct report_visit *visit)
{
    const struct report_finding *finding = report_gravest(report, visit, STAGE_CONNECT);
    return visit->reached == STAGE_CONNECT && finding != NULL && finding->level == DIAG_NOTE;
}

/* Why the policy is not known to be served as it is configured, at every address; "" when it is. */
static void find_reason(const struct report *report, struct text *out)
{
    size_t served = 0;
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct report_finding *finding = &report->findings[i];
        if (!is_reason(finding))
            continue;
        text_append(out, span_of("its policy is not served yet: "));
        for (size_t k = 0; k < report->visit_count; k++)
            if ((finding->visits & 1U << k) != 0) {
                text_printf(out, "%s: ", report->visits[k].address);
                break;
            }
        text_append(out, span_of(finding->message));
        return;
    }
    for (size_t i = 0; i < report->visit_count; i++) {
        const struct report_visit *visit = &report->visits[i];
        if (visit->is_compared && visit->is_configured)
            served++;
        else if (!is_out_of_reach(report, visit)) {
            text_printf(out, "its policy is not served yet: %s does not answer with it",
                        visit->address);
            return;
        }
    }
    if (served == 0)
        text_append(out, span_of("its policy is not served yet: no address answers with it"));
}

static void take(void *context, size_t index, const struct report *report)
{
    struct asking *asking = context;
    struct text reason = {0};
    text_append(&reason, span_of(""));
    find_reason(report, &reason);
    if (reason.failed)
        asking->records->shortage = true;
    else if (reason.len > 0)
        records_withhold(asking->records, asking->indexes[index], reason.data);
    text_free(&reason);
    if (asking->history != NULL && report->is_record_known)
        asking->is_recorded = history_see(asking->history, report->domain, span_of(report->id),
                                          report->ttl, asking->now) &&
                              asking->is_recorded;
    asking->done++;
    command_show_progress(asking->done, asking->count);
}

static void tick(void *context)
{
    (void)context; /* the progress is shown when a domain is done */
}

static bool list_domains(struct asking *asking, const struct site *site, bool is_news)
{
    const struct records *records = asking->records;
    asking->domains = calloc(records->count + 1, sizeof(*asking->domains));
    asking->indexes = calloc(records->count + 1, sizeof(*asking->indexes));
    if (asking->domains == NULL || asking->indexes == NULL)
        return false;
    for (size_t i = 0; i < records->count; i++) {
        const struct dns_record *record = &records->items[i];
        const struct site_domain *domain =
            is_asked(record, is_news) ? site_find_domain(site, span_of(record->domain)) : NULL;
        if (domain == NULL)
            continue;
        asking->domains[asking->count] =
            (struct probe_domain){.name = site_name(domain), .policy = site_policy(domain)};
        asking->indexes[asking->count++] = i;
    }
    return true;
}

int served_withhold(const struct command_line *line, const struct reading *reading,
                    struct records *records, bool is_news)
{
    struct asking asking = {.records = records, .is_recorded = true};
    struct probe_options options = {0};
    int status = probe_options_read("dns", line, &options);
    if (status != STATUS_GOOD)
        goto done;
    if (line->record) {
        status = STATUS_WRONG;
        if (!reading_can_record(reading))
            goto done;
        asking.history = reading_history(line, reading, &asking.now);
        if (asking.history == NULL)
            goto done;
        status = STATUS_GOOD;
    }
    if (!list_domains(&asking, reading->configuration->site, is_news)) {
        records->shortage = true;
        goto done;
    }
    if (asking.count > 0 &&
        !probe_domains(&options.probe, asking.domains, asking.count, take, tick, &asking)) {
        (void)command_complain("cannot start processes to probe: %s", strerror(errno));
        status = STATUS_WRONG;
    } else if (asking.history != NULL &&
               !(asking.is_recorded && reading_record(reading, asking.history, asking.now))) {
        status = STATUS_WRONG;
    }
done:
    probe_options_free(&options);
    history_free(asking.history);
    free(asking.domains);
    free(asking.indexes);
    return status;
}
