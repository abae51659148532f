#include "import/import.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/heap.h"
#include "certificates/trust.h"
#include "policy/record.h"
#include "probe/probe_workers.h"
#include "probe/resolve.h"
#include "probe/visit.h"
#include "site/site.h"

enum { HTTPS = 443, HOST_SIZE = LIMIT_NAME + 16, POLICY = 100 };

static const char NO_DNS[] = "the DNS does not answer";

/* The fetch from one address. */
struct attempt {
    struct report report;
    struct visit_kept kept;
};

/* What comes of one host: a block with pointers to constants alone, for it is
 * shared with a child. */
struct answer_found {
    struct attempt best;    /* the one that came farthest */
    bool is_form;           /* the problem is that of the record's form */
    const char *id_problem; /* why there is no id to keep, static; NULL: there is one */
    char id[LIMIT_ID + 1];
};

struct asking {
    struct import *import;
    struct trust *trust; /* owned */
};

/* Whether there is a policy, sound or not: other pages are answers of another server. */
static bool is_policy(const struct visit_kept *kept)
{
    if (!kept->is_whole)
        return false;
    struct inspection *inspection = inspection_new((struct span){kept->body, kept->body_len}, NULL);
    bool found = inspection->fields.mode.text.data != NULL || inspection->fields.mx_count > 0;
    inspection_free(inspection);
    return found;
}

/* The gravest of what came before the policy; NULL when nothing was wrong. */
static const struct report_finding *problem_of(const struct report *report)
{
    const struct report_finding *gravest = NULL;
    for (enum stage stage = STAGE_DNS; stage <= STAGE_HTTP; stage++) {
        const struct report_finding *finding =
            stage == STAGE_CERTIFICATE ? NULL : report_gravest(report, report->visits, stage);
        if (finding != NULL && (gravest == NULL || finding->level <= gravest->level))
            gravest = finding;
    }
    return gravest;
}

/* How far a fetch came; one with a policy is the farthest. */
static int rank(const struct attempt *attempt)
{
    if (attempt->report.visit_count == 0)
        return 0;
    return is_policy(&attempt->kept) ? POLICY
           : attempt->kept.is_whole  ? POLICY - 1
                                     : 1 + (int)attempt->report.visits[0].reached;
}

/* Asks one address, unless another has answered with a policy. */
static void visit(const struct asking *asking, const char *host, const struct address *address,
                  int64_t end_us, struct answer_found *found)
{
    int64_t now_us = clock_monotonic_us();
    int64_t until_us = now_us + LIMIT_IMPORT_FETCH_MS * INT64_C(1000);
    if (now_us >= end_us || rank(&found->best) == POLICY)
        return;
    struct attempt *next = heap_take(1, sizeof(*next));
    struct visit visited = {
        .address = address,
        .host = host,
        .trust = asking->trust,
        .now = asking->import->line->now,
        .warning = VERDICT_WARNING_DEFAULT,
        .deadline_us = until_us < end_us ? until_us : end_us,
        .kept = &next->kept,
    };
    report_begin(&next->report, found->best.report.domain);
    visit_run(&visited, &next->report);
    if (rank(next) > rank(&found->best))
        found->best = *next;
    free(next);
}

static void ask_policy(const struct asking *asking, const char *domain, struct answer_found *found)
{
    static const char *const here[] = {"127.0.0.1:443", "[::1]:443"};
    struct resolve_host addresses = {.count = 0};
    struct dns_lookup lookups[2] = {0};
    struct address local;
    char host[HOST_SIZE];
    int64_t end_us = clock_monotonic_us() + (int64_t)LIMIT_IMPORT_HOST_MS * 1000;
    (void)snprintf(host, sizeof(host), "mta-sts.%s", domain); /* it fits */
    const struct address *connect = asking->import->line->connect;
    if (connect != NULL) {
        visit(asking, host, connect, end_us, found);
        return;
    }
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
        if (address_parse(span_of(here[i]), &local))
            visit(asking, host, &local, end_us, found);
    if (rank(&found->best) < POLICY)
        resolve_host(host, HTTPS, lookups, 2,
                     clock_monotonic_us() + LIMIT_IMPORT_FETCH_MS * INT64_C(1000), &addresses);
    dns_lookup_free(&lookups[0]);
    dns_lookup_free(&lookups[1]);
    for (size_t i = 0; i < addresses.count; i++) /* else what this machine answers is told */
        visit(asking, host, &addresses.addresses[i], end_us, found);
}

static void ask_id(const char *domain, struct answer_found *found)
{
    char name[HOST_SIZE];
    size_t records = 0;
    (void)snprintf(name, sizeof(name), "_mta-sts.%s", domain); /* it fits */
    struct dns_lookup txt = {.name = name, .type = ns_t_txt};
    resolve_ask(&txt, 1, clock_monotonic_us() + LIMIT_IMPORT_FETCH_MS * INT64_C(1000));
    found->id_problem = txt.outcome.result == DNS_DONE || txt.outcome.result == DNS_NONE
                            ? "none was found"
                            : NO_DNS;
    for (size_t i = 0; i < txt.count; i++) {
        struct record record;
        record_read((struct span){txt.values[i].data, txt.values[i].len}, &record);
        if (record.form == RECORD_OTHER)
            continue;
        found->is_form = ++records == 1 && record.id.data == NULL;
        found->id_problem = found->is_form ? record_form_text(record.form)
                            : records > 1  ? "there are several"
                                           : NULL;
        (void)snprintf(found->id, sizeof(found->id), "%.*s", (int)record.id.len,
                       record.id.data == NULL ? "" : record.id.data); /* an id fits */
    }
    dns_lookup_free(&txt);
}

