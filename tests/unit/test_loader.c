/*
 * The loader as the supervisor sees it: what it has filled and told, and that nothing it does instead, to crash,
 * to hang, to eat memory, to talk nonsense, is more than a load that was refused.
 */
#include "supervise/loader.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/limits.h"
#include "base/sanitizer.h"
#include "unit.h"

/* A good image of settings. */
static struct text small_image(void)
{
    struct text bytes = {0};
    struct settings_image image = {.watch = {.file = "/etc/mta-sts.yaml"},
                                   .uid = 1,
                                   .gid = 2,
                                   .gauges = {[STATS_NOT_AFTER] = 77}};
    settings_image_print(&image, &bytes);
    assert_false(bytes.failed);
    return bytes;
}

static void fill(struct loader *loader, size_t file, const char *bytes)
{
    assert_true(loader_fill(loader, file, span_of(bytes)));
}

static void fill_settings(struct loader *loader)
{
    struct text image = small_image();
    assert_true(loader_fill(loader, LOADER_SETTINGS, (struct span){image.data, image.len}));
    text_free(&image);
}

static void succeed(void *context, struct loader *loader)
{
    (void)context;
    loader_say(loader, PROGRESS_GOES_ON);
    loader->errors = 1;
    loader->warnings = 2;
    fill_settings(loader);
    fill(loader, LOADER_SITE, "the site");
    fill(loader, LOADER_STATE + SAVER_POLICIES, "the state");
    text_append(&loader->faults, span_of("one line\n"));
    _exit(loader_tell(loader, LOADER_DONE) ? 0 : 1);
}

static void refuse(void *context, struct loader *loader)
{
    (void)context;
    loader->errors = 3;
    for (int i = 0; i < 2 * LIMIT_STATUS_FAULTS / 8; i++)
        text_append(&loader->faults, span_of("a fault\n"));
    _exit(loader_tell(loader, LOADER_REFUSED) ? 0 : 1);
}

static void loop(void *context, struct loader *loader)
{
    (void)context;
    loader_say(loader, PROGRESS_GOES_ON);
    for (;;)
        (void)poll(NULL, 0, 1000); /* until it is killed */
}

static void read_state(void *context, struct loader *loader)
{
    (void)context;
    loader_say(loader, PROGRESS_WAITS_FOR_STATE);
    for (;;)
        (void)poll(NULL, 0, 1000); /* until it is killed */
}

static void raise_signal(void *context, struct loader *loader)
{
    const struct rlimit none = {0, 0};
    (void)loader;
    assert_int_equal(setrlimit(RLIMIT_CORE, &none), 0);
    (void)signal(*(int *)context, SIG_DFL);
    (void)raise(*(int *)context);
}

static void end_with(void *context, struct loader *loader)
{
    (void)loader;
    _exit(*(int *)context);
}

/* Waits for the end of a load as the supervisor does. */
static enum loader_outcome wait_for(struct loader *loader)
{
    for (int i = 0; i < 30000; i++) {
        pid_t pid = loader->pid;
        int status = 0;
        (void)poll(NULL, 0, 1); /* a pause that is too short is no harm */
        enum loader_outcome outcome = loader_hear(loader, 0);
        if (outcome == LOADER_RUNS && waitpid(pid, &status, WNOHANG) == pid)
            outcome = loader_end(loader, pid, status, 0);
        if (outcome != LOADER_RUNS)
            return outcome;
    }
    fail();
    return LOADER_RUNS;
}

static enum loader_outcome run(loader_job *job, void *context, struct loader *ret_loader)
{
    *ret_loader = LOADER_NONE;
    assert_true(loader_begin(ret_loader, job, context, -1, 0));
    assert_int_equal(ret_loader->deadline, LIMIT_LOAD_SILENCE_MS);
    enum loader_outcome outcome = wait_for(ret_loader);
    assert_int_equal(ret_loader->pid, 0);
    assert_int_equal(ret_loader->socket, -1);
    assert_true(ret_loader->deadline == INT64_MAX);
    while (waitpid(-1, NULL, 0) > 0) /* it was killed, or has ended by itself */
        ;
    return outcome;
}

