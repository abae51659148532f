/* The queues of timers, with a clock made of numbers. */
#include "serve/connection.h"

#include "base/limits.h"
#include "unit.h"

enum { COUNT_OF = 3 };

/* Connections that are nothing but a timer. */
static void make(struct connection connections[static COUNT_OF])
{
    for (size_t i = 0; i < COUNT_OF; i++)
        connections[i] = (struct connection){.timer.link.owner = &connections[i]};
}

static void tells_the_oldest(void **state)
{
    (void)state;
    struct timers timers = {0};
    const struct queue *unfinished = &timers.queues[TIMER_UNFINISHED];
    struct connection all[COUNT_OF];

    make(all);
    assert_null(queue_oldest(unfinished));
    timers_start(&timers, &all[0].timer, TIMER_UNFINISHED, 0);
    timers_start(&timers, &all[1].timer, TIMER_UNFINISHED, 0);
    timers_start(&timers, &all[2].timer, TIMER_UNFINISHED, 5);
    assert_ptr_equal(queue_oldest(unfinished), &all[0]);
    timers_stop(&timers, &all[1].timer);
    timers_start(&timers, &all[0].timer, TIMER_UNFINISHED, 7);
    assert_ptr_equal(queue_oldest(unfinished), &all[2]);
    assert_true(timers_begun(&all[2].timer) == 5);
    timers_start(&timers, &all[2].timer, TIMER_IDLE, 7);
    assert_true(timers_begun(&all[2].timer) == 7);
    assert_ptr_equal(queue_oldest(unfinished), &all[0]);
    assert_ptr_equal(queue_oldest(&timers.queues[TIMER_IDLE]), &all[2]);
    timers_stop(&timers, &all[0].timer);
    timers_stop(&timers, &all[0].timer);
    assert_null(queue_oldest(unfinished));
}

static void tells_when_each_kind_expires(void **state)
{
    (void)state;
    static const struct {
        enum timer_kind kind;
        int64_t duration;
    } rows[] = {
        {TIMER_LINGERING, LIMIT_LINGER_MS},
        {TIMER_IDLE, LIMIT_IDLE_MS},
        {TIMER_INTRODUCTION, LIMIT_INTRODUCTION_MS},
        {TIMER_UNFINISHED, LIMIT_UNFINISHED_MS},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct timers timers = {0};
        struct connection all[COUNT_OF];
        int64_t start = 1000000 + (int64_t)i;
        make(all);
        assert_null(timers_next(&timers));
        timers_start(&timers, &all[0].timer, rows[i].kind, start);
        assert_ptr_equal(timers_next(&timers), &all[0]);
        assert_true(all[0].timer.deadline == start + rows[i].duration);
        timers_stop(&timers, &all[0].timer);
        assert_null(timers_next(&timers));
    }
}

static void waits_for_the_next_of_all_kinds(void **state)
{
    (void)state;
    struct timers timers = {0};
    struct connection all[COUNT_OF];

    make(all);
    timers_start(&timers, &all[0].timer, TIMER_UNFINISHED, 0);
    timers_start(&timers, &all[1].timer, TIMER_IDLE, 0);
    timers_start(&timers, &all[2].timer, TIMER_LINGERING, 0);
    assert_ptr_equal(timers_next(&timers), &all[2]);
    timers_stop(&timers, &all[2].timer);
    assert_ptr_equal(timers_next(&timers), &all[1]);
    timers_stop(&timers, &all[1].timer);
    assert_ptr_equal(timers_next(&timers), &all[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_oldest),
        cmocka_unit_test(tells_when_each_kind_expires),
        cmocka_unit_test(waits_for_the_next_of_all_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
