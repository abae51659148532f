/* What a process was not given is closed; what it keeps stays open, in whatever order it is named. */
#include "base/descriptors.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* In a child, because this process has descriptors that it needs. Its status counts what is wrong. */
static int count_wrong(const int *kept, size_t count)
{
    int wrong = 0;
    for (int fd = 3; fd < 12; fd++)
        wrong += dup2(STDERR_FILENO, fd) == fd ? 0 : 1;
    wrong += dup2(STDERR_FILENO, 400) == 400 ? 0 : 1;
    descriptors_keep_only(kept, count);
    for (int fd = 0; fd < 500; fd++) {
        bool expected = false;
        for (size_t i = 0; i < count; i++)
            expected = expected || kept[i] == fd;
        wrong += is_open(fd) == expected ? 0 : 1;
    }
    return wrong;
}

static void only_the_named_stay_open(void **state)
{
    static const struct {
        int kept[6];
        size_t count;
    } rows[] = {
        {{0}, 0},
        {{2, 1, 0}, 3},
        {{400, 2, 7, -1, 8, 3}, 6},
        {{5, 5, 2, -1, -1}, 5},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int status = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(count_wrong(rows[i].kept, rows[i].count) != 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_named_stay_open),
    };
    return cmocka_run_group_tests_name("descriptors", tests, NULL, NULL);
}
