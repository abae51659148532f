/* The board: what each worker counted in its slot is seen by all, and outlives it. */
#include "shared/stats.h"

#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* A worker with the slot counts so many requests, and ends in the middle of its connections. */
static void work(struct board *board, size_t slot, uint64_t requests)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (!board_sit(board, slot))
            _exit(1);
        for (uint64_t i = 0; i < requests; i++)
            board_count(board, BOARD_FETCH_200);
        board_hold(board, 5);
        _exit(board_connections(board) == 5 ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(board_connections(board), 5);
    board_end_worker(board, slot);
    assert_int_equal(board_connections(board), 0);
}

static void counts_outlive_workers_and_generations(void **state)
{
    struct board *board = board_new();
    size_t slots[3];
    (void)state;
    assert_non_null(board);
    for (size_t i = 0; i < 2; i++)
        assert_true(board_take(board, &slots[i]));
    work(board, slots[0], 3);
    work(board, slots[1], 4);
    work(board, slots[1], 10); /* which replaces it */
    assert_int_equal(board_sum(board, BOARD_FETCH_200), 17);
    /* The next generation begins beside this one. */
    assert_true(board_take(board, &slots[2]));
    assert_true(slots[2] != slots[0] && slots[2] != slots[1]);
    work(board, slots[2], 100);
    size_t left = slots[0];
    board_leave(board, left);
    assert_int_equal(board_sum(board, BOARD_FETCH_200), 117);
    assert_true(board_take(board, &slots[0]));
    assert_int_equal(slots[0], left);
    work(board, slots[0], 1000);
    assert_int_equal(board_sum(board, BOARD_FETCH_200), 1117);
    assert_non_null(board_visits(board, 2));
    assert_null(board_visits(board, 3));
    board_free(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_outlive_workers_and_generations),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