static size_t descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

static void result_is_read(void **state)
{
    struct loader result;
    char bytes[16] = "";
    size_t before = descriptors();
    (void)state;
    assert_int_equal(run(succeed, NULL, &result), LOADER_DONE);
    assert_int_equal(result.errors, 1);
    assert_int_equal(result.warnings, 2);
    assert_string_equal(result.faults.data, "one line\n");
    assert_int_equal(result.loaded.image->gauges[STATS_NOT_AFTER], 77);
    assert_int_equal(pread(result.loaded.files[LOADER_SITE], bytes, sizeof(bytes), 0), 8);
    assert_string_equal(bytes, "the site");
    assert_int_equal(
        pread(result.loaded.files[LOADER_STATE + SAVER_POLICIES], bytes, sizeof(bytes), 0), 9);
    assert_true((fcntl(result.loaded.files[LOADER_SITE], F_GETFD) & FD_CLOEXEC) != 0);
    loader_stop(&result);
    assert_int_equal(descriptors(), before);
}

/* What the supervisor lacks is no fault of what was loaded. */
static void want_of_memory_is_told_as_such(void **state)
{
    struct loader loader = LOADER_NONE;
    struct rlimit before, little;
    (void)state;
    if (SANITIZED)
        skip();
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    little = (struct rlimit){4096, before.rlim_max};
    assert_true(loader_begin(&loader, succeed, NULL, -1, 0));
    pid_t pid = loader.pid;
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    size_t open = descriptors();
    assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
    enum loader_outcome outcome = loader_end(&loader, pid, 0, 0);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(outcome, LOADER_DIED);
    assert_string_equal(loader.why, "the supervisor has no memory left for what was loaded");
    assert_int_equal(descriptors(), open - 1 - LOADER_FILES);
}

/* With fewer descriptors than it needs, no load begins, and none of them is lost. */
static void want_of_descriptors_begins_nothing(void **state)
{
    const size_t open = descriptors();
    const int next = dup(STDERR_FILENO);
    struct rlimit before, little;
    (void)state;
    assert_true(next >= 0 && close(next) == 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t more = 0; more < LOADER_FILES + 2; more++) {
        struct loader loader = LOADER_NONE;
        little = (struct rlimit){(rlim_t)next + more, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &little), 0);
        bool begun = loader_begin(&loader, succeed, NULL, -1, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_false(begun);
        assert_int_equal(loader.pid, 0);
        assert_int_equal(descriptors(), open);
    }
}

static void refusal_has_its_faults(void **state)
{
    struct loader result;
    (void)state;
    assert_int_equal(run(refuse, NULL, &result), LOADER_REFUSED);
    assert_int_equal(result.errors, 3);
    assert_int_equal(result.faults.len, LIMIT_STATUS_FAULTS);
    assert_null(result.loaded.image);
    loader_stop(&result);
}

