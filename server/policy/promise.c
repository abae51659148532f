#include "policy/promise.h"

#include "base/limits.h"
#include "policy/name.h"

/* mimecast holds an enforced policy that long at least. */
static int64_t lifetime(const struct promise *promise)
{
    bool is_raised = promise->mode == POLICY_ENFORCE && promise->max_age < LIMIT_MAX_AGE_ADVISED;
    return is_raised ? LIMIT_MAX_AGE_ADVISED : (int64_t)promise->max_age;
}

/* The first instant by which the id is known to have left the DNS. A look that is later than the last
 * sight of it has not found it. */
static int64_t gone_by(const struct promise_facts *facts, const struct sighting *sighting)
{
    int64_t by = PROMISE_OPEN;
    for (size_t i = 0; i < facts->sighting_count; i++) {
        const struct sighting *other = &facts->sightings[i];
        if (span_equal(other->id, sighting->id) || other->last <= sighting->last)
            continue;
        int64_t look = other->first >= sighting->last ? other->first : other->last;
        by = look < by ? look : by;
    }
    return by;
}

/* The last look before the id was seen: it may have appeared right after. */
static int64_t not_before(const struct promise_facts *facts, const struct sighting *sighting)
{
    int64_t look = INT64_MIN;
    for (size_t i = 0; i < facts->sighting_count; i++) {
        const struct sighting *other = &facts->sightings[i];
        int64_t last = other->last <= sighting->first ? other->last : other->first;
        if (other != sighting && last <= sighting->first && last > look)
            look = last;
    }
    return look;
}

static void outweigh(struct promise_end *end, enum promise_kind kind, int64_t at)
{
    end->kind = kind > end->kind ? kind : end->kind;
    end->at = at > end->at ? at : end->at;
}

/* Whether the id is that of a policy which was served after this one began, and no look has found it before
 * that policy was served: then nothing speaks for it that it was published too early. */
static bool is_in_order(const struct promise *promise, const struct promise_facts *facts,
                        const struct sighting *sighting)
{
    for (size_t i = 0; i < facts->count; i++) {
        const struct promise *own = &facts->promises[i];
        if (span_equal(own->id, sighting->id) && own->from > promise->from &&
            own->from <= sighting->first)
            return true;
    }
    return false;
}

/* The senders that saw this id when they fetched the policy: they hold it for its lifetime from the
 * instant when the id was visible last. */
static void add_pair(struct promise_end *end, const struct promise *promise,
                     const struct promise_facts *facts, const struct sighting *sighting)
{
    int64_t until = promise->until < facts->now ? promise->until : facts->now;
    int64_t ttl = sighting->ttl > facts->ttl ? sighting->ttl : facts->ttl;
    int64_t gone = gone_by(facts, sighting);
    int64_t before = not_before(facts, sighting);
    bool is_gone = gone != PROMISE_OPEN;
    /* What is looked at right after a load is looked at when the policy is served no more. */
    if ((before != INT64_MIN && before + LIMIT_SWITCH >= until) ||
        (is_gone && gone + ttl < promise->from))
        return;
    if (!is_gone && ((before == INT64_MIN && sighting->first > until) ||
                     is_in_order(promise, facts, sighting))) {
        outweigh(end, PROMISE_UNKNOWN, 0); /* nobody has looked between the two policies */
        return;
    }
    /* Without a record there is nothing to renew by, but one may have been there between two looks. */
    if (sighting->id.len == 0 && !is_gone) {
        if (until > sighting->last)
            outweigh(end, PROMISE_UNKNOWN, 0);
        gone = sighting->last;
        is_gone = true;
    }
    outweigh(end, PROMISE_DATED, (is_gone ? gone : facts->now) + ttl + lifetime(promise));
    if (!is_gone && end->kind < PROMISE_RENEWED && promise->until != PROMISE_OPEN) {
        end->kind = PROMISE_RENEWED;
        end->id = sighting->id;
    }
}

struct promise_end promise_end(const struct promise *promise, const struct promise_facts *facts)
{
    bool is_open = promise->until == PROMISE_OPEN;
    int64_t until = promise->until < facts->now ? promise->until : facts->now;
    struct promise_end end = {is_open ? PROMISE_SERVED : PROMISE_DATED,
                              until + LIMIT_FETCH_TIME + lifetime(promise),
                              {0}};
    if (facts->sighting_count == 0 && !is_open)
        end.kind = PROMISE_UNKNOWN;
    if (is_open)
        outweigh(&end, PROMISE_SERVED, facts->now + facts->ttl + lifetime(promise));
    for (size_t i = 0; i < facts->sighting_count; i++)
        add_pair(&end, promise, facts, &facts->sightings[i]);
    end.at += LIMIT_PROMISE_MARGIN;
    return end;
}

bool promise_is_held(const struct promise *promise, const struct promise_facts *facts,
                     struct promise_end *ret_end)
{
    *ret_end = promise_end(promise, facts);
    return ret_end->kind != PROMISE_DATED || ret_end->at > facts->clock;
}

bool promise_take_mx(struct span *rest, struct span *ret_pattern)
{
    (void)span_take(rest, ' ', ret_pattern); /* the last has none behind it */
    return ret_pattern->len > 0;
}

bool promise_has_bytes(const struct promise *promise, const struct policy *policy)
{
    struct span rest = promise->mx, mx;
    if (promise->mode != policy_mode(policy) || promise->max_age != policy_max_age(policy))
        return false;
    for (size_t i = 0; i < policy_mx_count(policy); i++)
        if (!promise_take_mx(&rest, &mx) || !span_equal(mx, policy_mx(policy, i)))
            return false;
    return rest.len == 0;
}

bool promise_covers(const struct promise *promise, struct span host)
{
    struct span rest = promise->mx, pattern;
    while (promise_take_mx(&rest, &pattern))
        if (name_matches(pattern, host))
            return true;
    return false;
}

struct promise_end promise_free(const struct promise_facts *facts, struct span host)
{
    struct promise_end free = {0};
    for (size_t i = 0; i < facts->count; i++) {
        const struct promise *promise = &facts->promises[i];
        if (promise->mode != POLICY_ENFORCE || (host.data != NULL && promise_covers(promise, host)))
            continue;
        struct promise_end end;
        if (!promise_is_held(promise, facts, &end))
            continue;
        if (end.kind > free.kind)
            free.id = end.id;
        outweigh(&free, end.kind, end.at);
    }
    return free;
}
