/* A generation: what it says of its workers, and that one which is never ready is ended. */
#include "supervise/supervisor_inside.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static struct settings_image *make_image(void)
{
    struct text bytes = {0};
    const struct settings_image image = {
        .settings = {.workers = 2}, .watch = {.file = "/etc/mta-sts.yaml"}, .uid = 1, .gid = 1};
    settings_image_print(&image, &bytes);
    int fd = memory_file_open();
    assert_true(memory_file_fill(fd, (struct span){bytes.data, bytes.len}));
    text_free(&bytes);
    struct settings_image *opened = settings_image_open(fd);
    assert_non_null(opened);
    assert_int_equal(close(fd), 0);
    return opened;
}

static int set_up(void **state)
{
    struct stats *stats = stats_new();
    struct loaded loaded = LOADED_NONE;
    const struct supervisor supervisor = {.stats = stats};
    assert_non_null(stats);
    loaded.image = make_image();
    *state = generation_new(&supervisor, &loaded);
    assert_null(loaded.image);
    assert_non_null(*state);
    return 0;
}

static int tear_down(void **state)
{
    struct generation *generation = *state;
    struct stats *stats = generation->stats;
    generation_free(generation);
    stats_free(stats);
    return 0;
}

/* A process that only waits, in place of a worker. */
static void put_worker(struct generation *generation, size_t index, int64_t ready_by)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            (void)pause(); /* until it is killed */
    generation->workers[index] = (struct generation_worker){
        .pid = pid,
        .control = -1,
        .ready_by = ready_by,
    };
}

static void end_worker(struct generation *generation, size_t index)
{
    int status = 0;
    pid_t pid = generation->workers[index].pid;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(generation_end_worker(generation, pid, status));
    assert_int_equal(generation->workers[index].pid, 0);
    assert_false(generation_end_worker(generation, pid, status));
}

static void one_that_is_not_ready_in_time_is_killed(void **state)
{
    struct generation *generation = *state;
    assert_int_equal(generation_next_deadline(generation), INT64_MAX);
    put_worker(generation, 0, 500);
    put_worker(generation, 1, 400);
    assert_int_equal(generation_next_deadline(generation), 400);
    assert_int_equal(generation_count(generation).ready, 0);
    generation->workers[1].ready = true;
    assert_int_equal(generation_next_deadline(generation), 500);
    assert_int_equal(generation_count(generation).ready, 1);
    generation_expire(generation, 499);
    assert_int_equal(generation_next_deadline(generation), 500);
    generation_expire(generation, 500);
    assert_int_equal(generation_next_deadline(generation), INT64_MAX);
    generation_expire(generation, INT64_MAX - 1); /* it is not told twice */
    end_worker(generation, 0);
    assert_int_equal(generation_count(generation).running, 1);
    assert_int_equal(generation_count(generation).ready, 1);
    generation->deadline = 600;
    generation_expire(generation, 599);
    assert_int_equal(waitpid(generation->workers[1].pid, NULL, WNOHANG), 0);
    generation_expire(generation, 600);
    end_worker(generation, 1);
    assert_int_equal(generation_count(generation).running, 0);
    assert_int_equal(generation_count(generation).ready, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_is_not_ready_in_time_is_killed, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("generation", tests, NULL, NULL);
}
