/*
 * The saver: one child at a time saves what waits, the newest of each part; a child that was killed is
 * replaced, but not for ever; and one that hangs is waited for no longer than was said.
 */
#include "supervise/loader.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/memory_file.h"
#include "base/sanitizer.h"
#include "unit.h"

static char folder[] = "/tmp/test_saver.XXXXXX";
static const char PROMISES[] = "served-policies.txt", POLICIES[] = "last-valid-policies.yaml";

static int hold(const char *bytes)
{
    int fd = memory_file_open();
    assert_true(memory_file_fill(fd, span_of(bytes)));
    return fd;
}

/* What the file has, or "" when it is not there; it is removed. */
static const char *take(const char *name)
{
    static char bytes[64];
    int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(place, name, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, bytes, sizeof(bytes) - 1);
    assert_true(place >= 0 && len >= 0);
    bytes[len] = '\0';
    if (fd >= 0)
        assert_int_equal(close(fd) + unlinkat(place, name, 0), 0);
    assert_int_equal(close(place), 0);
    return bytes;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

static int wait_for(const struct saver *saver)
{
    int status = 0;
    assert_true(saver->pid > 0);
    assert_int_equal(waitpid(saver->pid, &status, 0), saver->pid);
    return status;
}

static void bytes_are_saved_each_in_its_turn(void **state)
{
    const struct settings settings = {.state = folder};
    struct saver saver = SAVER_NONE;
    int before = open_descriptors();
    (void)state;
    saver_begin(&saver, &settings, SAVER_PROMISES, hold("first"), 1000);
    assert_true(saver_is_waited_for(&saver));
    assert_int_equal(saver.deadline, 1000 + LIMIT_SAVE_MS);
    saver_begin(&saver, &settings, SAVER_POLICIES, hold("old"), 1000);
    saver_begin(&saver, &settings, SAVER_POLICIES, hold("new"), 1000);
    saver_begin(&saver, &settings, SAVER_PROMISES_AFTER, hold("after"), 1000);
    assert_int_equal(wait_for(&saver), 0);
    assert_string_equal(take(PROMISES), "first");
    assert_false(saver_end(&saver, saver.pid + 1, 0, &settings, 1000));
    assert_true(saver_end(&saver, saver.pid, 0, &settings, 2000));
    assert_int_equal(saver.deadline, 2000 + LIMIT_SAVE_MS);
    assert_int_equal(wait_for(&saver), 0);
    assert_string_equal(take(POLICIES), "new");
    assert_true(saver_end(&saver, saver.pid, 0, &settings, 3000));
    assert_int_equal(wait_for(&saver), 0);
    assert_string_equal(take(PROMISES), "after");
    assert_true(saver_end(&saver, saver.pid, 0, &settings, 4000));
    assert_int_equal(saver.pid, 0);
    assert_false(saver_is_waited_for(&saver));
    assert_int_equal(open_descriptors(), before);
}

/* What was to be said after a load is not said any more when the next one says more. */
static void newer_promises_replace_what_waits(void **state)
{
    const struct settings settings = {.state = folder}, stateless = {0};
    struct saver saver = SAVER_NONE;
    int before = open_descriptors();
    (void)state;
    saver_begin(&saver, &settings, SAVER_POLICIES, hold("a"), 0);
    saver_begin(&saver, &settings, SAVER_PROMISES_AFTER, hold("b"), 0);
    saver_begin(&saver, &settings, SAVER_PROMISES, hold("c"), 0);
    assert_int_equal(saver.waiting[SAVER_PROMISES_AFTER], -1);
    saver_begin(&saver, &settings, SAVER_PROMISES, -1, 0);
    assert_int_equal(wait_for(&saver), 0);
    assert_true(saver_end(&saver, saver.pid, 0, &settings, 0));
    assert_int_equal(saver.pid, 0);
    assert_string_equal(take(POLICIES), "a");
    saver_begin(&saver, &stateless, SAVER_PROMISES, hold("d"), 0);
    assert_int_equal(saver.pid, 0);
    assert_string_equal(take(PROMISES), "");
    assert_int_equal(open_descriptors(), before);
}

static void one_that_was_killed_is_replaced(void **state)
{
    const struct settings settings = {.state = folder};
    struct saver saver = SAVER_NONE;
    int before = open_descriptors();
    (void)state;
    saver_begin(&saver, &settings, SAVER_PROMISES, hold("held"), 1000);
    saver_begin(&saver, &settings, SAVER_POLICIES, hold("valid"), 1000);
    for (int i = 0; i < LIMIT_SAVER_DEATHS; i++) {
        assert_int_equal(wait_for(&saver), 0);
        assert_string_equal(take(PROMISES), "held");
        assert_true(saver_end(&saver, saver.pid, SIGKILL, &settings, 1500));
        assert_int_equal(saver.part, SAVER_PROMISES);
        assert_int_equal(saver.deadline, 1000 + LIMIT_SAVE_MS); /* it is no later for that */
    }
    assert_int_equal(wait_for(&saver), 0);
    assert_true(saver_end(&saver, saver.pid, SIGKILL, &settings, 1500));
    assert_int_equal(saver.part, SAVER_POLICIES);
    assert_int_equal(wait_for(&saver), 0);
    assert_true(saver_end(&saver, saver.pid, 256, &settings, 1500)); /* status 1: it said why */
    assert_int_equal(saver.pid, 0);
    assert_int_equal(open_descriptors(), before);
    assert_string_equal(take(PROMISES), "held");
    assert_string_equal(take(POLICIES), "valid");
}

static void what_is_newer_is_saved_instead(void **state)
{
    const struct settings settings = {.state = folder};
    struct saver saver = SAVER_NONE;
    (void)state;
    saver_begin(&saver, &settings, SAVER_PROMISES, hold("old"), 0);
    saver_begin(&saver, &settings, SAVER_PROMISES, hold("new"), 0);
    assert_int_equal(wait_for(&saver), 0);
    assert_true(saver_end(&saver, saver.pid, SIGKILL, &settings, 0));
    assert_int_equal(wait_for(&saver), 0);
    assert_string_equal(take(PROMISES), "new");
    assert_true(saver_end(&saver, saver.pid, 0, &settings, 0));
    assert_int_equal(saver.pid, 0);
}

static void one_that_hangs_is_not_waited_for(void **state)
{
    const struct settings settings = {.state = folder};
    struct saver saver = SAVER_NONE;
    (void)state;
    saver_begin(&saver, &settings, SAVER_PROMISES, hold("late"), 0);
    saver_expire(&saver, &settings, LIMIT_SAVE_MS - 1);
    assert_true(saver_is_waited_for(&saver));
    saver_expire(&saver, &settings, LIMIT_SAVE_MS);
    assert_false(saver_is_waited_for(&saver));
    saver_begin(&saver, &settings, SAVER_POLICIES, hold("later"), LIMIT_SAVE_MS);
    assert_int_equal(wait_for(&saver), 0);
    assert_true(saver_end(&saver, saver.pid, 0, &settings, LIMIT_SAVE_MS));
    assert_false(saver_is_waited_for(&saver));
    assert_int_equal(wait_for(&saver), 0);
    assert_true(saver_end(&saver, saver.pid, 0, &settings, LIMIT_SAVE_MS));
    assert_false(saver.is_late);
    assert_string_equal(take(PROMISES), "late");
    assert_string_equal(take(POLICIES), "later");
}

/* A loader that was taken over hands over anything. */
static void what_is_no_sealed_file_or_too_large_is_not_saved(void **state)
{
    const struct settings settings = {.state = folder};
    struct saver saver = SAVER_NONE;
    (void)state;
    for (int i = 0; i < 3; i++) {
        int fd = i == 2 ? open("/dev/zero", O_RDONLY | O_CLOEXEC)
                        : memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        off_t size = i == 0 ? (off_t)LIMIT_STATE_FILE + 1 : 8;
        int seals =
            i == 0 ? F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL : F_SEAL_WRITE;
        assert_true(i == 2 || (ftruncate(fd, size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0));
        saver_begin(&saver, &settings, SAVER_POLICIES, fd, 0);
        int status = wait_for(&saver);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        assert_true(saver_end(&saver, saver.pid, status, &settings, 0));
        assert_string_equal(take(POLICIES), "");
    }
}

/* As after chmod(1), or with another umask; the file is to be written, and is written already. */
static void rights_stay_and_no_memory_is_needed(void **state)
{
    const struct settings settings = {.state = folder};
    struct rlimit before, little;
    static char large[(4U << 20) + 1];
    char path[64];
    struct saver saver = SAVER_NONE;
    struct stat first = {0}, second = {0};
    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    (void)snprintf(path, sizeof(path), "%s/%s", folder, PROMISES);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && fchmod(fd, 0666) == 0 && close(fd) == 0);
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    little = before;
    little.rlim_cur = SANITIZED ? before.rlim_cur : 4096; /* the kernel takes 0 for no limit */
    for (int i = 0; i < 2; i++) {
        fd = hold(large);
        assert_int_equal(setrlimit(RLIMIT_DATA, &little), 0);
        saver_begin(&saver, &settings, SAVER_PROMISES, fd, 0);
        assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
        assert_int_equal(wait_for(&saver), 0);
        assert_true(saver_end(&saver, saver.pid, 0, &settings, 0));
        assert_int_equal(stat(path, i == 0 ? &first : &second), 0);
    }
    assert_int_equal(first.st_size, 4U << 20);
    assert_int_equal(first.st_mode & 0777, 0666);
    assert_int_equal(first.st_ino, second.st_ino);
    assert_int_equal(unlink(path), 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_saved_each_in_its_turn),
        cmocka_unit_test(newer_promises_replace_what_waits),
        cmocka_unit_test(one_that_was_killed_is_replaced),
        cmocka_unit_test(what_is_newer_is_saved_instead),
        cmocka_unit_test(one_that_hangs_is_not_waited_for),
        cmocka_unit_test(what_is_no_sealed_file_or_too_large_is_not_saved),
        cmocka_unit_test(rights_stay_and_no_memory_is_needed),
    };
    return cmocka_run_group_tests_name("saver", tests, make_folder, remove_folder);
}
