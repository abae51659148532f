/* Stats: what each worker counted in its slot is seen by all, and outlives it. */
#include "shared/stats.h"

#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* A worker with the slot counts so many requests, and ends in the middle of its connections. */
static void work(struct stats *stats, size_t slot, uint64_t requests)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (!stats_attach(stats, slot))
            _exit(1);
        for (uint64_t i = 0; i < requests; i++)
            stats_count(stats, STATS_FETCH_200);
        stats_set_connections(stats, 5);
        _exit(stats_connections(stats) == 5 ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(stats_connections(stats), 5);
    stats_slot_end_worker(stats, slot);
    assert_int_equal(stats_connections(stats), 0);
}

static void counts_outlive_workers_and_generations(void **state)
{
    struct stats *stats = stats_new();
    size_t slots[3];
    (void)state;
    assert_non_null(stats);
    for (size_t i = 0; i < 2; i++)
        assert_true(stats_slot_claim(stats, &slots[i]));
    work(stats, slots[0], 3);
    work(stats, slots[1], 4);
    work(stats, slots[1], 10); /* which replaces it */
    assert_int_equal(stats_sum(stats, STATS_FETCH_200), 17);
    /* The next generation begins beside this one. */
    assert_true(stats_slot_claim(stats, &slots[2]));
    assert_true(slots[2] != slots[0] && slots[2] != slots[1]);
    work(stats, slots[2], 100);
    size_t left = slots[0];
    stats_slot_release(stats, left);
    assert_int_equal(stats_sum(stats, STATS_FETCH_200), 117);
    assert_true(stats_slot_claim(stats, &slots[0]));
    assert_int_equal(slots[0], left);
    work(stats, slots[0], 1000);
    assert_int_equal(stats_sum(stats, STATS_FETCH_200), 1117);
    assert_non_null(stats_fetch_records(stats, 2));
    assert_null(stats_fetch_records(stats, 3));
    stats_free(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_outlive_workers_and_generations),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
