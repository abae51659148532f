/* What senders may still hold: each worked example is a time line, in words as an operator has them. */
#include "policy/promise.h"

#include "base/calendar.h"
#include "policy/name.h"
#include "unit.h"

enum { DAY = 86400, PROMISES = 4, SIGHTINGS = 5 };

struct served {
    const char *mode, *id, *mx, *from, *until; /* until NULL: it is served */
    uint32_t max_age;
};

struct seen {
    const char *id, *first, *last;
};

/* The end of the promise with the number; and, if they are there, from when on a host may stand alone and the
 * domain is free. */
struct line {
    const char *name, *now;
    struct served served[PROMISES];
    struct seen seen[SIGHTINGS];
    uint32_t ttl;
    size_t judged;
    enum promise_kind kind;
    const char *at;
    const char *host;
    enum promise_kind host_kind;
    const char *host_at; /* NULL with PROMISE_NONE */
    enum promise_kind free_kind;
    const char *free_at;
};

#define A "enforce", "1", "a.example.com"
#define B "enforce", "2", "b.example.com"

static const struct line lines[] = {
    {
        "reload at 9:00, record at 9:30",
        "2026-11-12",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{"1", "2026-10-01", "2026-11-10T09:30:00Z"}, {"2", "2026-11-10T09:30:00Z", "2026-11-12"}},
        3600,
        0,
        PROMISE_DATED,
        "2026-11-24T11:30:00Z",
        "b.example.com",
        PROMISE_DATED,
        "2026-11-24T11:30:00Z",
        PROMISE_SERVED,
        "2026-11-26T02:00:00Z",
    },
    {
        "the record was forgotten for ten days",
        "2026-11-21",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{"1", "2026-10-01", "2026-11-20T09:30:00Z"}, {"2", "2026-11-20T09:30:00Z", "2026-11-21"}},
        3600,
        0,
        PROMISE_DATED,
        "2026-12-04T11:30:00Z",
        "b.example.com",
        PROMISE_DATED,
        "2026-12-04T11:30:00Z",
        PROMISE_SERVED,
        "2026-12-05T02:00:00Z",
    },
    {
        "the record was never changed",
        "2027-02-01",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{"1", "2026-10-01", "2027-02-01"}},
        3600,
        0,
        PROMISE_RENEWED,
        "2027-02-15T02:00:00Z",
        "b.example.com",
        PROMISE_RENEWED,
        "2027-02-15T02:00:00Z",
        PROMISE_RENEWED,
        "2027-02-15T02:00:00Z",
    },
    {
        "one look a day: it is not known that the record was not first",
        "2026-11-12",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{"1", "2026-10-01", "2026-11-09T12:00:00Z"}, {"2", "2026-11-10T12:00:00Z", "2026-11-12"}},
        3600,
        0,
        PROMISE_UNKNOWN,
        "2026-11-24T14:00:00Z",
        "b.example.com",
        PROMISE_UNKNOWN,
        "2026-11-24T14:00:00Z",
        PROMISE_SERVED,
        "2026-11-26T02:00:00Z",
    },
    {
        "and a look between the reload and the record",
        "2026-11-12",
        {{A, "2026-10-01", "2026-11-10T09:01:00Z", 14 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{"1", "2026-10-01", "2026-11-10T09:00:10Z"}, {"2", "2026-11-10T12:00:00Z", "2026-11-12"}},
        3600,
        0,
        PROMISE_DATED,
        "2026-11-24T14:00:00Z",
        "b.example.com",
        PROMISE_DATED,
        "2026-11-24T14:00:00Z",
        PROMISE_SERVED,
        "2026-11-26T02:00:00Z",
    },
    {
        "nobody has looked at the DNS",
        "2027-02-01",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{0}},
        3600,
        0,
        PROMISE_UNKNOWN,
        "2026-11-24T10:01:00Z",
        "b.example.com",
        PROMISE_UNKNOWN,
        "2026-11-24T10:01:00Z",
        PROMISE_SERVED,
        "2027-02-15T02:00:00Z",
    },
    {
        "looks at the DNS began after the policy was gone",
        "2027-02-01",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{"2", "2026-11-15", "2027-02-01"}},
        3600,
        0,
        PROMISE_UNKNOWN,
        "2026-11-24T10:01:00Z",
        "b.example.com",
        PROMISE_UNKNOWN,
        "2026-11-24T10:01:00Z",
        PROMISE_SERVED,
        "2027-02-15T02:00:00Z",
    },
    {
        "looks began late, and the id changed after",
        "2027-02-01",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{"1", "2026-11-15", "2026-11-16"}, {"2", "2026-11-17", "2027-02-01"}},
        3600,
        0,
        PROMISE_DATED,
        "2026-12-01T02:00:00Z",
        "b.example.com",
        PROMISE_NONE,
        NULL,
        PROMISE_SERVED,
        "2027-02-15T02:00:00Z",
    },
    {
        "the record first, the policy second: the old policy under the new id",
        "2026-11-30",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 7 * DAY},
         {B, "2026-11-10T09:00:00Z", NULL, 7 * DAY}},
        {{"1", "2026-10-01", "2026-11-10T08:00:00Z"}, {"2", "2026-11-10T08:00:01Z", "2026-11-30"}},
        3600,
        0,
        PROMISE_RENEWED,
        "2026-12-07T02:00:00Z",
        "b.example.com",
        PROMISE_RENEWED,
        "2026-12-07T02:00:00Z",
        PROMISE_RENEWED,
        "2026-12-07T02:00:00Z",
    },
    {
        "B for an hour and back to A, whose id was in the DNS all the time",
        "2026-11-30",
        {{A, "2026-10-01", NULL, 7 * DAY},
         {B, "2026-11-10T09:00:00Z", "2026-11-10T10:00:00Z", 7 * DAY}},
        {{"1", "2026-10-01", "2026-11-30"}},
        3600,
        1,
        PROMISE_RENEWED,
        "2026-12-07T02:00:00Z",
        "a.example.com",
        PROMISE_RENEWED,
        "2026-12-07T02:00:00Z",
        PROMISE_RENEWED,
        "2026-12-07T02:00:00Z",
    },
    {
        "the same, healed by a third id",
        "2026-12-30",
        {{"enforce", "3", "a.example.com", "2026-11-10T10:00:00Z", NULL, 7 * DAY},
         {A, "2026-10-01", "2026-11-10T10:00:00Z", 7 * DAY},
         {B, "2026-11-10T09:00:00Z", "2026-11-10T10:00:00Z", 7 * DAY}},
        {{"1", "2026-10-01", "2026-11-10T10:05:00Z"}, {"3", "2026-11-10T10:06:00Z", "2026-12-30"}},
        3600,
        2,
        PROMISE_DATED,
        "2026-11-17T12:06:00Z",
        "a.example.com",
        PROMISE_NONE,
        NULL,
        PROMISE_SERVED,
        "2027-01-06T02:00:00Z",
    },
    {
        "a lower max_age does nothing for what is held",
        "2026-11-12",
        {{A, "2026-09-01", "2026-11-01", 30 * DAY},
         {"enforce", "2", "a.example.com", "2026-11-01", "2026-11-08", DAY},
         {"enforce", "3", "b.example.com", "2026-11-08", NULL, DAY}},
        {{"1", "2026-09-01", "2026-11-01"},
         {"2", "2026-11-01T00:00:01Z", "2026-11-08"},
         {"3", "2026-11-08T00:00:01Z", "2026-11-12"}},
        3600,
        1,
        PROMISE_DATED,
        "2026-11-15T02:00:01Z", /* for mimecast a week */
        "b.example.com",
        PROMISE_DATED,
        "2026-12-01T02:00:01Z",
        PROMISE_SERVED,
        "2026-12-01T02:00:01Z",
    },
    {
        "a policy of a year that was served once rules for the year",
        "2026-11-12",
        {{"enforce", "1", "a.example.com", "2026-01-01", "2026-01-02", 31557600},
         {"enforce", "2", "b.example.com", "2026-01-02", NULL, 7 * DAY}},
        {{"1", "2026-01-01", "2026-01-02"}, {"2", "2026-01-02", "2026-11-12"}},
        3600,
        0,
        PROMISE_DATED,
        "2027-01-02T08:00:00Z",
        "b.example.com",
        PROMISE_DATED,
        "2027-01-02T08:00:00Z",
        PROMISE_SERVED,
        "2027-01-02T08:00:00Z",
    },
    {
        "moving A to B by {A, B}: from then on B may stand alone",
        "2026-11-25",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY},
         {"enforce", "2", "a.example.com b.example.com", "2026-11-10T09:00:00Z", NULL, 14 * DAY}},
        {{"1", "2026-10-01", "2026-11-10T09:30:00Z"}, {"2", "2026-11-10T09:30:00Z", "2026-11-25"}},
        3600,
        0,
        PROMISE_DATED,
        "2026-11-24T11:30:00Z",
        "b.example.com",
        PROMISE_NONE,
        NULL,
        PROMISE_SERVED,
        "2026-12-09T02:00:00Z",
    },
    {
        "what tests is never refused",
        "2026-11-12",
        {{"testing", "1", "a.example.com", "2026-10-01", NULL, 14 * DAY}},
        {{"1", "2026-10-01", "2026-11-12"}},
        3600,
        0,
        PROMISE_SERVED,
        "2026-11-26T02:00:00Z",
        "b.example.com",
        PROMISE_NONE,
        NULL,
        PROMISE_NONE,
        NULL,
    },
    {
        "removal: mode none, and the record is gone",
        "2026-11-12",
        {{A, "2026-10-01", "2026-10-10", 14 * DAY},
         {"none", "2", "a.example.com", "2026-10-10", NULL, DAY}},
        {{"1", "2026-10-01", "2026-10-10"},
         {"2", "2026-10-10T00:00:01Z", "2026-11-11"},
         {"", "2026-11-11T00:00:01Z", "2026-11-12"}},
        3600,
        0,
        PROMISE_DATED,
        "2026-10-24T02:00:01Z",
        "b.example.com",
        PROMISE_NONE,
        NULL,
        PROMISE_NONE,
        NULL,
    },
    {
        "the endpoint is gone and the record was left",
        "2026-12-12",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 7 * DAY}},
        {{"1", "2026-10-01", "2026-12-12"}},
        3600,
        0,
        PROMISE_RENEWED,
        "2026-12-19T02:00:00Z",
        "b.example.com",
        PROMISE_RENEWED,
        "2026-12-19T02:00:00Z",
        PROMISE_RENEWED,
        "2026-12-19T02:00:00Z",
    },
    {
        "served without a record, which nothing can renew",
        "2026-12-12",
        {{A, "2026-11-01", "2026-11-10", 7 * DAY}},
        {{"", "2026-10-01", "2026-12-12"}},
        3600,
        0,
        PROMISE_DATED,
        "2026-12-19T02:00:00Z",
        NULL,
        PROMISE_NONE,
        NULL,
        PROMISE_DATED,
        "2026-12-19T02:00:00Z",
    },
    {
        "two machines saw different ids at the same time",
        "2026-11-30",
        {{A, "2026-10-01", "2026-11-10T09:00:00Z", 14 * DAY}},
        {{"1", "2026-10-01", "2026-11-12"}, {"2", "2026-11-10T10:00:00Z", "2026-11-30"}},
        3600,
        0,
        PROMISE_RENEWED,
        "2026-12-14T02:00:00Z",
        NULL,
        PROMISE_NONE,
        NULL,
        PROMISE_RENEWED,
        "2026-12-14T02:00:00Z",
    },
};

