/* The pause before a worker is replaced: none, then one that grows to its most; and the end of hope. */
#include "supervise/child.h"

#include "base/limits.h"
#include "unit.h"

static void few_are_replaced_at_once(void **state)
{
    struct backoff backoff = {0};
    (void)state;
    for (int i = 0; i < LIMIT_CRASHES_FEW; i++)
        assert_int_equal(backoff_pause(&backoff, true, i), 0);
    assert_int_equal(backoff_pause(&backoff, true, 10), LIMIT_PAUSE_MS);
    assert_int_equal(backoff_pause(&backoff, true, 10), 2 * LIMIT_PAUSE_MS);
}

static void seldom_ones_are_always_replaced_at_once(void **state)
{
    struct backoff backoff = {0};
    (void)state;
    for (int64_t i = 1; i < 1000; i++)
        assert_int_equal(backoff_pause(&backoff, false, i * LIMIT_CRASHES_MS), 0);
}

static void pause_grows_to_its_most_and_ends(void **state)
{
    struct backoff backoff = {0};
    int64_t now = 0, before = 0;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t pause = backoff_pause(&backoff, true, now);
        assert_in_range(pause, before, LIMIT_PAUSE_MOST_MS);
        assert_true(before == 0 || pause == 2 * before || pause == LIMIT_PAUSE_MOST_MS);
        before = pause;
        now += pause;
    }
    assert_int_equal(before, LIMIT_PAUSE_MOST_MS);
    /* When nobody else serves, it is short; and after a quiet minute there is none. */
    assert_int_equal(backoff_pause(&backoff, false, now), LIMIT_PAUSE_ALONE_MS);
    assert_int_equal(backoff_pause(&backoff, false, now + LIMIT_CRASHES_MS), 0);
}

static void hope_ends_when_nothing_works_for_long(void **state)
{
    struct backoff backoff = {0};
    int64_t now = 5;
    (void)state;
    assert_false(backoff_is_hopeless(&backoff, true, now));
    for (int i = 0; i < LIMIT_CRASHES; i++) {
        assert_false(backoff_is_hopeless(&backoff, false, now + LIMIT_CRASHES_MS));
        (void)backoff_pause(&backoff, false, now);
    }
    assert_false(backoff_is_hopeless(&backoff, false, now + LIMIT_CRASHES_MS - 1));
    assert_true(backoff_is_hopeless(&backoff, false, now + LIMIT_CRASHES_MS));
    /* As long as one is ready now and then, however many die, it goes on. */
    for (int i = 0; i < 10000; i++) {
        now += LIMIT_CRASHES_MS - 1;
        assert_false(backoff_is_hopeless(&backoff, true, now));
        (void)backoff_pause(&backoff, false, now);
        assert_false(backoff_is_hopeless(&backoff, false, now + LIMIT_CRASHES_MS - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_are_replaced_at_once),
        cmocka_unit_test(seldom_ones_are_always_replaced_at_once),
        cmocka_unit_test(pause_grows_to_its_most_and_ends),
        cmocka_unit_test(hope_ends_when_nothing_works_for_long),
    };
    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
