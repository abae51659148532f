/* What the supervisor's filter forbids, as the kernel sees it: each in a process of its own. */
#include "sandbox/seal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitizer.h"
#include "unit.h"

static long execute(void)
{
    char *const none[] = {NULL};
    return execve("/nonexistent", none, none);
}

static long trace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long leave_place(void)
{
    return unshare(CLONE_NEWNS);
}

static long load_program(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}

static long open_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long open_packets(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static long map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

static long make_code(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? 0 : mprotect(memory, 4096, PROT_READ | PROT_EXEC);
}

static long fork_elsewhere(void)
{
    return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
}

static long make_device(void)
{
    return syscall(SYS_mknodat, -1, "/nonexistent", 0, 0);
}

static long change_owner(void)
{
    return syscall(SYS_fchownat, -1, "/nonexistent", 0, 0, 0);
}

static long set_rights_by_path(void)
{
    return syscall(SYS_fchmodat, -1, "/nonexistent", 0);
}

static long make_pipe(void)
{
    int ends[2];
    return pipe2(ends, 0);
}

static long call_of_the_future(void)
{
    return syscall(4095);
}

static long fork_as_usual(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static long open_listener(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    return fd < 0 && errno == EAFNOSUPPORT ? 0 : fd;
}

static const struct {
    const char *why;
    long (*act)(void);
    int signal; /* that ends the process; 0: none */
    int error;  /* with which it fails; 0: it works */
} rows[] = {
    {"execute", execute, SIGSYS, 0},
    {"trace", trace, SIGSYS, 0},
    {"leave its place", leave_place, SIGSYS, 0},
    {"load a program into the kernel", load_program, SIGSYS, 0},
    {"ask the kernel by netlink", open_netlink, 0, ENOSYS},
    {"see packets", open_packets, 0, ENOSYS},
    {"map code", map_code, 0, ENOSYS},
    {"make code of memory", make_code, 0, ENOSYS},
    {"fork into another place", fork_elsewhere, 0, ENOSYS},
    {"make a device", make_device, 0, ENOSYS},
    {"change an owner", change_owner, 0, ENOSYS},
    {"set rights by a path", set_rights_by_path, 0, ENOSYS},
    {"make a pipe, which nothing here needs", make_pipe, 0, ENOSYS},
    {"call what does not exist yet", call_of_the_future, 0, ENOSYS},
    {"fork", fork_as_usual, 0, 0},
    {"listen", open_listener, 0, 0},
};

/* 255: it could not be confined. */
static _Noreturn void act_confined(long (*act)(void))
{
    (void)signal(SIGSYS, SIG_DFL);
    if (!seal_supervisor())
        _exit(255);
    errno = 0;
    _exit(act() >= 0 ? 0 : errno);
}

static void only_what_is_needed_is_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int status = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            act_confined(rows[i].act);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        bool good = rows[i].signal != 0 ? WIFSIGNALED(status) && WTERMSIG(status) == rows[i].signal
                                        : WIFEXITED(status) && WEXITSTATUS(status) == rows[i].error;
        if (!good)
            fail_msg("%s: status %#x", rows[i].why, (unsigned)status);
    }
}

static bool has_filters(void)
{
    const unsigned action = 0x7fff0000U; /* SECCOMP_RET_ALLOW */
    return syscall(SYS_seccomp, 2 /* SECCOMP_GET_ACTION_AVAIL */, 0, &action) == 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_needed_is_allowed),
    };
    if (SANITIZED || !has_filters()) {
        print_message("1..0 # SKIP such a build, or this kernel, has no filter\n");
        return 0;
    }
    return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