static int64_t instant(const char *text)
{
    int64_t at = 0;
    assert_true(calendar_parse(span_of(text), &at));
    return at;
}

static enum policy_mode mode_of(const char *text)
{
    return strcmp(text, "enforce") == 0   ? POLICY_ENFORCE
           : strcmp(text, "testing") == 0 ? POLICY_TESTING
                                          : POLICY_NONE;
}

static void check_end(const struct line *line, const char *what, struct promise_end end,
                      enum promise_kind kind, const char *at)
{
    int64_t wanted = kind == PROMISE_NONE ? 0 : instant(at);
    if (end.kind != kind || (kind != PROMISE_NONE && end.at != wanted))
        fail_msg("%s: %s: kind %d until %s", line->name, what, (int)end.kind,
                 end.kind == PROMISE_NONE ? "none" : calendar_iso_time(end.at).text);
}

static void check_line(const struct line *line, bool is_reversed)
{
    struct promise promises[PROMISES];
    struct sighting sightings[SIGHTINGS];
    struct promise_facts facts = {.promises = promises,
                                  .sightings = sightings,
                                  .ttl = line->ttl,
                                  .now = instant(line->now),
                                  .clock = instant(line->now)};
    for (; facts.count < PROMISES && line->served[facts.count].mode != NULL; facts.count++) {
        const struct served *served = &line->served[facts.count];
        promises[facts.count] = (struct promise){
            .mode = mode_of(served->mode),
            .max_age = served->max_age,
            .id = span_of(served->id),
            .mx = span_of(served->mx),
            .from = instant(served->from),
            .until = served->until == NULL ? PROMISE_OPEN : instant(served->until),
        };
    }
    while (facts.sighting_count < SIGHTINGS && line->seen[facts.sighting_count].id != NULL)
        facts.sighting_count++;
    for (size_t i = 0; i < facts.sighting_count; i++) {
        const struct seen *seen = &line->seen[is_reversed ? facts.sighting_count - 1 - i : i];
        sightings[i] = (struct sighting){
            .id = span_of(seen->id), .first = instant(seen->first), .last = instant(seen->last)};
    }
    check_end(line, "the policy", promise_end(&promises[line->judged], &facts), line->kind,
              line->at);
    if (line->host != NULL)
        check_end(line, line->host, promise_free(&facts, span_of(line->host)), line->host_kind,
                  line->host_at);
    check_end(line, "free", promise_free(&facts, (struct span){0}), line->free_kind, line->free_at);
}

