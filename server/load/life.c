#include "load/configuration.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/text.h"
#include "policy/name.h"

/* A policy that is judged, and what is known of its domain. */
struct subject {
    const char *domain;
    const struct policy *policy;
    struct promise_facts facts;
    struct position at;
    struct diag *diag; /* borrowed */
};

/* "until ...", with all that is not sure. */
struct until {
    char text[96];
};

static struct until until_text(const struct promise_end *end)
{
    struct until until;
    const struct calendar_text at = calendar_iso_time(end->at);
    if (end->kind == PROMISE_RENEWED)
        (void)snprintf(until.text, sizeof(until.text),
                       "until %s at the earliest, and while id %.*s is in the DNS", at.text,
                       (int)end->id.len, end->id.data); /* an id is at most LIMIT_ID long */
    else
        (void)snprintf(until.text, sizeof(until.text), "until %s%s", at.text,
                       end->kind == PROMISE_DATED ? "" : " at the earliest");
    return until;
}

static bool has_id(const struct promise *promise, const struct policy *policy)
{
    return span_equal(promise->id, span_of(policy_id(policy)));
}

/* Whether the policy accepts the host, or each host of the pattern. */
static bool covers(const struct policy *policy, struct span host)
{
    for (size_t i = 0; i < policy_mx_count(policy); i++)
        if (name_matches(policy_mx(policy, i), host))
            return true;
    return false;
}

static bool judge_id(const struct subject *subject)
{
    for (size_t i = 0; i < subject->facts.count; i++) {
        const struct promise *promise = &subject->facts.promises[i];
        if (!has_id(promise, subject->policy) || promise_has_bytes(promise, subject->policy))
            continue;
        diag_add(subject->diag, DIAG_ERROR, subject->at,
                 "id \"%s\" of domain \"%s\" has named another policy before",
                 policy_id(subject->policy), subject->domain);
        diag_reason(subject->diag, "senders that know the id do not fetch the policy again, and "
                                   "many renew the other one as long as the DNS has it");
        diag_hint(subject->diag, "leave id out, or write another one at each change");
        return false;
    }
    return true;
}

static bool is_known(const struct promise_facts *facts, struct span id)
{
    for (size_t i = 0; i < facts->count; i++)
        if (span_equal(facts->promises[i].id, id))
            return true;
    for (size_t i = 0; i < facts->sighting_count; i++)
        if (span_equal(facts->sightings[i].id, id))
            return true;
    return false;
}

/* 18 digits that are none of the ids of the domain, and the same at each run. */
static uint64_t propose_id(const struct subject *subject, const struct promise *back)
{
    const uint64_t least = UINT64_C(100000000000000000);
    char digits[LIMIT_ID_DIGITS + 3] = "";
    struct text seed = {0};
    uint64_t id = 0;
    for (uint64_t attempt = 0; attempt == 0 || is_known(&subject->facts, span_of(digits));
         attempt++) {
        seed.len = 0;
        text_append(&seed, policy_body(subject->policy));
        text_printf(&seed, "%" PRId64 " %" PRIu64, back->from, attempt);
        id = least + span_hash(heap_text(&seed)) % (9 * least);
        (void)snprintf(digits, sizeof(digits), "%" PRIu64, id); /* 18 digits */
    }
    text_free(&seed);
    return id;
}

/* A policy that was served before another one is back under its own id. */
static void judge_return(const struct subject *subject)
{
    const struct promise *back = NULL, *other = NULL;
    for (size_t i = 0; i < subject->facts.count; i++) {
        const struct promise *promise = &subject->facts.promises[i];
        if (has_id(promise, subject->policy))
            back = promise; /* the bytes are the same, as was judged before */
    }
    for (size_t i = 0; back != NULL && i < subject->facts.count; i++) {
        const struct promise *promise = &subject->facts.promises[i];
        if (promise->from > back->from && !promise_has_bytes(promise, subject->policy))
            other = promise;
    }
    if (other == NULL)
        return;
    diag_add(subject->diag, DIAG_WARNING, subject->at,
             "domain \"%s\" has the policy of %s again, and its id", subject->domain,
             calendar_day(back->from).text);
    diag_reason(subject->diag, "senders that fetched another policy meanwhile and saw this id with "
                               "it go on with that one as long as the DNS has the id");
    diag_hint(subject->diag, "write id: \"%" PRIu64 "\"", propose_id(subject, back));
}

