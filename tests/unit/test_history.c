/* The record of what was served and seen: what it says is what was recorded, in every order. */
#include "load/history.h"
#include "site/site_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/calendar.h"
#include "unit.h"

enum { DAY = 86400, NOW = 1800000000 };

static struct policy *policy_of(const char *mode, const char *id, const char *mx, struct diag *diag)
{
    const struct field field = {span_of(mx), {"f", 1, 1}};
    const struct policy_fields fields = {
        .mode = {span_of(mode), {"f", 1, 1}},
        .max_age = {span_of("2w"), {"f", 1, 1}},
        .id = {span_of(id), {"f", 1, 1}},
        .mx = &field,
        .mx_count = 1,
        .mx_key = field,
    };
    struct policy *policy = policy_new(&fields, diag);
    assert_non_null(policy);
    return policy;
}

/* A site of one or two domains, whose policies differ by id and mx; a letter "-" is no domain. */
static struct site *site_of(const char *letters)
{
    static const char *const names[] = {"a.example", "b.example"};
    struct diag *diag = diag_new();
    struct site_builder *builder = site_builder_new(-1);
    assert_non_null(builder);
    for (size_t i = 0; letters[i] != '\0'; i++) {
        if (letters[i] == '-')
            continue;
        const char id[] = {letters[i], '\0'};
        char mx[] = "mx0.example";
        mx[2] = letters[i];
        struct policy *policy = policy_of("enforce", id, mx, diag);
        site_builder_add(builder, &(struct site_fields){.name = span_of(names[i]),
                                                        .policy = policy,
                                                        .at = {.file = "f"}});
        policy_free(policy);
    }
    struct site *site = site_builder_finish(builder);
    assert_non_null(site);
    diag_free(diag);
    return site;
}

static void serve(struct history *history, const char *letters, int64_t now)
{
    struct site *site = site_of(letters);
    history_serve(history, (const struct site *const[]){site}, 1, now);
    site_free(site);
}

/* All that is in it, as text; owned. */
static char *print(const struct history *history)
{
    struct text out = {0};
    history_print(history, STATE_PROMISES, &out);
    history_print(history, STATE_SIGHTINGS, &out);
    return out.data;
}

static void check_promise(const struct history *history, const char *domain, const char *id,
                          int64_t from, int64_t until)
{
    const struct history_domain *known = history_find(history, span_of(domain));
    assert_non_null(known);
    struct promise_facts facts = history_facts(history, known, NOW);
    for (size_t i = 0; i < facts.count; i++)
        if (span_equal(facts.promises[i].id, span_of(id))) {
            assert_int_equal(facts.promises[i].from, from);
            assert_int_equal(facts.promises[i].until, until);
            return;
        }
    fail_msg("%s has no %s", domain, id);
}

static void what_is_served_is_recorded(void **state)
{
    (void)state;
    struct history *history = history_new();
    assert_true(history->since == INT64_MAX);
    serve(history, "11", NOW);
    serve(history, "12", NOW + 10);
    serve(history, "-2", NOW + 20);
    serve(history, "11", NOW + 30);
    assert_true(history->since == NOW);
    assert_int_equal(history->domain_count, 2);
    check_promise(history, "a.example", "1", NOW, PROMISE_OPEN);
    check_promise(history, "b.example", "1", NOW, PROMISE_OPEN);
    check_promise(history, "b.example", "2", NOW + 10, NOW + 30);
    history_free(history);
}

static void both_generations_are_served_in_between(void **state)
{
    (void)state;
    struct history *history = history_new();
    struct site *old = site_of("1"), *new = site_of("2");
    serve(history, "1", NOW);
    history_serve(history, (const struct site *const[]){new, old}, 2, NOW + 10);
    check_promise(history, "a.example", "1", NOW, PROMISE_OPEN);
    check_promise(history, "a.example", "2", NOW + 10, PROMISE_OPEN);
    history_serve(history, (const struct site *const[]){new}, 1, NOW + 25);
    check_promise(history, "a.example", "1", NOW, NOW + 25);
    check_promise(history, "a.example", "2", NOW + 10, PROMISE_OPEN);
    site_free(old);
    site_free(new);
    history_free(history);
}

