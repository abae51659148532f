#include "load/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/heap.h"
#include "base/limits.h"

struct history *history_new(void)
{
    struct history *history = heap_take(1, sizeof(*history));
    history->since = history->clock = INT64_MAX;
    history->arena = arena_new();
    return history;
}

static void free_settled(struct history *history)
{
    free(history->settled);
    free(history->settled_sightings);
    free(history->domains);
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    free_settled(history);
    for (size_t i = 0; i < history->file_count; i++)
        free(history->files[i]);
    free(history->files);
    free(history->promises);
    free(history->sightings);
    arena_free(history->arena);
    free(history);
}

static int compare_spans(struct span one, struct span other)
{
    size_t len = one.len < other.len ? one.len : other.len;
    int order = len == 0 || one.data == other.data ? 0 : memcmp(one.data, other.data, len);
    return order != 0 ? order : one.len < other.len ? -1 : one.len > other.len;
}

static int compare_numbers(int64_t one, int64_t other)
{
    return one < other ? -1 : one > other;
}

/* By domain and by what makes two promises the same one; of which there are two when another server has
 * it too. */
static int compare_promises(const void *left, const void *right)
{
    const struct promise *one = left, *other = right;
    int order = one->domain == other->domain ? 0 : strcmp(one->domain, other->domain);
    if (order == 0)
        order = (int)one->is_seen - (int)other->is_seen;
    if (order == 0)
        order = compare_spans(one->id, other->id);
    if (order == 0)
        order = compare_numbers(one->mode, other->mode);
    if (order == 0)
        order = compare_numbers(one->max_age, other->max_age);
    return order == 0 ? compare_spans(one->mx, other->mx) : order;
}

static int compare_sightings(const void *left, const void *right)
{
    const struct sighting *one = left, *other = right;
    int order = one->domain == other->domain ? 0 : strcmp(one->domain, other->domain);
    if (order == 0)
        order = compare_numbers(one->first, other->first);
    if (order == 0)
        order = compare_numbers(one->last, other->last);
    return order == 0 ? compare_spans(one->id, other->id) : order;
}

/* What was written by us is in order already. */
static void sort(void *items, size_t count, size_t size,
                 int (*order)(const void *left, const void *right))
{
    const char *item = items;
    for (size_t i = 1; i < count; i++, item += size)
        if (order(item, item + size) > 0) {
            qsort(items, count, size, order);
            return;
        }
}

/* The same again widens what is there. */
static void unite(struct history *history)
{
    size_t count = 0;
    for (size_t i = 0; i < history->promise_count; i++) {
        const struct promise *promise = &history->promises[i];
        struct promise *last = count == 0 ? NULL : &history->promises[count - 1];
        if (last == NULL || compare_promises(last, promise) != 0) {
            history->promises[count++] = *promise;
            continue;
        }
        last->from = promise->from < last->from ? promise->from : last->from;
        last->until = promise->until > last->until ? promise->until : last->until;
    }
    history->promise_count = count;
    count = 0;
    for (size_t i = 0; i < history->sighting_count; i++) {
        const struct sighting *sighting = &history->sightings[i];
        struct sighting *last = count == 0 ? NULL : &history->sightings[count - 1];
        if (last == NULL || compare_sightings(last, sighting) != 0)
            history->sightings[count++] = *sighting;
        else if (sighting->ttl > last->ttl)
            last->ttl = sighting->ttl;
    }
    history->sighting_count = count;
}

/* PROMISE_OPEN is no instant, and stays as it is. */
static void meet(int64_t *instant, int64_t clock, int64_t *newest)
{
    if (*instant == PROMISE_OPEN)
        return;
    *newest = *instant > *newest ? *instant : *newest;
    *instant = *instant > clock ? clock : *instant;
}

/* Cuts every instant that was recorded to the clock. Returns the newest, as it was before. */
static int64_t meet_all(struct history *history, int64_t clock)
{
    int64_t newest = INT64_MIN;
    meet(&history->since, clock, &newest);
    for (size_t i = 0; i < history->promise_count; i++) {
        meet(&history->promises[i].from, clock, &newest);
        meet(&history->promises[i].until, clock, &newest);
    }
    for (size_t i = 0; i < history->sighting_count; i++) {
        meet(&history->sightings[i].first, clock, &newest);
        meet(&history->sightings[i].last, clock, &newest);
    }
    return newest;
}

/* Brings all instants in line with the clock. Returns the time to count with. */
static int64_t align(struct history *history, int64_t clock)
{
    int64_t newest = meet_all(history, INT64_MAX); /* cuts none */
    if (newest > clock + LIMIT_PROMISE_MARGIN)
        return newest;
    (void)meet_all(history, clock); /* now it cuts */
    return clock;
}