/* The first host that is to be MX and that the enforced policy, which senders may hold, does not name, and how
 * many there are. None when all of its hosts are still there: then mail goes to these. */
static size_t find_refused(const struct subject *subject, const struct promise *promise,
                           struct span *ret_refused)
{
    struct span rest = promise->mx, mx;
    size_t count = 0, dropped = 0;
    while (promise_take_mx(&rest, &mx))
        dropped += covers(subject->policy, mx) ? 0 : 1;
    for (size_t i = 0; dropped > 0 && i < policy_mx_count(subject->policy); i++)
        if (!promise_covers(promise, policy_mx(subject->policy, i)))
            *ret_refused = count++ == 0 ? policy_mx(subject->policy, i) : *ret_refused;
    return count;
}

/* Of the policies that refuse a host, the one that is held longest. */
static void judge_mx(const struct subject *subject)
{
    const struct promise *longest = NULL;
    struct promise_end last = {0};
    struct span refused = {0};
    char more[32] = "";
    for (size_t i = 0; i < subject->facts.count; i++) {
        const struct promise *promise = &subject->facts.promises[i];
        struct promise_end end;
        if (promise->mode != POLICY_ENFORCE || !promise_is_held(promise, &subject->facts, &end) ||
            (longest != NULL &&
             (end.kind < last.kind || (end.kind == last.kind && end.at <= last.at))))
            continue;
        size_t count = find_refused(subject, promise, &refused);
        if (count == 0)
            continue;
        longest = promise;
        last = end;
        more[0] = '\0';
        if (count > 1)
            (void)snprintf(more, sizeof(more), " and %zu more", count - 1);
    }
    if (longest == NULL)
        return;
    diag_add(subject->diag, DIAG_WARNING, subject->at,
             "domain \"%s\": senders may refuse mail to %.*s%s %s", subject->domain,
             (int)refused.len, refused.data, more, until_text(&last).text);
    diag_reason(subject->diag,
                "the enforced policy with id %.*s, which they may hold, does not "
                "name it",
                (int)longest->id.len, longest->id.data);
    diag_hint(subject->diag,
              "list the former mx as well, and leave its MX record, until then: "
              "\"mta-sts-httpd list --held %s\"",
              subject->domain);
}

/* Whether the domain is known to be served for less than a month. */
static bool is_young(const struct subject *subject, int64_t since)
{
    int64_t first = subject->facts.now;
    for (size_t i = 0; i < subject->facts.count; i++)
        if (subject->facts.promises[i].from < first)
            first = subject->facts.promises[i].from;
    return since != INT64_MAX && first > subject->facts.now - LIMIT_TRIAL &&
           (first > since || subject->facts.count == 0);
}

static void judge_max_age(const struct subject *subject, int64_t since)
{
    uint32_t max_age = policy_max_age(subject->policy);
    if (max_age == LIMIT_MAX_AGE_MOST) {
        diag_add(subject->diag, DIAG_WARNING, subject->at,
                 "domain \"%s\": max_age %d is one day to some senders", subject->domain,
                 LIMIT_MAX_AGE_MOST);
        diag_reason(subject->diag, "Stalwart takes exactly this number for an unset one");
        diag_hint(subject->diag, "write 52w or less");
    } else if (policy_mode(subject->policy) == POLICY_ENFORCE && max_age > LIMIT_MAX_AGE_TRIAL &&
               is_young(subject, since)) {
        diag_add(subject->diag, DIAG_WARNING, subject->at,
                 "domain \"%s\": max_age %" PRIu32 " is above four weeks in its first month",
                 subject->domain, max_age);
        diag_reason(subject->diag, "a mistake is held that long, whatever is served later");
        diag_hint(subject->diag, "write 2w until the policy has proven itself");
    }
}