static void what_is_printed_reads_back(void **state)
{
    (void)state;
    struct history *one = history_new(), *other = history_new();
    serve(one, "12", NOW);
    serve(one, "21", NOW + DAY);
    history_see(one, "a.example", span_of("1"), 60, NOW + DAY);
    history_see(one, "c.example", (struct span){0}, 0, NOW + DAY);
    assert_true(history_settle(one, NOW + DAY) == NOW + DAY);
    history_see(one, "a.example", span_of("1"), 3600, NOW + 2 * DAY);
    history_see(one, "a.example", span_of("2"), 60, NOW + 3 * DAY);
    assert_true(history_settle(one, NOW + 3 * DAY) == NOW + 3 * DAY);
    struct text promises = {0}, sightings = {0};
    history_print(one, STATE_PROMISES, &promises);
    history_print(one, STATE_SIGHTINGS, &sightings);
    assert_true(history_take(other, &promises, STATE_PROMISES) &&
                history_take(other, &sightings, STATE_SIGHTINGS));
    assert_true(history_settle(other, NOW + 3 * DAY) == NOW + 3 * DAY);
    char *first = print(one), *second = print(other);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "\nserved b.example "));
    assert_non_null(strstr(
        first,
        "\nseen a.example 1 2027-01-16T08:00:00Z 2027-01-17T08:00:00Z 3600\nseen a.example 2 "));
    free(first);
    free(second);
    history_free(one);
    history_free(other);
}

/* A look that finds policies, each with the letter of its id and that of its mx. */
static void see(struct history *history, const char *words, bool is_whole, int64_t at)
{
    static const char *const names[] = {"mx1.example", "mx2.example", "mx3.example"};
    struct promise seen[4];
    size_t count = strlen(words) / 2;
    for (size_t i = 0; i < count; i++)
        seen[i] = (struct promise){.mode = POLICY_ENFORCE,
                                   .max_age = 14 * DAY,
                                   .id = {words + 2 * i, 1},
                                   .mx = span_of(names[words[2 * i + 1] - '1'])};
    history_see_policies(history, "a.example", seen, count, is_whole, at);
    (void)history_settle(history, at);
}

static void replicas_merge_in_every_order(void **state)
{
    (void)state;
    static const size_t orders[][4] = {{0, 1, 2, 2}, {0, 2, 1, 0}, {1, 0, 2, 1},
                                       {1, 2, 0, 0}, {2, 0, 1, 2}, {2, 1, 0, 1}};
    struct text files[3][2] = {0};
    char *wanted = NULL;
    for (size_t i = 0; i < 3; i++) {
        struct history *history = history_new();
        serve(history, i == 0 ? "11" : "12", NOW + (int64_t)i);
        serve(history, i == 1 ? "12" : "21", NOW + DAY - (int64_t)i);
        history_see(history, "a.example", span_of(i == 2 ? "2" : "1"), (uint32_t)(60 * i),
                    NOW + (int64_t)i);
        see(history, i == 0 ? "x3" : "y3", true, NOW + (int64_t)i);
        see(history, i == 2 ? "" : "y3", true, NOW + DAY - (int64_t)i);
        (void)history_settle(history, NOW + DAY);
        history_print(history, STATE_PROMISES, &files[i][0]);
        history_print(history, STATE_SIGHTINGS, &files[i][1]);
        history_free(history);
    }
    for (size_t k = 0; k < COUNT(orders); k++) {
        struct history *merged = history_new();
        for (size_t i = 0; i < 4; i++) {
            struct text promises = {0}, sightings = {0};
            const struct text *file = files[orders[k][i]];
            text_append(&promises, (struct span){file[0].data, file[0].len});
            text_append(&sightings, (struct span){file[1].data, file[1].len});
            assert_true(history_take(merged, &promises, STATE_PROMISES) &&
                        history_take(merged, &sightings, STATE_SIGHTINGS));
        }
        (void)history_settle(merged, NOW + DAY);
        check_promise(merged, "a.example", "1", NOW, PROMISE_OPEN); /* the second still serves it */
        check_promise(merged, "b.example", "1", NOW, PROMISE_OPEN);
        check_promise(merged, "b.example", "2", NOW + 1, PROMISE_OPEN);
        check_promise(merged, "a.example", "x", NOW, NOW + DAY);
        check_promise(merged, "a.example", "y", NOW + 1, PROMISE_OPEN); /* one sees it still */
        assert_true(merged->since == NOW + 2);
        char *text = print(merged);
        if (wanted == NULL)
            wanted = text;
        else
            assert_string_equal(text, wanted);
        if (text != wanted)
            free(text);
        history_free(merged);
    }
    free(wanted);
    for (size_t i = 0; i < 6; i++)
        text_free(&files[i / 2][i % 2]);
}