static void *copy(const void *items, size_t count, size_t size)
{
    void *copied = heap_take(count, size);
    if (count > 0)
        memcpy(copied, items, count * size);
    return copied;
}

/* Promises and sightings are in the order of their domains; finds which are whose, and keeps a copy. */
static void divide(struct history *history)
{
    const struct promise *promises = history->promises;
    const struct sighting *sightings = history->sightings;
    const size_t count = history->promise_count, sighting_count = history->sighting_count;
    free_settled(history);
    history->settled = copy(promises, count, sizeof(*promises));
    history->settled_sightings = copy(sightings, sighting_count, sizeof(*sightings));
    history->domains = heap_take(count + sighting_count, sizeof(*history->domains));
    history->domain_count = 0;
    for (size_t i = 0, k = 0; i < count || k < sighting_count;) {
        const char *one = i < count ? promises[i].domain : NULL;
        const char *other = k < sighting_count ? sightings[k].domain : NULL;
        const char *name = one == NULL || (other != NULL && strcmp(other, one) < 0) ? other : one;
        const size_t first = i, first_sighting = k;
        while (i < count && strcmp(promises[i].domain, name) == 0)
            i++;
        while (k < sighting_count && strcmp(sightings[k].domain, name) == 0)
            k++;
        history->domains[history->domain_count++] =
            (struct history_domain){name, first, i - first, first_sighting, k - first_sighting};
    }
}

int64_t history_settle(struct history *history, int64_t clock)
{
    sort(history->promises, history->promise_count, sizeof(struct promise), compare_promises);
    sort(history->sightings, history->sighting_count, sizeof(struct sighting), compare_sightings);
    unite(history);
    history->clock = clock;
    int64_t now = align(history, clock);
    divide(history);
    return now;
}

static int compare_domain(const void *key, const void *item)
{
    const struct history_domain *domain = item;
    return compare_spans(*(const struct span *)key, span_of(domain->name));
}

const struct history_domain *history_find(const struct history *history, struct span domain)
{
    return history->domain_count == 0 ? NULL
                                      : bsearch(&domain, history->domains, history->domain_count,
                                                sizeof(*history->domains), compare_domain);
}

struct promise_facts history_facts(const struct history *history,
                                   const struct history_domain *domain, int64_t now)
{
    struct promise_facts facts = {.now = now, .clock = now < history->clock ? now : history->clock};
    if (domain != NULL) {
        facts.promises = history->settled + domain->first;
        facts.count = domain->count;
        facts.sightings = history->settled_sightings + domain->first_sighting;
        facts.sighting_count = domain->sighting_count;
    }
    return facts;
}

/* Domains that use one policy mostly follow each other, so its texts are taken once. */
struct copied {
    const struct policy *policy;
    struct promise promise;
};

static void copy_policy(struct history *history, const struct policy *policy, struct copied *copied)
{
    struct text mx = {0};
    if (copied->policy == policy)
        return;
    for (size_t i = 0; i < policy_mx_count(policy); i++) {
        text_append(&mx, span_of(i == 0 ? "" : " "));
        text_append(&mx, policy_mx(policy, i));
    }
    const char *id = arena_copy(history->arena, span_of(policy_id(policy)));
    const char *text = arena_copy(history->arena, heap_text(&mx));
    *copied = (struct copied){policy,
                              {.mode = policy_mode(policy),
                               .max_age = policy_max_age(policy),
                               .id = span_of(id),
                               .mx = {text, mx.len},
                               .until = PROMISE_OPEN}};
    text_free(&mx);
}

static void add_served(struct history *history, const struct site_domain *domain, int64_t from,
                       struct copied *copied)
{
    copy_policy(history, site_policy(domain), copied);
    copied->promise.from = from;
    copied->promise.domain = arena_copy(history->arena, site_name_span(domain));
    *ARRAY_ADD(history->promises, history->promise_count) = copied->promise;
}

void history_assume(struct history *history, const struct site *site, int64_t from)
{
    struct copied copied = {0};
    for (size_t i = 0; i < site_count(site); i++)
        if (site_policy(site_at(site, i)) != NULL)
            add_served(history, site_at(site, i), from, &copied);
    history->since = history->since == INT64_MAX ? from : history->since;
}

/* Of the promises of the domain, which is settled, the one of the policy; or NULL. */
static struct promise *find_promise(struct history *history, const struct site_domain *domain)
{
    const struct history_domain *known = history_find(history, site_name_span(domain));
    const struct policy *policy = site_policy(domain);
    for (size_t i = 0; known != NULL && i < known->count; i++) {
        struct promise *promise = &history->promises[known->first + i];
        if (!promise->is_seen && span_equal(promise->id, span_of(policy_id(policy))) &&
            promise_has_bytes(promise, policy))
            return promise;
    }
    return NULL;
}