static void judge_mode(const struct subject *subject)
{
    struct promise_end free = promise_free(&subject->facts, (struct span){0});
    if (policy_mode(subject->policy) == POLICY_ENFORCE || free.kind == PROMISE_NONE)
        return;
    diag_add(subject->diag, DIAG_NOTE, subject->at,
             "domain \"%s\" is not enforced any more, but senders may enforce it %s",
             subject->domain, until_text(&free).text);
    diag_reason(subject->diag, "they may hold a policy that was served before");
    diag_hint(subject->diag, "keep the mx and the certificates of its hosts valid until then");
}

/* Since when it is in testing, without another mode in between; INT64_MAX when it is not known to be. */
static int64_t testing_since(const struct subject *subject)
{
    int64_t first = INT64_MAX, other = INT64_MIN;
    for (size_t i = 0; i < subject->facts.count; i++) {
        const struct promise *promise = &subject->facts.promises[i];
        if (promise->mode != POLICY_TESTING && promise->until > other)
            other = promise->until;
    }
    for (size_t i = 0; i < subject->facts.count; i++) {
        const struct promise *promise = &subject->facts.promises[i];
        if (promise->mode == POLICY_TESTING && promise->from >= other && promise->from < first)
            first = promise->from;
    }
    return first;
}

/* Whether it has been in testing for more than a month. */
static bool judge_testing(const struct subject *subject)
{
    int64_t since = testing_since(subject);
    if (policy_mode(subject->policy) != POLICY_TESTING || since == INT64_MAX ||
        since > subject->facts.now - LIMIT_TRIAL)
        return false;
    diag_add(subject->diag, DIAG_NOTE, subject->at, "domain \"%s\" has been in testing since %s",
             subject->domain, calendar_day(since).text);
    diag_reason(subject->diag, "a policy that is tested protects no mail");
    diag_hint(subject->diag, "write \"mode: enforce\" when the reports (tls_rpt) show no failure");
    return true;
}

static struct promise_facts facts_of(const struct life *life, const char *domain)
{
    struct promise_facts facts =
        history_facts(life->history, history_find(life->history, span_of(domain)), life->now);
    facts.ttl = life->ttl;
    return facts;
}

static size_t count_findings(const struct diag *diag)
{
    return diag_count(diag, DIAG_ERROR) + diag_count(diag, DIAG_WARNING);
}

bool life_judge(struct life *life, const char *domain, const struct policy *policy,
                struct position at, struct diag *diag)
{
    const struct subject subject = {domain, policy, facts_of(life, domain), at, diag};
    const size_t before = count_findings(diag);
    bool good = judge_id(&subject);
    if (good) {
        judge_return(&subject);
        judge_mx(&subject);
        judge_max_age(&subject, life->history->since);
        judge_mode(&subject);
        life->tested_long += judge_testing(&subject) ? 1 : 0;
    }
    life->findings += count_findings(diag) > before ? 1 : 0;
    return good;
}

void life_judge_gone(struct life *life, const struct site *site, struct position at,
                     struct diag *diag)
{
    for (size_t i = 0; i < life->history->domain_count; i++) {
        const struct history_domain *domain = &life->history->domains[i];
        struct promise_facts facts = facts_of(life, domain->name);
        struct promise_end free = promise_free(&facts, (struct span){0});
        if (free.kind == PROMISE_NONE || site_find_domain(site, span_of(domain->name)) != NULL)
            continue;
        life->findings++;
        diag_add(diag, DIAG_WARNING, at,
                 "domain \"%s\" is gone, and senders may still hold its enforced policy",
                 domain->name);
        diag_subject(diag, "%s", domain->name);
        diag_reason(diag, "they go on with it for its max_age, and renew it while the DNS has its "
                          "TXT record");
        diag_hint(diag, "configure it with mode none and max_age 1d until \"mta-sts-httpd list "
                        "--held\" tells that it is free; then remove the TXT record, and then the "
                        "domain");
    }
}
