/*
 * The loader as the supervisor sees it: what it hands over, and that nothing it does instead, to crash,
 * to hang, to eat memory, to talk nonsense, is more than a load that was refused.
 */
#include "supervise/loader.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/limits.h"
#include "base/sanitizer.h"
#include "unit.h"

static int hold(struct span bytes)
{
    struct memory_file file;
    assert_true(memory_file_new(bytes.len, &file));
    memcpy(file.data, bytes.data, bytes.len);
    return memory_file_finish(&file, bytes.len);
}

static int small_image(void)
{
    struct text bytes = {0};
    struct settings_image image = {
        .watch = {.file = "/etc/mta-sts.yaml"}, .uid = 1, .gid = 2, .not_after = 77};
    settings_image_print(&image, &bytes);
    int fd = hold((struct span){bytes.data, bytes.len});
    text_free(&bytes);
    return fd;
}

static void succeed(void *context, int socket)
{
    struct loader_result result = LOADER_RESULT_NONE;
    (void)context;
    loader_say(socket, LOADER_PROGRESS);
    result.outcome = LOADER_DONE;
    result.errors = 1;
    result.warnings = 2;
    result.site_fd = hold(span_of("the site"));
    result.state_fds[SAVER_POLICIES] = hold(span_of("the state"));
    text_append(&result.faults, span_of("one line\n"));
    _exit(loader_tell(socket, &result, small_image()) ? 0 : 1);
}

static void refuse(void *context, int socket)
{
    struct loader_result result = LOADER_RESULT_NONE;
    (void)context;
    result.outcome = LOADER_REFUSED;
    result.errors = 3;
    for (int i = 0; i < 2 * LIMIT_STATUS_FAULTS / 8; i++)
        text_append(&result.faults, span_of("a fault\n"));
    _exit(loader_tell(socket, &result, -1) ? 0 : 1);
}

static void loop(void *context, int socket)
{
    (void)context;
    loader_say(socket, LOADER_PROGRESS);
    for (;;)
        (void)poll(NULL, 0, 1000); /* until it is killed */
}

static void read_state(void *context, int socket)
{
    (void)context;
    loader_say(socket, LOADER_READS_STATE);
    for (;;)
        (void)poll(NULL, 0, 1000); /* until it is killed */
}

static void raise_signal(void *context, int socket)
{
    const struct rlimit none = {0, 0};
    (void)socket;
    assert_int_equal(setrlimit(RLIMIT_CORE, &none), 0);
    (void)signal(*(int *)context, SIG_DFL);
    (void)raise(*(int *)context);
}

static void end_with(void *context, int socket)
{
    (void)socket;
    _exit(*(int *)context);
}

/* Waits for the end of a load as the supervisor does. */
static enum loader_outcome wait_for(struct loader *loader, struct loader_result *ret_result)
{
    for (int i = 0; i < 30000; i++) {
        pid_t pid = loader->pid;
        int status = 0;
        (void)poll(NULL, 0, 1); /* a pause that is too short is no harm */
        enum loader_outcome outcome = loader_hear(loader, 0, ret_result);
        if (outcome == LOADER_RUNS && waitpid(pid, &status, WNOHANG) == pid)
            outcome = loader_end(loader, pid, status, 0, ret_result);
        if (outcome != LOADER_RUNS)
            return outcome;
    }
    fail();
    return LOADER_RUNS;
}