static void clock_that_is_wrong_shortens_nothing(void **state)
{
    (void)state;
    struct history *history = history_new();
    int64_t now = 0;
    serve(history, "1", NOW);
    history_see(history, "a.example", span_of("1"), 60, NOW + 10 * DAY - 60);
    serve(history, "2", NOW + 10 * DAY);
    history_see(history, "a.example", span_of("2"), 60, NOW + 10 * DAY);
    /* Set back by a day: the newest stamp counts. */
    now = history_settle(history, NOW + 9 * DAY);
    assert_true(now == NOW + 10 * DAY);
    check_promise(history, "a.example", "1", NOW, NOW + 10 * DAY);
    /* A minute behind is no fault, and costs less than the margin. */
    now = history_settle(history, NOW + 10 * DAY - 60);
    assert_true(now == NOW + 10 * DAY - 60);
    check_promise(history, "a.example", "1", NOW, now);
    /* A year ahead: nothing is forgotten, and what is closed then is closed late. */
    serve(history, "3", NOW + 375 * DAY);
    check_promise(history, "a.example", "1", NOW, NOW + 10 * DAY - 60);
    check_promise(history, "a.example", "2", NOW + 10 * DAY - 60, NOW + 375 * DAY);
    now = history_settle(history, NOW + 11 * DAY);
    assert_true(now == NOW + 375 * DAY);
    /* The clock is right again: what ends within that year is not over, and ends no earlier. */
    struct promise_facts facts =
        history_facts(history, history_find(history, span_of("a.example")), now);
    struct promise_end end;
    assert_int_equal(facts.count, 3);
    for (size_t i = 0; i < facts.count; i++)
        assert_true(promise_is_held(&facts.promises[i], &facts, &end));
    assert_true(promise_free(&facts, span_of("mx2.example")).at >= NOW + 389 * DAY);
    facts.clock = now;
    assert_false(promise_is_held(&facts.promises[0], &facts, &end));
    serve(history, "3", now + 60 * DAY);
    assert_int_equal(history->domains[0].count, 2); /* 400 days and two weeks after its end */
    history_free(history);
}

