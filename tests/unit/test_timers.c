/* The queues of timers, with a clock made of numbers. */
#include "serve/timers.h"

#include "base/limits.h"
#include "unit.h"

static void tells_the_oldest(void **state)
{
    (void)state;
    struct timers timers = {0};
    struct timer first = {0}, second = {0}, third = {0};

    assert_null(timers_oldest(&timers, TIMER_UNFINISHED));
    timers_start(&timers, &first, TIMER_UNFINISHED, 0);
    timers_start(&timers, &second, TIMER_UNFINISHED, 0);
    timers_start(&timers, &third, TIMER_UNFINISHED, 5);
    assert_ptr_equal(timers_oldest(&timers, TIMER_UNFINISHED), &first);
    timers_stop(&timers, &second);
    timers_start(&timers, &first, TIMER_UNFINISHED, 7);
    assert_ptr_equal(timers_oldest(&timers, TIMER_UNFINISHED), &third);
    timers_start(&timers, &third, TIMER_IDLE, 7);
    assert_ptr_equal(timers_oldest(&timers, TIMER_UNFINISHED), &first);
    assert_ptr_equal(timers_oldest(&timers, TIMER_IDLE), &third);
    timers_stop(&timers, &first);
    timers_stop(&timers, &first);
    assert_null(timers_oldest(&timers, TIMER_UNFINISHED));
}

static void tells_what_expired(void **state)
{
    (void)state;
    static const struct {
        enum timer_kind kind;
        int64_t duration;
    } rows[] = {
        {TIMER_LINGERING, LIMIT_LINGER_MS},
        {TIMER_IDLE, LIMIT_IDLE_MS},
        {TIMER_UNFINISHED, LIMIT_UNFINISHED_MS},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct timers timers = {0};
        struct timer timer = {0};
        int64_t start = 1000000 + (int64_t)i;
        assert_true(timers_next(&timers) == INT64_MAX);
        timers_start(&timers, &timer, rows[i].kind, start);
        assert_true(timers_next(&timers) == start + rows[i].duration);
        assert_null(timers_expired(&timers, start + rows[i].duration - 1));
        assert_ptr_equal(timers_expired(&timers, start + rows[i].duration), &timer);
        timers_stop(&timers, &timer);
        assert_null(timers_expired(&timers, INT64_MAX));
    }
}

static void waits_for_the_next_of_all_kinds(void **state)
{
    (void)state;
    struct timers timers = {0};
    struct timer unfinished = {0}, idle = {0}, lingering = {0};

    timers_start(&timers, &unfinished, TIMER_UNFINISHED, 0);
    timers_start(&timers, &idle, TIMER_IDLE, 0);
    timers_start(&timers, &lingering, TIMER_LINGERING, 0);
    assert_true(timers_next(&timers) == LIMIT_LINGER_MS);
    timers_stop(&timers, &lingering);
    assert_true(timers_next(&timers) == LIMIT_IDLE_MS);
    timers_stop(&timers, &idle);
    assert_true(timers_next(&timers) == LIMIT_UNFINISHED_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_oldest),
        cmocka_unit_test(tells_what_expired),
        cmocka_unit_test(waits_for_the_next_of_all_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
