/* A block of memory that is sealed: nothing that a process can do changes it, and a file that is not
 * sealed is not taken. */
#include "base/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
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
    struct memory_file file;
    assert_true(memory_file_new(size, &file));
    memcpy(file.data, bytes, size);
    int fd = memory_file_finish(&file, size);
    assert_true(fd >= 0);
    assert_null(file.data);
    return fd;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct memory_file file;
    struct memory_map map;
    size_t size = 5 * page() + 3;
    assert_true(memory_file_new(0, &file));
    assert_true(file.room >= 1);
    file.data[0] = 'a';
    for (size_t at = 1; at < size; at++) {
        if (at == file.room)
            assert_true(memory_file_grow(&file, at + 1));
        assert_int_equal(file.data[at], 0);
        file.data[at] = (char)at;
    }
    int fd = memory_file_finish(&file, size);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_true(memory_file_map(fd, size, &map));
    assert_int_equal(close(fd), 0);
    assert_int_equal(map.size, size);
    assert_int_equal(map.data[0], 'a');
    for (size_t at = 1; at < size; at++)
        assert_int_equal(map.data[at], (char)at);
    memory_map_free(&map);
    assert_null(map.data);
    memory_map_free(&map);
}

static void a_file_can_be_given_back(void **state)
{
    (void)state;
    struct memory_file file = {0};
    memory_file_free(&file);
    assert_true(memory_file_new(1, &file));
    int fd = file.fd;
    memory_file_free(&file);
    assert_null(file.data);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* Room that no file can have leaves the file as it was. */
static void too_much_room_is_refused(void **state)
{
    (void)state;
    struct memory_file file;
    assert_true(memory_file_new(1, &file));
    size_t room = file.room;
    file.data[0] = 'x';
    assert_false(memory_file_grow(&file, (size_t)1 << 62));
    assert_int_equal(file.room, room);
    assert_int_equal(file.data[0], 'x');
    memory_file_free(&file);
}

/* Also when it became larger meanwhile. */
static void a_child_does_not_keep_a_file_from_being_finished(void **state)
{
    (void)state;
    struct memory_file file;
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(memory_file_new(1, &file));
    assert_true(memory_file_grow(&file, 8 * page()));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1); /* until the parent closes its end */
    }
    int fd = memory_file_finish(&file, 1);
    assert_true(fd >= 0);
    assert_int_equal(close(fd) + close(ends[1]) + close(ends[0]), 0);
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
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
        cmocka_unit_test(a_file_can_be_given_back),
        cmocka_unit_test(too_much_room_is_refused),
        cmocka_unit_test(a_child_does_not_keep_a_file_from_being_finished),
        cmocka_unit_test(nobody_can_change_a_finished_file),
        cmocka_unit_test(a_mapping_stays_read_only),
        cmocka_unit_test(what_is_not_sealed_is_not_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