static void dates_are_those_of_the_time_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        check_line(&lines[i], false);
        check_line(&lines[i], true);
    }
}

static void wildcards_stand_for_one_label(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *host;
        bool matches;
    } rows[] = {
        {"mail.example.com", "mail.example.com", true},
        {"mail.example.com", "MAIL.Example.com", true},
        {"mail.example.com", "mail2.example.com", false},
        {"*.example.com", "mail.example.com", true},
        {"*.example.com", "a.mail.example.com", false},
        {"*.example.com", "example.com", false},
        {"*.example.com", ".example.com", false},
        {"*.example.com", "mailexample.com", false},
        {"*.example.com", "*.example.com", true},
        {"*.example.com", "*.mx.example.com", false},
        {"mail.example.com", "*.example.com", false},
        {"*.com", "*.example.com", false},
        {"*.example.com", "", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span pattern = guard_copy(span_of(rows[i].pattern));
        struct span host = guard_copy(span_of(rows[i].host));
        if (name_matches(pattern, host) != rows[i].matches)
            fail_msg("%s and %s", rows[i].pattern, rows[i].host);
        guard_free(pattern);
        guard_free(host);
    }
}

static void list_of_patterns_covers(void **state)
{
    (void)state;
    struct promise promise = {.mx = span_of("a.example.com *.b.example.com c.example.com")};
    assert_true(promise_covers(&promise, span_of("a.example.com")));
    assert_true(promise_covers(&promise, span_of("x.b.example.com")));
    assert_true(promise_covers(&promise, span_of("c.example.com")));
    assert_false(promise_covers(&promise, span_of("b.example.com")));
    promise.mx = (struct span){0};
    assert_false(promise_covers(&promise, span_of("a.example.com")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_those_of_the_time_lines),
        cmocka_unit_test(wildcards_stand_for_one_label),
        cmocka_unit_test(list_of_patterns_covers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