/* A clock that is a year ahead must not forget what is held: hence so long after the last possible day. */
static void drop_over(struct history *history, int64_t now)
{
    size_t count = 0;
    for (size_t i = 0; i < history->promise_count; i++) {
        const struct promise *promise = &history->promises[i];
        if (promise->until == PROMISE_OPEN ||
            now - LIMIT_PROMISE_KEPT - (int64_t)promise->max_age <= promise->until)
            history->promises[count++] = *promise;
    }
    history->promise_count = count;
}

void history_serve(struct history *history, const struct site *const *sites, size_t count,
                   int64_t now)
{
    struct copied copied = {0};
    const size_t known = history->promise_count;
    for (size_t i = 0; i < known; i++)
        if (history->promises[i].from > now)
            history->promises[i].from = now;
    /* Those that are served are marked; then the rest is closed. */
    bool *is_served = heap_take(known, sizeof(*is_served));
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < site_count(sites[s]); i++) {
            const struct site_domain *domain = site_at(sites[s], i);
            const struct promise *promise =
                site_policy(domain) == NULL ? NULL : find_promise(history, domain);
            if (promise != NULL)
                is_served[promise - history->promises] = true;
            else if (site_policy(domain) != NULL)
                add_served(history, domain, now, &copied);
        }
    for (size_t i = 0; i < known; i++) {
        struct promise *promise = &history->promises[i];
        if (is_served[i])
            promise->until = PROMISE_OPEN;
        else if (promise->until == PROMISE_OPEN && !promise->is_seen)
            promise->until = now;
    }
    free(is_served);
    if (history->since == INT64_MAX)
        history->since = now;
    drop_over(history, now);
    (void)history_settle(history, now); /* by the same clock */
}

void history_see(struct history *history, const char *domain, struct span id, uint32_t ttl,
                 int64_t now)
{
    const struct history_domain *known = history_find(history, span_of(domain));
    struct sighting *last = NULL;
    for (size_t i = 0; known != NULL && i < known->sighting_count; i++) {
        struct sighting *sighting = &history->sightings[known->first_sighting + i];
        if (last == NULL || sighting->last > last->last)
            last = sighting;
    }
    if (last != NULL && span_equal(last->id, id)) {
        last->last = now > last->last ? now : last->last;
        last->ttl = ttl > last->ttl ? ttl : last->ttl;
        return;
    }
    const struct sighting sighting = {.id = {arena_copy(history->arena, id), id.len},
                                      .first = now,
                                      .last = now,
                                      .ttl = ttl,
                                      .domain = arena_copy(history->arena, span_of(domain))};
    *ARRAY_ADD(history->sightings, history->sighting_count) = sighting;
}

static void add_seen(struct history *history, const char *domain, struct promise seen, int64_t now)
{
    seen.domain = arena_copy(history->arena, span_of(domain));
    seen.id.data = arena_copy(history->arena, seen.id);
    seen.mx.data = arena_copy(history->arena, seen.mx);
    seen.from = now;
    seen.until = PROMISE_OPEN;
    seen.is_seen = true;
    *ARRAY_ADD(history->promises, history->promise_count) = seen;
}

void history_see_policies(struct history *history, const char *domain, const struct promise *seen,
                          size_t count, bool is_whole, int64_t now)
{
    const struct history_domain *known = history_find(history, span_of(domain));
    const size_t first = known == NULL ? 0 : known->first,
                 end = known == NULL ? 0 : first + known->count;
    for (size_t i = first; i < end && is_whole; i++)
        if (history->promises[i].is_seen && history->promises[i].until == PROMISE_OPEN)
            history->promises[i].until = now;
    for (size_t k = 0; k < count; k++) {
        struct promise *old = NULL;
        bool is_ours = false;
        for (size_t i = first; i < end; i++) {
            struct promise *promise = &history->promises[i];
            if (promise->mode != seen[k].mode || promise->max_age != seen[k].max_age ||
                !span_equal(promise->mx, seen[k].mx))
                continue;
            is_ours = is_ours || (!promise->is_seen && promise->until == PROMISE_OPEN);
            if (promise->is_seen && span_equal(promise->id, seen[k].id))
                old = promise;
        }
        if (is_ours)
            continue;
        if (old != NULL)
            old->until = PROMISE_OPEN;
        else
            add_seen(history, domain, seen[k], now);
    }
}