/* Which policies are seen, as "ID FROM UNTIL" in days. */
static void check_seen(const struct history *history, const char *wanted)
{
    struct text out = {0};
    char *all = print(history), *rest = strstr(all, "were seen in the DNS");
    assert_non_null(rest);
    for (char *line = strtok(rest, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strncmp(line, "served ", 7) == 0 || strncmp(line, "held ", 5) == 0)
            text_printf(&out, "%s;", line);
    assert_string_equal(out.data == NULL ? "" : out.data, wanted);
    text_free(&out);
    free(all);
}

static void policies_of_another_server_are_recorded(void **state)
{
    (void)state;
    struct history *history = history_new();
    (void)history_settle(history, NOW);
    see(history, "", true, NOW);
    see(history, "x1", true, NOW);
    see(history, "x1", true, NOW + DAY);
    check_seen(history, "served a.example 0 2027-01-15T08:00:00Z;");
    assert_true(history->since == INT64_MAX); /* what we served is not known for it */
    /* Two addresses differ; then one is silent; then the first policy has gone, and comes back. */
    see(history, "x1y2x1", true, NOW + DAY);
    see(history, "y2", false, NOW + 2 * DAY);
    check_seen(history,
               "served a.example 0 2027-01-15T08:00:00Z;served a.example 1 2027-01-16T08:00:00Z;");
    see(history, "y2", true, NOW + 3 * DAY);
    check_seen(history, "held a.example 0 2027-01-15T08:00:00Z 2027-01-18T08:00:00Z;"
                        "served a.example 1 2027-01-16T08:00:00Z;");
    see(history, "x1y2", true, NOW + 4 * DAY);
    check_seen(history,
               "served a.example 0 2027-01-15T08:00:00Z;served a.example 1 2027-01-16T08:00:00Z;");
    /* Ours begins, with the bytes of the second: it is ours then, whatever id the DNS has. */
    serve(history, "2", NOW + 5 * DAY);
    check_promise(history, "a.example", "x", NOW, PROMISE_OPEN);
    see(history, "z2", true, NOW + 6 * DAY);
    check_seen(history, "held a.example 0 2027-01-15T08:00:00Z 2027-01-21T08:00:00Z;"
                        "held a.example 1 2027-01-16T08:00:00Z 2027-01-21T08:00:00Z;");
    /* What a reload closes and drops is ours alone. */
    serve(history, "3", NOW + 7 * DAY);
    see(history, "x1", true, NOW + 8 * DAY);
    serve(history, "3", NOW + 900 * DAY);
    check_promise(history, "a.example", "x", NOW, PROMISE_OPEN);
    /* Both files read back as they were. */
    struct history *other = history_new();
    struct text promises = {0}, sightings = {0};
    history_print(history, STATE_PROMISES, &promises);
    history_print(history, STATE_SIGHTINGS, &sightings);
    assert_null(strstr(promises.data, " x "));
    assert_true(history_take(other, &sightings, STATE_SIGHTINGS) &&
                history_take(other, &promises, STATE_PROMISES));
    (void)history_settle(other, NOW + 900 * DAY);
    char *first = print(history), *second = print(other);
    assert_string_equal(first, second);
    free(first);
    free(second);
    history_free(history);
    history_free(other);
}

/* A file with this in place of the promises, and a last line that fits or not. */
static bool reads(const char *lines, bool is_whole)
{
    struct history *history = history_new();
    struct text bytes = {0};
    text_append(
        &bytes,
        span_of(
            "# mta-sts-httpd: the policies that senders may hold, written by the program. Form 1.\n"));
    text_append(&bytes, span_of(lines));
    state_file_complete(&bytes);
    if (!is_whole)
        bytes.data[bytes.len - 2] ^= 1;
    bool good = history_take(history, &bytes, STATE_PROMISES);
    assert_true(good || history->since == INT64_MAX);
    text_free(&bytes);
    history_free(history);
    return good;
}

#define SINCE  "since 2026-11-01T00:00:00Z\n"
#define POLICY "policy enforce 86400 1 a.example.com *.b.example.com\n"

static void only_sound_files_are_read(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "served a.example 0 2026-11-01T00:00:00Z\n",
        SINCE "served a.example 0 2026-11-01T00:00:00Z\n",
        SINCE "\n",
        SINCE "since\n",
        SINCE "since 2026-11-01\n",
        SINCE "policy enforce 86400 1\n",
        SINCE "policy on 86400 1 a.example\n",
        SINCE "policy enforce 86399 1 a.example\n",
        SINCE "policy enforce 31557601 1 a.example\n",
        SINCE "policy enforce 086400 1 a.example\n",
        SINCE "policy enforce 86400 a-b a.example\n",
        SINCE "policy enforce 86400 1 A.example\n",
        SINCE "policy enforce 86400 1 a.example \n",
        SINCE "policy enforce 86400 1 a.example  b.example\n",
        SINCE "policy enforce 86400 1 a_b.example\n",
        SINCE "policy enforce 4294967296 1 a.example\n",
        SINCE POLICY "served a.example 1 2026-11-01T00:00:00Z\n",
        SINCE POLICY "served a_b.example 0 2026-11-01T00:00:00Z\n",
        SINCE POLICY "served A.example 0 2026-11-01T00:00:00Z\n",
        SINCE POLICY "served a.example 0 2026-11-31T00:00:00Z\n",
        SINCE POLICY "served a.example 0 2026-11-01T00:00:00Z \n",
        SINCE POLICY "served a.example 0\n",
        SINCE POLICY "held a.example 0 2026-11-01T00:00:00Z\n",
        SINCE POLICY "held a.example 0 2026-11-02T00:00:00Z 2026-11-01T00:00:00Z\n",
        SINCE POLICY "served a.example 0 2026-11-01T00:00:00Z 2026-11-01T00:00:00Z\n",
        SINCE POLICY "novel a.example\n",
        SINCE POLICY "served a.example 0 2026-11-01T00:00:00Z",
    };
    assert_true(reads(SINCE, true));
    assert_true(reads(SINCE POLICY "served a.example 0 2026-11-01T00:00:00Z\n", true));
    assert_true(
        reads(SINCE POLICY "held a.example 0 2026-11-01T00:00:00Z 2026-11-02T00:00:00Z\n", true));
    assert_false(reads(SINCE, false));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (reads(bad[i], true))
            fail_msg("read: %s", bad[i]);
}