static bool is_asked(const struct import_host *host)
{
    return host->file == NULL && host->sure > IMPORT_MENTIONED;
}

static void run(void *context, size_t index, void *result)
{
    const struct asking *asking = context;
    const struct import_host *host = &asking->import->hosts[index];
    struct answer_found *found = result;
    report_begin(&found->best.report, host->domain);
    if (is_asked(host))
        ask_policy(asking, host->domain, found);
    if (asking->import->line->keep_id && host->sure > IMPORT_MENTIONED)
        ask_id(host->domain, found);
}

/* Nothing counts of what a process found that did not end by itself. */
static void lose(void *context, size_t index, void *result, bool is_late, int signal)
{
    (void)context, (void)index, (void)signal; /* whatever it was */
    struct answer_found *found = result;
    memset(found, 0, sizeof(*found));
    found->id_problem = NO_DNS;
    report_add(&found->best.report, FAULT_INTERNAL, "%s",
               is_late ? "the answer takes too long"
                       : "the process that fetched the policy crashed");
}

static struct span keep(struct import *import, const char *bytes, size_t len)
{
    return (struct span){arena_copy(import->arena, (struct span){bytes, len}), len};
}

/* Why the host is left out. */
static void report_problem(struct import *import, struct import_host *host,
                           const struct report *report)
{
    const struct report_finding *finding = problem_of(report);
    const char *from = report->visit_count == 0
                           ? ""
                           : arena_printf(import->arena, " (%s)", report->visits[0].address);
    host->problem =
        arena_printf(import->arena, "%s%s",
                     finding == NULL ? "the answer is no policy" : finding->message, from);
    diag_add(import->diag, host->sure == IMPORT_NAMED ? DIAG_ERROR : DIAG_NOTE, host->at,
             "mta-sts.%s has no policy: %s", host->domain, host->problem);
    if (finding != NULL && finding->senders != NULL)
        diag_reason(import->diag, "%s", finding->senders);
    if (host->sure == IMPORT_NAMED)
        diag_hint(import->diag,
                  "import it from a file, %s=FILE, or with --connect ADDRESS from "
                  "the server that has it",
                  host->domain);
}

static void keep_id(struct import *import, struct import_host *host,
                    const struct answer_found *found)
{
    const char *problem = found->id_problem;
    if (problem == NULL && host->inspection->changes_meaning)
        problem = "the corrections change what the policy means";
    if (problem == NULL) {
        host->id = arena_printf(import->arena, "%s", found->id);
        return;
    }
    diag_add(import->diag, DIAG_WARNING, host->at, "%s: its id is not kept: %s%s", host->domain,
             found->is_form ? "the record " : "", problem);
    diag_hint(import->diag,
              "publish the new one after the change: \"mta-sts-httpd dns\" prints it");
}

static void take(void *context, size_t index, const void *result)
{
    const struct asking *asking = context;
    struct import *import = asking->import;
    struct import_host *host = &import->hosts[index];
    const struct answer_found *found = result;
    const struct attempt *best = &found->best;
    bool is_wanted = host->sure == IMPORT_NAMED ? best->kept.is_whole : rank(best) == POLICY;
    if (is_asked(host) && is_wanted) {
        host->address = arena_printf(import->arena, "%s", best->report.visits[0].address);
        host->bytes = keep(import, best->kept.body, best->kept.body_len);
        if (best->kept.leaf_len > 0)
            host->leaf = keep(import, best->kept.leaf, best->kept.leaf_len);
        for (size_t i = 0; i < best->report.finding_count; i++) {
            const struct report_finding *finding = &best->report.findings[i];
            if (finding->stage != STAGE_CERTIFICATE || finding->level == DIAG_NOTE)
                continue;
            diag_add(import->diag, DIAG_WARNING, host->at, "mta-sts.%s: %s", host->domain,
                     finding->message);
            if (finding->senders != NULL)
                diag_reason(import->diag, "%s", finding->senders);
            if (finding->fix[0] != '\0')
                diag_hint(import->diag, "%s", finding->fix);
        }
        import_inspect(import, host,
                       arena_printf(import->arena, "https://mta-sts.%s/.well-known/mta-sts.txt",
                                    host->domain));
    } else if (is_asked(host)) {
        report_problem(import, host, &best->report);
    }
    if (import->line->keep_id && host->policy != NULL)
        keep_id(import, host, found);
}

void import_ask(struct import *import)
{
    bool is_needed = import->line->keep_id;
    for (size_t i = 0; i < import->count; i++)
        is_needed = is_needed || is_asked(&import->hosts[i]);
    if (!is_needed)
        return;
    struct diag *told = diag_new(); /* that there are no authorities shows in every certificate */
    struct asking asking = {import, trust_new(NULL, told)};
    const struct probe_jobs jobs = {
        .count = import->count,
        .result_size = sizeof(struct answer_found),
        .timeout_ms = LIMIT_IMPORT_HOST_MS + 2 * LIMIT_IMPORT_FETCH_MS + LIMIT_PROBE_GRACE_MS,
        .run = run,
        .lost = lose,
        .done = take,
        .context = &asking,
    };
    if (!probe_workers_run(&jobs))
        diag_add(import->diag, DIAG_FATAL, (struct position){.file = "mta-sts-httpd"},
                 "cannot start processes to ask: %s", strerror(errno));
    trust_free(asking.trust);
    diag_free(told);
}