static void one_that_is_silent_is_killed(void **state)
{
    struct loader loader = LOADER_NONE;
    int status = 0;
    (void)state;
    assert_true(loader_begin(&loader, loop, NULL, -1, 0));
    pid_t pid = loader.pid;
    struct pollfd polled = {.fd = loader.socket, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(loader_hear(&loader, 1000), LOADER_RUNS);
    assert_int_equal(loader.deadline, 1000 + LIMIT_LOAD_SILENCE_MS);
    assert_int_equal(loader_expire(&loader, loader.deadline - 1), LOADER_RUNS);
    assert_int_equal(loader_expire(&loader, loader.deadline), LOADER_DIED);
    assert_string_equal(loader.why, "the loader made no progress for 30 s");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(loader_end(&loader, pid, status, 0), LOADER_RUNS);
    assert_int_equal(loader_expire(&loader, INT64_MAX - 1), LOADER_RUNS);
}

static void disk_of_the_state_is_waited_for_less(void **state)
{
    struct loader loader = LOADER_NONE;
    (void)state;
    assert_true(loader_begin(&loader, read_state, NULL, -1, 0));
    struct pollfd polled = {.fd = loader.socket, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(loader_hear(&loader, 500), LOADER_RUNS);
    assert_int_equal(loader.deadline, 500 + LIMIT_SAVE_MS);
    pid_t pid = loader.pid;
    assert_int_equal(loader_expire(&loader, 500 + LIMIT_SAVE_MS), LOADER_STATE_HANGS);
    assert_int_equal(loader.pid, 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void reason_of_its_death_is_told(void **state)
{
    static const struct {
        loader_job *job;
        int number;
        const char *why;
    } deaths[] = {
        {raise_signal, SIGILL, "the loader died: Illegal instruction"},
        {raise_signal, SIGABRT, "the loader died: Aborted"},
        {raise_signal, SIGSYS, "the loader died: it made a system call that none needs"},
        {raise_signal, SIGKILL, "the loader was killed, likely because memory is short"},
        {end_with, HEAP_END_STATUS, "the loader ran out of memory"},
        {end_with, LOADER_FAILED, "the loader ended with status 2"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(deaths); i++) {
        struct loader result;
        int number = deaths[i].number;
        assert_int_equal(run(deaths[i].job, &number, &result), LOADER_DIED);
        assert_string_equal(result.why, deaths[i].why);
        loader_stop(&result);
    }
}

enum { ALL_SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* What a loader that was taken over may leave in its files: bytes of this size (0: of their own) with these
 * seals. */
struct content {
    size_t size;
    int seals;
};

/* Fills the file with a good image, cut or with zeros behind it. */
static void leave(const struct loader *loader, size_t file, struct content content)
{
    struct text image = small_image();
    int fd = loader->loaded.files[file];
    assert_int_equal(pwrite(fd, image.data, image.len, 0), image.len);
    assert_int_equal(ftruncate(fd, (off_t)(content.size == 0 ? image.len : content.size)), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, content.seals), 0);
    text_free(&image);
}

#define GOOD         \
    {                \
        0, ALL_SEALS \
    }

/* What it may say, with these files. */
struct nonsense {
    char bytes[2 * LIMIT_STATUS_FAULTS];
    size_t len;
    struct content files[LOADER_FILES]; /* without seals: it is left as it is */
};

static void talk(void *context, struct loader *loader)
{
    const struct nonsense *nonsense = context;
    for (size_t i = 0; i < LOADER_FILES; i++)
        if (nonsense->files[i].size > 0 || nonsense->files[i].seals > 0)
            leave(loader, i, nonsense->files[i]);
    _exit(send(loader->socket, nonsense->bytes, nonsense->len, 0) < 0 ? 1 : 0);
}

static const char no_result[] = "the loader handed over something that is no result";
static const char too_large[] = "the loader handed over something that is larger than allowed";

/* Runs one that says this; why is "" when it is a result. */
static void assert_died(struct nonsense *nonsense, const char *why, int number)
{
    struct loader result;
    size_t before = descriptors();
    enum loader_outcome outcome = run(talk, nonsense, &result);
    if ((outcome == LOADER_DIED) != (why[0] != '\0') || strcmp(result.why, why) != 0)
        fail_msg("case %d: %s", number, result.why);
    loader_stop(&result);
    assert_int_equal(descriptors(), before);
}

static void nonsense_is_no_result(void **state)
{
    static struct nonsense cases[] = {
        {.bytes = {LOADER_DONE}, .len = 23, .files = {GOOD, GOOD}},
        {.bytes = {LOADER_RUNS}, .len = 24, .files = {GOOD, GOOD}},
        {.bytes = {LOADER_DIED}, .len = 24, .files = {GOOD, GOOD}},
        {.bytes = {LOADER_STATE_HANGS}, .len = 24},
        {.bytes = {100}, .len = 24, .files = {GOOD, GOOD}},
        {.bytes = {-1}, .len = 24, .files = {GOOD, GOOD}},
        {.bytes = {'x'}, .len = 1},
        {.bytes = {LOADER_DONE}, .len = 1},
        {.bytes = {LOADER_REFUSED}, .len = 3},
        {.bytes = {LOADER_REFUSED}, .len = sizeof(cases[0].bytes)},
        {.bytes = {LOADER_DONE}, .len = sizeof(cases[0].bytes), .files = {GOOD, GOOD}},
        {.bytes = {[0] = LOADER_REFUSED, [24] = '\033'}, .len = 25},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_died(&cases[i], no_result, (int)i);
}

/* The settings and the site are there, bounded and sealed; and so is each part of the state, or it is not
 * saved. */
static void files_are_whole_or_not_used(void **state)
{
    static const struct {
        struct content content;
        const char *settings, *site, *state; /* why the load died for it */
    } cases[] = {
        {GOOD, "", "", ""},
        {{0, 0}, no_result, no_result, ""},
        {{100, 0}, no_result, no_result, ""},
        {{100, ALL_SEALS & ~F_SEAL_WRITE}, no_result, no_result, ""},
        {{0, ALL_SEALS & ~F_SEAL_WRITE}, no_result, no_result, ""},
        {{0, ALL_SEALS & ~F_SEAL_SHRINK}, no_result, no_result, ""},
        {{0, ALL_SEALS & ~F_SEAL_GROW}, no_result, no_result, ""},
        {{0, ALL_SEALS & ~F_SEAL_SEAL}, no_result, no_result, ""},
        {{1, ALL_SEALS}, no_result, "", ""},
        {{4096, ALL_SEALS}, no_result, "", ""},
        {{(size_t)LIMIT_SETTINGS_IMAGE + 1, ALL_SEALS}, no_result, "", ""},
        {{(size_t)LIMIT_STATE_FILE + 1, ALL_SEALS}, no_result, "", too_large},
        {{(size_t)LIMIT_IMAGE + 1, ALL_SEALS}, no_result, too_large, too_large},
        {{(size_t)1 << 40, ALL_SEALS}, no_result, too_large, too_large},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t at = 0; at < LOADER_FILES; at++) {
            struct nonsense nonsense = {.bytes = {LOADER_DONE}, .len = 24, .files = {GOOD, GOOD}};
            nonsense.files[at] = cases[i].content;
            assert_died(&nonsense,
                        at == LOADER_SETTINGS ? cases[i].settings
                        : at == LOADER_SITE   ? cases[i].site
                                              : cases[i].state,
                        (int)i);
        }
}

/* The files of a load that was refused are not used, whatever is in them. */
static void refused_load_has_no_files(void **state)
{
    struct nonsense nonsense = {.bytes = {LOADER_REFUSED}, .len = 24, .files = {GOOD, GOOD, GOOD}};
    struct loader result;
    (void)state;
    assert_int_equal(run(talk, &nonsense, &result), LOADER_REFUSED);
    assert_null(result.loaded.image);
    for (size_t i = 0; i < LOADER_FILES; i++)
        assert_int_equal(result.loaded.files[i], -1);
    loader_stop(&result);
}

static void fill_too_much(void *context, struct loader *loader)
{
    static const char page[4096];
    (void)context;
    fill_settings(loader);
    fill(loader, LOADER_SITE, "the site");
    /* It is not looked at. */
    assert_true(loader_fill(loader, LOADER_STATE + SAVER_PROMISES,
                            (struct span){page, (size_t)LIMIT_STATE_FILE + 1}));
    fill(loader, LOADER_STATE + SAVER_POLICIES, "the state");
    _exit(loader_tell(loader, LOADER_DONE) ? 0 : 1);
}

/* The loader itself leaves out, and logs, what would be refused: the rest is good. */
static void what_cannot_be_saved_is_left_out(void **state)
{
    struct loader result;
    (void)state;
    assert_int_equal(run(fill_too_much, NULL, &result), LOADER_DONE);
    assert_int_equal(result.loaded.files[LOADER_STATE + SAVER_PROMISES], -1);
    assert_true(result.loaded.files[LOADER_STATE + SAVER_POLICIES] >= 0);
    loader_stop(&result);
}

/* What is said after the result is not heard. */
static void succeed_twice(void *context, struct loader *loader)
{
    (void)context;
    fill_settings(loader);
    fill(loader, LOADER_SITE, "the site");
    assert_true(loader_tell(loader, LOADER_DONE));
    (void)loader_tell(loader, LOADER_REFUSED);
    (void)loader_tell(loader, LOADER_DONE);
    _exit(0);
}

static void only_the_first_result_counts(void **state)
{
    struct loader result;
    size_t before = descriptors();
    (void)state;
    assert_int_equal(run(succeed_twice, NULL, &result), LOADER_DONE);
    loader_stop(&result);
    assert_int_equal(descriptors(), before);
}

static void close_and_live(void *context, struct loader *loader)
{
    (void)context;
    (void)close(loader->socket);
    for (;;)
        (void)poll(NULL, 0, 1000); /* until it is killed */
}

/* The supervisor would be woken again and again by a socket that is closed. */
static void one_that_closes_its_socket_is_killed(void **state)
{
    struct loader result;
    (void)state;
    assert_int_equal(run(close_and_live, NULL, &result), LOADER_DIED);
    loader_stop(&result);
}

static void flood(void *context, struct loader *loader)
{
    (void)context;
    while (send(loader->socket, "p", 1, MSG_NOSIGNAL) == 1)
        ;
    _exit(0);
}

/* Each call reads a little of it, and in the end it was too much. */
static void one_that_never_stops_talking_is_killed(void **state)
{
    struct loader loader = LOADER_NONE;
    enum loader_outcome outcome = LOADER_RUNS;
    (void)state;
    assert_true(loader_begin(&loader, flood, NULL, -1, 0));
    pid_t pid = loader.pid;
    for (int i = 0; outcome == LOADER_RUNS && i < 10 * LIMIT_LOAD_WORDS; i++) {
        struct pollfd polled = {.fd = loader.socket, .events = POLLIN};
        unsigned before = loader.words;
        assert_int_equal(poll(&polled, 1, 10000), 1);
        outcome = loader_hear(&loader, 0);
        assert_true(loader.words - before <= LIMIT_LOAD_WORDS_AT_ONCE || outcome != LOADER_RUNS);
    }
    assert_int_equal(outcome, LOADER_DIED);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Progress without an end is none. */
static void one_that_comes_to_no_end_is_killed(void **state)
{
    struct loader loader = LOADER_NONE;
    (void)state;
    assert_true(loader_begin(&loader, loop, NULL, -1, 5));
    pid_t pid = loader.pid;
    struct pollfd polled = {.fd = loader.socket, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(loader_hear(&loader, LIMIT_LOAD_MS), LOADER_RUNS);
    assert_int_equal(loader.deadline, LIMIT_LOAD_MS + 5);
    assert_int_equal(loader_expire(&loader, loader.deadline), LOADER_DIED);
    assert_string_equal(loader.why, "the loader did not come to an end in 900 s");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_is_read),
        cmocka_unit_test(want_of_memory_is_told_as_such),
        cmocka_unit_test(want_of_descriptors_begins_nothing),
        cmocka_unit_test(refusal_has_its_faults),
        cmocka_unit_test(one_that_is_silent_is_killed),
        cmocka_unit_test(disk_of_the_state_is_waited_for_less),
        cmocka_unit_test(reason_of_its_death_is_told),
        cmocka_unit_test(nonsense_is_no_result),
        cmocka_unit_test(files_are_whole_or_not_used),
        cmocka_unit_test(refused_load_has_no_files),
        cmocka_unit_test(what_cannot_be_saved_is_left_out),
        cmocka_unit_test(only_the_first_result_counts),
        cmocka_unit_test(one_that_closes_its_socket_is_killed),
        cmocka_unit_test(one_that_never_stops_talking_is_killed),
        cmocka_unit_test(one_that_comes_to_no_end_is_killed),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
