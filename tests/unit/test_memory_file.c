/* A block of memory that is sealed: nothing that a process can do changes it, and a file that is not
 * sealed is not taken. */
#include "base/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

enum { MOST = 1 << 24 };

/* Not a constant: a page is what the machine says. */
static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int finished(const char *bytes, size_t size)
{
    int fd = memory_file_open();
    assert_true(memory_file_fill(fd, (struct span){bytes, size}));
    return fd;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct memory_map map;
    size_t size = 5 * page() + 3;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t at = 0; at < size; at++)
        bytes[at] = (char)at;
    int fd = finished(bytes, size);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_true(memory_file_map(fd, size, &map));
    assert_int_equal(close(fd), 0);
    assert_int_equal(map.size, size);
    assert_memory_equal(map.data, bytes, size);
    memory_map_free(&map);
    assert_null(map.data);
    memory_map_free(&map);
    free(bytes);
}

static void what_cannot_be_written_or_sealed_is_told(void **state)
{
    (void)state;
    int reader = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), full = finished("sealed", 6);
    assert_false(memory_file_fill(-1, span_of("x")));
    assert_int_equal(errno, EBADF);
    assert_false(memory_file_fill(reader, span_of("x")));
    assert_int_equal(errno, EBADF);
    assert_false(memory_file_fill(full, span_of("x")));
    assert_int_equal(errno, EPERM);
    assert_int_equal(close(full) + close(reader), 0);
}

static void nobody_can_change_a_finished_file(void **state)
{
    (void)state;
    struct memory_map map;
    int fd = finished("sealed", 6);
    assert_true(memory_file_map(fd, MOST, &map));

    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 1), -1);
    assert_int_equal(ftruncate(fd, 1 << 20), -1);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    assert_int_equal(fallocate(fd, 0, 0, 1 << 20), -1);
    assert_ptr_equal(mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), -1);
    int writer = open("/proc/self/fd/0", O_RDONLY | O_CLOEXEC); /* is there /proc? */
    if (writer >= 0) {
        char path[64];
        assert_int_equal(close(writer), 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        writer = open(path, O_RDWR | O_CLOEXEC);
        if (writer >= 0) {
            assert_int_equal(pwrite(writer, "x", 1, 0), -1);
            assert_int_equal(close(writer), 0);
        }
    }
    /* The page itself: refused, or a page of this process alone. */
    char *bytes = (char *)(uintptr_t)map.data;
    if (mprotect(bytes, page(), PROT_READ | PROT_WRITE) == 0)
        bytes[0] = 'x';
    (void)madvise(bytes, page(), MADV_REMOVE);
    struct memory_map again;
    assert_true(memory_file_map(fd, MOST, &again));
    assert_memory_equal(again.data, "sealed", 6);
    memory_map_free(&again);
    memory_map_free(&map);
    assert_int_equal(close(fd), 0);
}

/* This kernel, if it is new or has /proc, refuses to make the mapping writable at all. */
static void a_mapping_stays_read_only(void **state)
{
    (void)state;
    struct memory_map map;
    int fd = finished("sealed", 6);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* a number fits */
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(memory_file_map(fd, MOST, &map));
    assert_int_equal(close(fd), 0);
    if (reader >= 0) {
        char *bytes = (char *)(uintptr_t)map.data;
        assert_int_equal(mprotect(bytes, page(), PROT_READ | PROT_WRITE), -1);
        assert_int_equal(errno, EACCES);
        assert_int_equal(mprotect(bytes, page(), PROT_WRITE), -1);
        assert_int_equal(close(reader), 0);
    }
    memory_map_free(&map);
}

static int with_seals(int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void refuse(int fd, size_t most, int reason)
{
    struct memory_map map = {0};
    assert_true(fd >= 0);
    assert_false(memory_file_map(fd, most, &map));
    assert_int_equal(errno, reason);
    assert_null(map.data);
    assert_int_equal(close(fd), 0);
}

static void what_is_not_sealed_is_not_mapped(void **state)
{
    (void)state;
    struct memory_map map;
    const int seals[] = {F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL};
    for (size_t missing = 0; missing < COUNT(seals); missing++) {
        int some = 0;
        for (size_t i = 0; i < COUNT(seals); i++)
            some |= i == missing ? 0 : seals[i];
        refuse(with_seals(some), MOST, EINVAL);
    }
    int empty = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(
        fcntl(empty, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    refuse(empty, MOST, EINVAL);
    refuse(finished("large", 5), 4, EFBIG);
    refuse(open("/dev/null", O_RDWR | O_CLOEXEC), MOST, EINVAL);
    refuse(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), MOST, EINVAL);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(close(ends[1]), 0);
    refuse(ends[0], MOST, EINVAL);
    assert_false(memory_file_map(-1, MOST, &map));
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(what_cannot_be_written_or_sealed_is_told),
        cmocka_unit_test(nobody_can_change_a_finished_file),
        cmocka_unit_test(a_mapping_stays_read_only),
        cmocka_unit_test(what_is_not_sealed_is_not_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
