/* Jobs in children: every job has one result, whatever becomes of its child, and no child outlives them. */
#include "probe/probe_workers.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "unit.h"

enum { JOBS = 3 * LIMIT_PROBES, LOST = 1000, LATE = 2000 };

/* What the child of a job does. */
enum deed { FINISH, CRASH, HANG, HIDE };

struct work {
    enum deed deeds[JOBS];
    size_t results[JOBS]; /* 1 + the index; with LOST or LATE as the parent says */
    size_t counts[JOBS];  /* how often each was done */
};

static int forks_left = INT_MAX;

/* In front of that of the C library. */
pid_t fork(void)
{
    pid_t (*next)(void);
    void *found = dlsym(RTLD_NEXT, "fork");
    memcpy(&next, &found, sizeof(next));
    if (forks_left-- > 0)
        return next();
    errno = EAGAIN;
    return -1;
}

/* Closes what its parent waits for, and stays. */
static _Noreturn void hide(void)
{
    for (int fd = 3; fd < 256; fd++)
        (void)close(fd);
    for (;;)
        (void)pause();
}

static void run(void *context, size_t index, void *result)
{
    const struct work *work = context;
    *(size_t *)result = index + 1;
    switch (work->deeds[index]) {
    case FINISH:
        return;
    case CRASH:
        _exit(1);
    case HANG:
        for (;;)
            (void)pause();
    case HIDE:
        hide();
    }
}

static void lose(void *context, size_t index, void *result, bool is_late, int signal)
{
    const struct work *work = context;
    assert_int_equal(signal, work->deeds[index] == CRASH ? 0 : SIGKILL);
    assert_int_equal(*(size_t *)result, is_late ? index + 1 : 0);
    *(size_t *)result = index + 1 + (is_late ? LATE : LOST);
}

static void done(void *context, size_t index, const void *result)
{
    struct work *work = context;
    memcpy(&work->results[index], result, sizeof(work->results[index]));
    work->counts[index]++;
}

static bool run_jobs(struct work *work, size_t count, int64_t timeout_ms)
{
    const struct probe_jobs jobs = {
        .count = count,
        .result_size = sizeof(size_t),
        .timeout_ms = timeout_ms,
        .run = run,
        .lost = lose,
        .done = done,
        .context = work,
    };
    bool good = probe_workers_run(&jobs);
    int reason = errno;
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* there is no child left */
    errno = reason;
    return good;
}

static void every_job_has_one_result(void **state)
{
    static struct work work;
    (void)state;
    for (size_t i = 0; i < JOBS; i += 5)
        work.deeds[i] = CRASH;
    for (size_t i = 1; i < JOBS; i += 7)
        work.deeds[i] = HIDE;
    assert_true(run_jobs(&work, JOBS, 600 * 1000));
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(work.counts[i], 1);
        assert_int_equal(work.results[i], i + 1 + (work.deeds[i] == FINISH ? 0 : LOST));
    }
    assert_true(run_jobs(&work, 0, 1));
}

static void one_that_is_late_is_ended(void **state)
{
    static struct work work = {.deeds = {FINISH, HANG, CRASH}};
    (void)state;
    assert_true(run_jobs(&work, 3, 500));
    assert_int_equal(work.results[1], 2 + LATE);
    assert_int_equal(work.counts[0] + work.counts[1] + work.counts[2], 3);
}

static void without_children_the_reason_is_told(void **state)
{
    static struct work work = {.deeds = {CRASH, CRASH}};
    (void)state;
    forks_left = 0;
    errno = 0;
    assert_false(run_jobs(&work, 4, 600 * 1000));
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(work.counts[0], 0);
    forks_left = 1;
    assert_true(run_jobs(&work, 1, 600 * 1000));
    memset(work.counts, 0, sizeof(work.counts));
    forks_left = 2; /* both end, and there is no third: what was done is done */
    errno = 0;
    assert_false(run_jobs(&work, 4, 600 * 1000));
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(work.counts[0] + work.counts[1], 2);
    assert_int_equal(work.counts[2] + work.counts[3], 0);
    forks_left = INT_MAX;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_has_one_result),
        cmocka_unit_test(one_that_is_late_is_ended),
        cmocka_unit_test(without_children_the_reason_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