static enum loader_outcome run(loader_job *job, void *context, struct loader_result *ret_result)
{
    struct loader loader = LOADER_NONE;
    *ret_result = LOADER_RESULT_NONE;
    assert_true(loader_begin(&loader, job, context, -1, 0));
    assert_int_equal(loader.deadline, LIMIT_LOAD_SILENCE_MS);
    enum loader_outcome outcome = wait_for(&loader, ret_result);
    assert_int_equal(loader.pid, 0);
    assert_int_equal(loader.socket, -1);
    assert_true(loader.deadline == INT64_MAX);
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

static void result_is_handed_over(void **state)
{
    struct loader_result result;
    char bytes[16] = "";
    size_t before = descriptors();
    (void)state;
    assert_int_equal(run(succeed, NULL, &result), LOADER_DONE);
    assert_int_equal(result.errors, 1);
    assert_int_equal(result.warnings, 2);
    assert_string_equal(result.faults.data, "one line\n");
    assert_int_equal(result.image->not_after, 77);
    assert_int_equal(pread(result.site_fd, bytes, sizeof(bytes), 0), 8);
    assert_string_equal(bytes, "the site");
    assert_int_equal(pread(result.state_fds[SAVER_POLICIES], bytes, sizeof(bytes), 0), 9);
    assert_true((fcntl(result.site_fd, F_GETFD) & FD_CLOEXEC) != 0);
    loader_result_free(&result);
    assert_int_equal(descriptors(), before);
}

/* What the supervisor lacks is no fault of what was handed over. */
static void want_of_the_supervisor_is_told_as_such(void **state)
{
    static const struct {
        enum __rlimit_resource resource;
        rlim_t limit;
        const char *why;
    } wants[] = {
        {RLIMIT_NOFILE, 0, "the supervisor has no descriptors left for what was loaded"},
        {RLIMIT_AS, 4096, "the supervisor has no memory left for what was loaded"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(wants) - (SANITIZED ? 1 : 0); i++) {
        struct loader loader = LOADER_NONE;
        struct loader_result result = LOADER_RESULT_NONE;
        struct rlimit before, little;
        assert_int_equal(getrlimit(wants[i].resource, &before), 0);
        little = (struct rlimit){wants[i].limit, before.rlim_max};
        assert_true(loader_begin(&loader, succeed, NULL, -1, 0));
        pid_t pid = loader.pid;
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        size_t open = descriptors();
        assert_int_equal(setrlimit(wants[i].resource, &little), 0);
        enum loader_outcome outcome = loader_end(&loader, pid, 0, 0, &result);
        assert_int_equal(setrlimit(wants[i].resource, &before), 0);
        assert_int_equal(outcome, LOADER_DIED);
        assert_string_equal(result.why, wants[i].why);
        assert_int_equal(descriptors(), open - 1);
        loader_result_free(&result);
    }
}

static void refusal_has_its_faults(void **state)
{
    struct loader_result result;
    (void)state;
    assert_int_equal(run(refuse, NULL, &result), LOADER_REFUSED);
    assert_int_equal(result.errors, 3);
    assert_int_equal(result.faults.len, LIMIT_STATUS_FAULTS);
    assert_null(result.image);
    loader_result_free(&result);
}

static void one_that_is_silent_is_killed(void **state)
{
    struct loader loader = LOADER_NONE;
    struct loader_result result = LOADER_RESULT_NONE;
    int status = 0;
    (void)state;
    assert_true(loader_begin(&loader, loop, NULL, -1, 0));
    pid_t pid = loader.pid;
    struct pollfd polled = {.fd = loader.socket, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(loader_hear(&loader, 1000, &result), LOADER_RUNS);
    assert_int_equal(loader.deadline, 1000 + LIMIT_LOAD_SILENCE_MS);
    assert_int_equal(loader_expire(&loader, loader.deadline - 1, &result), LOADER_RUNS);
    assert_int_equal(loader_expire(&loader, loader.deadline, &result), LOADER_DIED);
    assert_string_equal(result.why, "the loader made no progress for 30 s");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(loader_end(&loader, pid, status, 0, &result), LOADER_RUNS);
    assert_int_equal(loader_expire(&loader, INT64_MAX - 1, &result), LOADER_RUNS);
    loader_result_free(&result);
}

static void disk_of_the_state_is_waited_for_less(void **state)
{
    struct loader loader = LOADER_NONE;
    struct loader_result result = LOADER_RESULT_NONE;
    (void)state;
    assert_true(loader_begin(&loader, read_state, NULL, -1, 0));
    struct pollfd polled = {.fd = loader.socket, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(loader_hear(&loader, 500, &result), LOADER_RUNS);
    assert_int_equal(loader.deadline, 500 + LIMIT_SAVE_MS);
    pid_t pid = loader.pid;
    assert_int_equal(loader_expire(&loader, 500 + LIMIT_SAVE_MS, &result), LOADER_STATE_HANGS);
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
        struct loader_result result;
        int number = deaths[i].number;
        assert_int_equal(run(deaths[i].job, &number, &result), LOADER_DIED);
        assert_string_equal(result.why, deaths[i].why);
        loader_result_free(&result);
    }
}

enum { ALL_SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* A good image in a memory file of that size (0: its own) with these seals. */
static int image_with(size_t size, int seals)
{
    char path[64];
    int good = small_image(), fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    off_t own = lseek(good, 0, SEEK_END);
    char bytes[1024];
    assert_true(fd >= 0 && own > 0 && own < (off_t)sizeof(bytes));
    assert_int_equal(pread(good, bytes, (size_t)own, 0), own);
    assert_int_equal(write(fd, bytes, (size_t)own), own);
    assert_int_equal(ftruncate(fd, size == 0 ? own : (off_t)size), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    (void)close(good);
    /* As a loader can open it for others, with the same seals. */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    (void)close(fd);
    return reader;
}

enum { ODD_IMAGES = 11, GOOD_IMAGE, LARGE_SITE, LARGE_STATE };

/* Each is no image of settings, but for the last one. */
static int odd_image(int number)
{
    switch (number) {
    case 1:
        return image_with(0, 0);
    case 2:
        return image_with(0, ALL_SEALS & ~F_SEAL_WRITE);
    case 3:
        return image_with(0, ALL_SEALS & ~F_SEAL_SHRINK);
    case 4:
        return image_with(0, ALL_SEALS & ~F_SEAL_GROW);
    case 5:
        return image_with(0, ALL_SEALS & ~F_SEAL_SEAL);
    case 6:
        return image_with(1, ALL_SEALS);
    case 7:
        return image_with(4096, ALL_SEALS);
    case 8:
        return image_with((size_t)LIMIT_SETTINGS_IMAGE + 1, ALL_SEALS);
    case 9:
        return image_with((size_t)1 << 40, ALL_SEALS);
    case 10:
        return open("/", O_RDONLY | O_CLOEXEC);
    case GOOD_IMAGE:
        return image_with(0, ALL_SEALS);
    case LARGE_SITE:
        return image_with((size_t)LIMIT_IMAGE + 1, ALL_SEALS);
    case LARGE_STATE:
        return image_with((size_t)LIMIT_STATE_FILE + 1, ALL_SEALS);
    default:
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}
/* What a loader that was taken over may say. */
struct nonsense {
    char bytes[2 * LIMIT_STATUS_FAULTS];
    size_t len;
    int fds[8]; /* 0: a good image; below it: an odd one */
    size_t count;
};

static void talk(void *context, int socket)
{
    const struct nonsense *nonsense = context;
    union {
        char bytes[CMSG_SPACE(sizeof(nonsense->fds))];
        struct cmsghdr first;
    } rights = {{0}};
    struct iovec part = {(void *)(uintptr_t)nonsense->bytes, nonsense->len};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (nonsense->count > 0) {
        header.msg_control = rights.bytes;
        header.msg_controllen = CMSG_SPACE(nonsense->count * sizeof(int));
        rights.first.cmsg_level = SOL_SOCKET;
        rights.first.cmsg_type = SCM_RIGHTS;
        rights.first.cmsg_len = CMSG_LEN(nonsense->count * sizeof(int));
        int fds[COUNT(nonsense->fds)];
        for (size_t i = 0; i < nonsense->count; i++)
            fds[i] = nonsense->fds[i] == 0  ? small_image()
                     : nonsense->fds[i] < 0 ? odd_image(-nonsense->fds[i])
                                            : nonsense->fds[i];
        memcpy(CMSG_DATA(&rights.first), fds, nonsense->count * sizeof(int));
    }
    _exit(sendmsg(socket, &header, 0) < 0 ? 1 : 0);
}

static void nonsense_is_no_result(void **state)
{
    static struct nonsense cases[32] = {
        {.bytes = {LOADER_DONE}, .len = 24},
        {.bytes = {LOADER_DONE, 1}, .len = 24},
        {.bytes = {LOADER_DONE, 1}, .len = 24, .count = 1},
        {.bytes = {LOADER_DONE, 1, 1}, .len = 24, .count = 2},
        {.bytes = {LOADER_DONE, 1}, .len = 24, .fds = {2, 2}, .count = 2},
        {.bytes = {LOADER_DONE, 0}, .len = 24, .count = 2},
        {.bytes = {LOADER_REFUSED, 1}, .len = 24, .count = 2},
        {.bytes = {LOADER_REFUSED, 0, 1}, .len = 24, .count = 1},
        {.bytes = {LOADER_REFUSED}, .len = 3},
        {.bytes = {LOADER_RUNS}, .len = 24},
        {.bytes = {LOADER_DIED}, .len = 24},
        {.bytes = {LOADER_STATE_HANGS}, .len = 24},
        {.bytes = {'p'}, .len = 1, .count = 3},
        {.bytes = {100}, .len = 24},
        {.bytes = {'x'}, .len = 1},
        {.bytes = {LOADER_DONE}, .len = 1},
        {.bytes = {LOADER_DONE, 1}, .len = 24, .count = 3},
        {.bytes = {LOADER_DONE, 1, 1}, .len = 24, .count = 4},
        {.bytes = {LOADER_DONE, 1, 7}, .len = 24, .count = 4},
        {.bytes = {LOADER_DONE, 1, 7}, .len = 24, .count = 6},
        {.bytes = {LOADER_DONE, 1, 7}, .len = 24, .count = 7},
        {.bytes = {LOADER_DONE, 1, 7}, .len = 24, .count = 8},
        {.bytes = {LOADER_REFUSED}, .len = sizeof(cases[0].bytes)},
        {.bytes = {LOADER_DONE, 1}, .len = sizeof(cases[0].bytes), .count = 2},
        {.bytes = {[0] = LOADER_REFUSED, [24] = '\033'}, .len = 25},
        {.len = 0, .count = 2},
    };
    enum { WRITTEN = 26 };
    size_t before = descriptors();
    (void)state;
    assert_true(cases[WRITTEN - 1].count == 2 && cases[WRITTEN].len == 0);
    for (int i = 0; i < WRITTEN + ODD_IMAGES; i++) {
        struct loader_result result;
        struct nonsense *one = &cases[i < WRITTEN ? i : WRITTEN];
        if (i >= WRITTEN)
            *one = (struct nonsense){
                .bytes = {LOADER_DONE, 1}, .len = 24, .fds = {WRITTEN - i - 1, 0}, .count = 2};
        if (run(talk, one, &result) != LOADER_DIED ||
            strcmp(result.why, "the loader handed over something that is no result") != 0)
            fail_msg("case %d: %s", i, result.why);
        loader_result_free(&result);
        assert_int_equal(descriptors(), before);
    }

    struct loader_result result;
    cases[WRITTEN].fds[0] = -GOOD_IMAGE;
    if (run(talk, &cases[WRITTEN], &result) != LOADER_DONE)
        fail_msg("%s", result.why);
    loader_result_free(&result);
}

/* The site and each part of the state are bounded, and must be sealed, too. */
static void files_that_are_too_large_are_refused(void **state)
{
    static const char too_large[] = "the loader handed over something that is larger than allowed";
    static const char no_result[] = "the loader handed over something that is no result";
    static const struct {
        int fd;
        const char *site, *state;
    } cases[] = {
        {-GOOD_IMAGE, NULL, NULL},           {-LARGE_STATE, NULL, too_large},
        {-LARGE_SITE, too_large, too_large}, {-1, no_result, no_result},
        {-10, no_result, no_result},
    };
    size_t before = descriptors();
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t at = 1; at < 5; at++) {
            struct loader_result result;
            struct nonsense nonsense = {.bytes = {LOADER_DONE, 1, 7}, .len = 24, .count = 5};
            const char *why = at == 1 ? cases[i].site : cases[i].state;
            nonsense.fds[at] = cases[i].fd;
            assert_int_equal(run(talk, &nonsense, &result),
                             why == NULL ? LOADER_DONE : LOADER_DIED);
            assert_string_equal(result.why, why == NULL ? "" : why);
            loader_result_free(&result);
            assert_int_equal(descriptors(), before);
        }
}

static void hand_over_too_much(void *context, int socket)
{
    struct loader_result result = LOADER_RESULT_NONE;
    (void)context;
    result.outcome = LOADER_DONE;
    result.site_fd = hold(span_of("the site"));
    result.state_fds[SAVER_PROMISES] = odd_image(LARGE_STATE);
    result.state_fds[SAVER_POLICIES] = hold(span_of("the state"));
    _exit(loader_tell(socket, &result, small_image()) ? 0 : 1);
}

/* The loader itself leaves out, and logs, what would be refused: the rest is good. */
static void what_cannot_be_saved_is_not_handed_over(void **state)
{
    struct loader_result result;
    (void)state;
    assert_int_equal(run(hand_over_too_much, NULL, &result), LOADER_DONE);
    assert_int_equal(result.state_fds[SAVER_PROMISES], -1);
    assert_true(result.state_fds[SAVER_POLICIES] >= 0);
    loader_result_free(&result);
}

/* What is said after the result is not heard, and its descriptors are closed. */
static void succeed_twice(void *context, int socket)
{
    struct loader_result result = LOADER_RESULT_NONE;
    (void)context;
    result.outcome = LOADER_DONE;
    result.site_fd = hold(span_of("the site"));
    assert_true(loader_tell(socket, &result, small_image()));
    result.outcome = LOADER_REFUSED;
    (void)loader_tell(socket, &result, -1);
    result.outcome = LOADER_DONE;
    (void)loader_tell(socket, &result, small_image());
    _exit(0);
}

static void only_the_first_result_counts(void **state)
{
    struct loader_result result;
    size_t before = descriptors();
    (void)state;
    assert_int_equal(run(succeed_twice, NULL, &result), LOADER_DONE);
    loader_result_free(&result);
    assert_int_equal(descriptors(), before);
}

static void close_and_live(void *context, int socket)
{
    (void)context;
    (void)close(socket);
    for (;;)
        (void)poll(NULL, 0, 1000); /* until it is killed */
}

/* The supervisor would be woken again and again by a socket that is closed. */
static void one_that_closes_its_socket_is_killed(void **state)
{
    struct loader_result result;
    (void)state;
    assert_int_equal(run(close_and_live, NULL, &result), LOADER_DIED);
    loader_result_free(&result);
}

static void flood(void *context, int socket)
{
    (void)context;
    while (send(socket, "p", 1, MSG_NOSIGNAL) == 1)
        ;
    _exit(0);
}

/* Each call reads a little of it, and in the end it was too much. */
static void one_that_never_stops_talking_is_killed(void **state)
{
    struct loader loader = LOADER_NONE;
    struct loader_result result = LOADER_RESULT_NONE;
    enum loader_outcome outcome = LOADER_RUNS;
    (void)state;
    assert_true(loader_begin(&loader, flood, NULL, -1, 0));
    pid_t pid = loader.pid;
    for (int i = 0; outcome == LOADER_RUNS && i < 10 * LIMIT_LOAD_WORDS; i++) {
        struct pollfd polled = {.fd = loader.socket, .events = POLLIN};
        unsigned before = loader.words;
        assert_int_equal(poll(&polled, 1, 10000), 1);
        outcome = loader_hear(&loader, 0, &result);
        assert_true(loader.words - before <= LIMIT_LOAD_WORDS_AT_ONCE || outcome != LOADER_RUNS);
    }
    assert_int_equal(outcome, LOADER_DIED);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Progress without an end is none. */
static void one_that_comes_to_no_end_is_killed(void **state)
{
    struct loader loader = LOADER_NONE;
    struct loader_result result = LOADER_RESULT_NONE;
    (void)state;
    assert_true(loader_begin(&loader, loop, NULL, -1, 5));
    pid_t pid = loader.pid;
    struct pollfd polled = {.fd = loader.socket, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(loader_hear(&loader, LIMIT_LOAD_MS, &result), LOADER_RUNS);
    assert_int_equal(loader.deadline, LIMIT_LOAD_MS + 5);
    assert_int_equal(loader_expire(&loader, loader.deadline, &result), LOADER_DIED);
    assert_string_equal(result.why, "the loader did not come to an end in 900 s");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_is_handed_over),
        cmocka_unit_test(want_of_the_supervisor_is_told_as_such),
        cmocka_unit_test(refusal_has_its_faults),
        cmocka_unit_test(one_that_is_silent_is_killed),
        cmocka_unit_test(disk_of_the_state_is_waited_for_less),
        cmocka_unit_test(reason_of_its_death_is_told),
        cmocka_unit_test(nonsense_is_no_result),
        cmocka_unit_test(files_that_are_too_large_are_refused),
        cmocka_unit_test(what_cannot_be_saved_is_not_handed_over),
        cmocka_unit_test(only_the_first_result_counts),
        cmocka_unit_test(one_that_closes_its_socket_is_killed),
        cmocka_unit_test(one_that_never_stops_talking_is_killed),
        cmocka_unit_test(one_that_comes_to_no_end_is_killed),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
