/* Landlock and the empty root folder, each alone: what a process can still do with files when it has no
 * filter of system calls; and the privileges that are given up for good. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "sandbox/filesystem.h"
#include "sandbox/privilege.h"
#include "unit.h"

enum { NOBODY = 65534, LACKING = 98, LANDLOCK_PORTS = 4, LANDLOCK_SCOPES = 6 };

/* Runs it in a child, which cannot undo what it gives up; its exit status. */
static int status_of(int (*act)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(act());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool become_nobody(void)
{
    return setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static bool fails_with(long result, int reason)
{
    return result == -1 && errno == reason;
}

static int landlock_version(void)
{
    return (int)syscall(444, NULL, 0, 1); /* landlock_create_ruleset, asked for its version */
}

/* Each line of what follows is tried; the number of the first that got through, or 0. */
static int try_behind_landlock(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char program[] = "/proc/self/exe", *arguments[] = {program, NULL};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !filesystem_restrict(false))
        return LACKING;
    const bool held[] = {
        fails_with(open("/etc/passwd", O_RDONLY | O_CLOEXEC), EACCES),
        fails_with(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES),
        fails_with(openat(folder, "etc/passwd", O_RDONLY | O_CLOEXEC), EACCES),
        fails_with(open("/dev/null", O_WRONLY | O_CLOEXEC), EACCES),
        fails_with(open("/tmp/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EACCES),
        fails_with(mkdir("/tmp/x", 0700), EACCES),
        fails_with(execv(program, arguments), EACCES),
        landlock_version() < LANDLOCK_PORTS ||
            fails_with(bind(tcp, (struct sockaddr *)&here, sizeof(here)), EACCES),
        landlock_version() < LANDLOCK_SCOPES || fails_with(kill(getppid(), 0), EPERM),
    };
    for (size_t i = 0; i < COUNT(held); i++)
        if (!held[i])
            return (int)i + 1;
    return 0;
}

static void landlock_leaves_nothing(void **state)
{
    (void)state;
    if (landlock_version() < 1)
        skip();
    assert_int_equal(status_of(try_behind_landlock), 0);
}

/* The same for who may still read. */
static int try_behind_landlock_for_reading(void)
{
    char program[] = "/proc/self/exe", *arguments[] = {program, NULL};
    int memory = (int)syscall(SYS_memfd_create, "x", 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !filesystem_restrict(true))
        return LACKING;
    const bool held[] = {
        open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0,
        open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0,
        open("/proc/self/status", O_RDONLY | O_CLOEXEC) >= 0,
        ftruncate(memory, 1) == 0,
        fails_with(open("/dev/null", O_WRONLY | O_CLOEXEC), EACCES),
        fails_with(open("/dev/null", O_RDWR | O_CLOEXEC), EACCES),
        fails_with(open("/tmp/x", O_RDONLY | O_CREAT | O_CLOEXEC, 0600), EACCES),
        fails_with(mkdir("/tmp/x", 0700), EACCES),
        fails_with(unlink("/etc/passwd"), EACCES),
        fails_with(execv(program, arguments), EACCES),
        landlock_version() < LANDLOCK_SCOPES || fails_with(kill(getppid(), 0), EPERM),
    };
    for (size_t i = 0; i < COUNT(held); i++)
        if (!held[i])
            return (int)i + 1;
    return 0;
}

static void landlock_for_reading_leaves_reading(void **state)
{
    (void)state;
    if (landlock_version() < 1)
        skip();
    assert_int_equal(status_of(try_behind_landlock_for_reading), 0);
}

static int landlock_without_its_condition(void)
{
    if (geteuid() == 0 && !become_nobody())
        return LACKING;
    return filesystem_restrict(false) || errno != EPERM;
}

static void landlock_is_not_claimed_where_it_fails(void **state)
{
    (void)state;
    if (landlock_version() < 1)
        skip();
    assert_int_equal(status_of(landlock_without_its_condition), 0);
}

static int try_in_the_void(void)
{
    int fd = filesystem_open_empty_root();
    if (fd < 0 || !filesystem_enter_empty_root(fd))
        return LACKING;
    const bool held[] = {
        fails_with(fcntl(fd, F_GETFD), EBADF),
        fails_with(open("/etc/passwd", O_RDONLY | O_CLOEXEC), ENOENT),
        fails_with(open("../../etc/passwd", O_RDONLY | O_CLOEXEC), ENOENT),
        fails_with(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), ENOENT),
        fails_with(open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), ENOENT),
        fails_with(mkdir("/x", 0700), ENOENT),
        fails_with(mkdir("x", 0700), ENOENT),
    };
    for (size_t i = 0; i < COUNT(held); i++)
        if (!held[i])
            return (int)i + 1;
    return 0;
}

static void nothing_can_be_in_the_void(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(status_of(try_in_the_void), 0);
}

static int open_void_as_nobody(void)
{
    if (geteuid() == 0 && !become_nobody())
        return LACKING;
    return filesystem_open_empty_root() != -1 || errno != EPERM;
}

static void no_void_for_who_cannot_enter_it(void **state)
{
    (void)state;
    assert_int_equal(status_of(open_void_as_nobody), 0);
}

static int retain_two(void)
{
    const unsigned kept[] = {CAP_KILL, CAP_SETUID};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (!privilege_retain(kept, COUNT(kept)) || syscall(SYS_capget, &header, data) != 0)
        return 1;
    const uint32_t expected = 1U << CAP_KILL | 1U << CAP_SETUID;
    if (data[0].permitted != expected || data[0].effective != expected ||
        data[0].inheritable != 0 || (data[1].permitted | data[1].effective) != 0)
        return 2;
    if (setgroups(0, NULL) == 0 || setresgid(NOBODY, NOBODY, NOBODY) == 0)
        return 3; /* CAP_SETGID was not kept */
    return privilege_retain(NULL, 0) && setresuid(NOBODY, NOBODY, NOBODY) != 0 ? 0 : 4;
}

/* Each leaves a way back to root, in one of the six numbers. */
static int keep_saved_user(void)
{
    return setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, 0) == 0 &&
                   !privilege_is_final(NOBODY, NOBODY)
               ? 0
               : 1;
}

static int keep_saved_group(void)
{
    return setresgid(NOBODY, NOBODY, 0) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0 &&
                   !privilege_is_final(NOBODY, NOBODY)
               ? 0
               : 1;
}

static int keep_nothing(void)
{
    return setgroups(0, NULL) == 0 && become_nobody() && privilege_is_final(NOBODY, NOBODY) ? 0 : 1;
}

static void privileges_are_kept_or_gone_as_told(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(status_of(retain_two), 0);
    assert_int_equal(status_of(keep_saved_user), 0);
    assert_int_equal(status_of(keep_saved_group), 0);
    assert_int_equal(status_of(keep_nothing), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(landlock_leaves_nothing),
        cmocka_unit_test(landlock_for_reading_leaves_reading),
        cmocka_unit_test(landlock_is_not_claimed_where_it_fails),
        cmocka_unit_test(nothing_can_be_in_the_void),
        cmocka_unit_test(no_void_for_who_cannot_enter_it),
        cmocka_unit_test(privileges_are_kept_or_gone_as_told),
    };
    return cmocka_run_group_tests_name("filesystem", tests, NULL, NULL);
}
