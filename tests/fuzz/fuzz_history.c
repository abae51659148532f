/*
 * Any bytes as the files of what was served and seen, torn or with the line that
 * makes them whole: nothing, or a history that is printed again and then reads
 * back as the same, and whose dates are in order.
 */
#include <assert.h>

#include "body.h"
#include "fuzz.h"
#include "load/history.h"

static void check_promise(const struct promise *promise, const struct promise_facts *facts)
{
    struct span rest = promise->mx, mx;
    while (promise_take_mx(&rest, &mx)) {
        assert(body_is_name(mx, true));
        assert(promise_covers(promise, mx));
        if (facts->count == 1)
            assert(promise_free(facts, mx).kind == PROMISE_NONE);
    }
    struct promise_end end = promise_end(promise, facts);
    assert(promise->from <= promise->until && end.kind != PROMISE_NONE);
    assert((end.kind == PROMISE_SERVED) <= (promise->until == PROMISE_OPEN));
    assert(end.at > (promise->until < facts->now ? promise->until : facts->now));
    if (promise->mode == POLICY_ENFORCE && end.at > facts->clock)
        assert(promise_free(facts, (struct span){0}).at >= end.at);
}

static void check_history(const struct history *history, int64_t now)
{
    for (size_t i = 0; i < history->domain_count; i++) {
        const struct history_domain *domain = &history->domains[i];
        struct promise_facts facts = history_facts(history, domain, now);
        assert(body_is_name(span_of(domain->name), false));
        assert(history_find(history, span_of(domain->name)) == domain);
        assert(facts.count + facts.sighting_count > 0);
        for (size_t k = 0; k < facts.count; k++)
            check_promise(&facts.promises[k], &facts);
    }
}

static void print(const struct history *history, struct text ret_files[static 2])
{
    history_print(history, STATE_PROMISES, &ret_files[0]);
    history_print(history, STATE_SIGHTINGS, &ret_files[1]);
}

static void check_again(const struct history *history, int64_t now)
{
    struct text files[2] = {0}, again[2] = {0};
    struct history *copy = history_new();
    assert(copy != NULL);
    print(history, files);
    /* What was only seen of other servers is in the second file alone. */
    bool is_served = history->since != INT64_MAX;
    assert(!is_served || history_take(copy, &files[0], STATE_PROMISES));
    assert(history_take(copy, &files[1], STATE_SIGHTINGS));
    text_free(&files[0]);
    assert(history_settle(copy, now) == now);
    print(history, files);
    print(copy, again);
    for (int i = 0; i < 2; i++) {
        assert(files[i].len == again[i].len);
        assert(memcmp(files[i].data, again[i].data, files[i].len) == 0);
        text_free(&files[i]);
        text_free(&again[i]);
    }
    history_free(copy);
}

/* The input behind the line that begins such a file, and before the line that ends it. */
static void complete(struct text *bytes, const struct text *whole, struct span input)
{
    text_append(bytes, span_take_line(&(struct span){whole->data, whole->len}));
    text_append(bytes, span_of("\n"));
    text_append(bytes, input);
    state_file_complete(bytes);
    assert(!bytes->failed);
}

static void check(struct span input, bool is_promises)
{
    struct history *history = history_new();
    struct text empty[2] = {0}, bytes = {0};
    const int64_t now = 1800000000;
    int64_t then;
    assert(history != NULL);
    text_append(&bytes, input);
    assert(!history_take(history, &bytes, STATE_PROMISES) &&
           !history_take(history, &bytes, STATE_SIGHTINGS));
    text_free(&bytes);
    print(history, empty);
    complete(&bytes, &empty[is_promises ? 0 : 1], input);
    bool good = is_promises ? history_take(history, &bytes, STATE_PROMISES)
                            : history_take(history, &bytes, STATE_SIGHTINGS);
    then = history_settle(history, now);
    assert(then >= now);
    assert(good || history->domain_count == 0);
    check_history(history, then);
    check_again(history, then);
    text_free(&bytes);
    text_free(&empty[0]);
    text_free(&empty[1]);
    history_free(history);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = {(const char *)data, size};
    check(input, true);
    check(input, false);
    return 0;
}
