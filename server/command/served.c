#include "command/served.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "certificates/trust.h"
#include "command/probe_options.h"
#include "probe/probe.h"

/* Which records depend on the answer of a domain: TABLE_NONE for none. */
struct asked {
    size_t own, shared;
};

/* What the domains have said that share a record. */
struct agreement {
    bool is_served;   /* one of them serves its policy */
    bool is_hindered; /* one of them serves another, and sees the record */
};

struct asking {
    struct records *records;
    struct probe_domain *domains; /* owned */
    struct asked *asked;          /* owned; of each domain */
    struct agreement *agreements; /* owned; of each record */
    size_t count, done;
    struct history *history; /* owned; where what the DNS says is recorded; or NULL */
    int64_t now;             /* to count with in it */
    bool is_recorded;        /* so far */
};

static bool is_asked(const struct dns_record *record, bool is_news)
{
    return record->withheld == NULL && record->value != NULL &&
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

/* Whether the domain answers with another policy, and the DNS does not say that its record is not the
 * shared one. One that answers with none, as before it is set up, hinders no other. */
static bool hinders_others(const struct report *report, const struct dns_record *shared)
{
    bool is_other = false;
    for (size_t i = 0; i < report->visit_count; i++)
        is_other = is_other || report->visits[i].is_compared;
    return is_other && (!report->is_record_known || strcasecmp(report->alias, shared->domain) == 0);
}

/* Until the end a record that several share is withheld for the first reason, or the gravest. */
static void judge_shared(struct asking *asking, size_t index, const struct report *report,
                         const char *reason)
{
    struct text why = {0};
    const struct dns_record *record = &asking->records->items[index];
    struct agreement *agreement = &asking->agreements[index];
    bool hinders = reason[0] != '\0' && hinders_others(report, record);
    text_printf(&why, "%s: %s", report->domain, reason);
    if (why.failed)
        asking->records->shortage = true;
    else if (reason[0] != '\0' &&
             (record->withheld == NULL || (hinders && !agreement->is_hindered)))
        records_withhold(asking->records, index, why.data);
    agreement->is_served = agreement->is_served || reason[0] == '\0';
    agreement->is_hindered = agreement->is_hindered || hinders;
    text_free(&why);
}

static void take(void *context, size_t index, const struct report *report)
{
    struct asking *asking = context;
    struct text reason = {0};
    const struct asked *asked = &asking->asked[index];
    text_append(&reason, span_of(""));
    find_reason(report, &reason);
    if (reason.failed)
        asking->records->shortage = true;
    else if (reason.len > 0 && asked->own != TABLE_NONE)
        records_withhold(asking->records, asked->own, reason.data);
    if (!reason.failed && asked->shared != TABLE_NONE)
        judge_shared(asking, asked->shared, report, reason.data);
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

static bool list_domains(struct asking *asking, const struct settings *settings,
                         const struct site *site, bool is_news)
{
    const struct records *records = asking->records;
    asking->domains = calloc(site_count(site) + 1, sizeof(*asking->domains));
    asking->asked = calloc(site_count(site) + 1, sizeof(*asking->asked));
    asking->agreements = calloc(records->count + 1, sizeof(*asking->agreements));
    if (asking->domains == NULL || asking->asked == NULL || asking->agreements == NULL)
        return false;
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        size_t own = records_find(records, domain);
        size_t shared = records_find_shared(records, settings, domain);
        if (own != TABLE_NONE && !is_asked(&records->items[own], is_news))
            own = TABLE_NONE;
        if (shared != TABLE_NONE && !is_asked(&records->items[shared], is_news))
            shared = TABLE_NONE;
        if (own == TABLE_NONE && shared == TABLE_NONE)
            continue;
        asking->domains[asking->count] = (struct probe_domain){
            .name = site_name(domain),
            .policy = shared == TABLE_NONE ? site_policy(domain) : records->items[shared].policy};
        asking->asked[asking->count++] = (struct asked){own, shared};
    }
    return true;
}

/* One domain that serves the policy is enough for a record that several share, if none hinders it. */
static void release_shared(struct asking *asking)
{
    for (size_t i = 0; i < asking->records->count; i++)
        if (asking->agreements[i].is_served && !asking->agreements[i].is_hindered)
            asking->records->items[i].withheld = NULL;
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
    if (!list_domains(&asking, &reading->configuration->settings, reading->configuration->site,
                      is_news)) {
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
    release_shared(&asking);
done:
    probe_options_free(&options);
    history_free(asking.history);
    free(asking.domains);
    free(asking.asked);
    free(asking.agreements);
    return status;
}
