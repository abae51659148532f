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
        _exit(stats_sum(stats, STATS_CONNECTIONS) == 5 ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(stats_sum(stats, STATS_CONNECTIONS), 5);
    stats_end_worker(stats, slot);
    assert_int_equal(stats_sum(stats, STATS_CONNECTIONS), 0);
}

static void counts_outlive_workers_and_generations(void **state)
{
    struct stats *stats = stats_new();
    (void)state;
    assert_non_null(stats);
    assert_true(stats_reserve(stats, 2));
    work(stats, stats_slot(1, 0), 3);
    work(stats, stats_slot(1, 1), 4);
    work(stats, stats_slot(1, 1), 10); /* which replaces it */
    assert_int_equal(stats_sum(stats, STATS_FETCH_200), 17);
    /* The next generation begins beside this one, with more workers; the one after that has its slots. */
    assert_true(stats_reserve(stats, 3));
    work(stats, stats_slot(2, 2), 100);
    assert_int_equal(stats_sum(stats, STATS_FETCH_200), 117);
    work(stats, stats_slot(3, 0), 1000);
    assert_int_equal(stats_sum(stats, STATS_FETCH_200), 1117);
    assert_non_null(stats_fetch_records(stats, 5));
    assert_null(stats_fetch_records(stats, 6));
    stats_free(stats);
}

static void workers_of_two_generations_have_slots_of_their_own(void **state)
{
    bool taken[2 * LIMIT_WORKERS] = {false};
    (void)state;
    for (unsigned generation = 7; generation < 9; generation++)
        for (size_t worker = 0; worker < LIMIT_WORKERS; worker++) {
            size_t slot = stats_slot(generation, worker);
            assert_true(slot < COUNT(taken) && !taken[slot]);
            taken[slot] = true;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_outlive_workers_and_generations),
        cmocka_unit_test(workers_of_two_generations_have_slots_of_their_own),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