static void file_that_cannot_be_trusted_is_told(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_history.XXXXXX", path[64];
    struct text bytes = {0};
    struct position at = {"f", 1, 1};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/%s", folder, state_forms[STATE_PROMISES].name);
    for (int damaged = 0; damaged < 3; damaged++) {
        struct history *history = history_new();
        struct diag *diag = diag_new();
        if (damaged > 0) {
            bytes.len = 0;
            text_append(&bytes,
                        span_of(damaged == 1 ? "torn" : "# mta-sts-httpd: something else\n"));
            assert_true(state_file_write(folder, state_forms[STATE_PROMISES].name, &bytes));
        }
        assert_int_equal(history_read(history, folder, at, NULL, diag), damaged == 0);
        assert_int_equal(diag_count(diag, DIAG_WARNING), damaged == 0 ? 0 : 1);
        assert_true(history->since == INT64_MAX);
        diag_free(diag);
        history_free(history);
    }
    text_free(&bytes);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* "probe --record" judges by what was known before, while it records what it finds. */
static void facts_stay_until_it_is_settled_again(void **state)
{
    (void)state;
    struct history *history = history_new();
    serve(history, "12", NOW);
    history_see(history, "a.example", span_of("1"), 60, NOW);
    (void)history_settle(history, NOW);
    const struct history_domain *known = history_find(history, span_of("a.example"));
    const struct promise_facts facts = history_facts(history, known, NOW);
    const struct promise promise = facts.promises[0];
    const struct sighting sighting = facts.sightings[0];
    const struct promise seen = {
        .mode = POLICY_NONE, .max_age = DAY, .id = span_of("3"), .mx = span_of("mx9.example")};
    for (int i = 0; i < 1000; i++) {
        char domain[32];
        (void)snprintf(domain, sizeof(domain), "d%d.example", i);
        history_see(history, domain, span_of("4"), 60, NOW + 1);
        history_see_policies(history, domain, &seen, 1, true, NOW + 1);
        history_see(history, "a.example", span_of("1"), 600, NOW + DAY);
        history_see_policies(history, "a.example", &seen, 1, true, NOW + 1);
    }
    assert_int_equal(facts.count, 1);
    assert_memory_equal(&facts.promises[0], &promise, sizeof(promise));
    assert_memory_equal(&facts.sightings[0], &sighting, sizeof(sighting));
    (void)history_settle(history, NOW + DAY);
    known = history_find(history, span_of("a.example"));
    assert_int_equal(history_facts(history, known, NOW + DAY).sightings[0].ttl, 600);
    assert_int_equal(history_facts(history, known, NOW + DAY).count, 2);
    history_free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_served_is_recorded),
        cmocka_unit_test(both_generations_are_served_in_between),
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(replicas_merge_in_every_order),
        cmocka_unit_test(clock_that_is_wrong_shortens_nothing),
        cmocka_unit_test(policies_of_another_server_are_recorded),
        cmocka_unit_test(facts_stay_until_it_is_settled_again),
        cmocka_unit_test(only_sound_files_are_read),
        cmocka_unit_test(file_that_cannot_be_trusted_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
