/* The seal in force: a child is sealed as a worker is and then does what an attacker would. Each
 * forbidden call must be its death by SIGSYS, not an error that could be worked around; and what a
 * worker does all day must go on. */
#include "sandbox/seal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sanitizer.h"
#include "unit.h"

enum { NOBODY = 65534, PAGE = 4096, STATUS_UNSEALED = 99, FILTER_STEP = SEAL_STEPS - 1 };

/* What the child has at hand: made before it is sealed, as a worker's sockets are. */
struct room {
    int pair[2]; /* a connected pair of stream sockets */
    int tcp;     /* a TCP socket that nobody is at the other end of */
    int epoll;
    int file; /* a regular file, open for writing, as standard error may be one */
    void *page;
};

static struct room furnish(void)
{
    struct room room = {.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    FILE *file = tmpfile();
    assert_true(room.tcp >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, room.pair), 0);
    room.epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(room.epoll >= 0);
    assert_non_null(file);
    room.file = fileno(file); /* the child ends without closing it */
    room.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(room.page != MAP_FAILED);
    return room;
}

static struct seal seal_here(void)
{
    bool is_root = geteuid() == 0;
    return (struct seal){
        .keep_identity = !is_root,
        .uid = is_root ? NOBODY : geteuid(),
        .gid = is_root ? NOBODY : getegid(),
        .supervisor = getppid(),
        .empty_root_fd = -1,
    };
}

/* The only excuse for a seal without its filter. */
static void skip_without_filters(void)
{
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
        skip();
}

/* The status with which a sealed child ends that does this; what it returns is its exit status.
 * Standard error is what the child says, up to size. */
static int end_of(int (*act)(const struct room *room), char *said, size_t size)
{
    int out[2], status = 0;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    struct room room = furnish();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct seal seal = seal_here();
        struct seal_report report;
        if (dup2(out[1], STDERR_FILENO) < 0 || seal_process(&seal, &report) != NULL ||
            report.outcomes[FILTER_STEP].state != SEAL_IN_FORCE)
            _exit(STATUS_UNSEALED);
        _exit(act(&room));
    }
    (void)close(out[1]); /* the child's */
    size_t len = 0;
    for (ssize_t count; len < size && (count = read(out[0], said + len, size - len)) > 0;)
        len += (size_t)count;
    assert_true(len < size);
    said[len] = '\0';
    assert_int_equal(waitpid(pid, &status, 0), pid);
    const int used[] = {out[0], room.pair[0], room.pair[1], room.tcp, room.epoll, room.file};
    for (size_t i = 0; i < COUNT(used); i++)
        (void)close(used[i]); /* nothing is in them that matters */
    assert_int_equal(munmap(room.page, PAGE), 0);
    return status;
}

#define CALL(n, ...)                                          \
    static int n(const struct room *room)                     \
    {                                                         \
        (void)room;                                           \
        (void)!syscall(__VA_ARGS__); /* it must not return */ \
        return 0;                                             \
    }

static const struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_port = 1};
static char *const no_arguments[] = {NULL};

CALL(try_open, SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY)
CALL(try_create, SYS_openat, AT_FDCWD, "x", O_WRONLY | O_CREAT, 0600)
CALL(try_stat, SYS_newfstatat, AT_FDCWD, "/etc/passwd", room->page, 0)
CALL(try_unlink, SYS_unlinkat, AT_FDCWD, "x", 0)
CALL(try_chmod, SYS_fchmodat, AT_FDCWD, "/", 0777)
CALL(try_chdir, SYS_chdir, "/")
CALL(try_chroot, SYS_chroot, "/")
CALL(try_mount, SYS_mount, "x", "/", "tmpfs", 0, NULL)
CALL(try_read, SYS_read, room->pair[0], room->page, 1)
CALL(try_truncate, SYS_ftruncate, room->file, 0)
CALL(try_fcntl, SYS_fcntl, room->pair[0], F_GETFL)
CALL(try_dup, SYS_dup, 2)
CALL(try_memfd, SYS_memfd_create, "x", 0)
CALL(try_pipe, SYS_pipe2, room->page, 0)
CALL(try_socket, SYS_socket, AF_INET, SOCK_STREAM, 0)
CALL(try_socketpair, SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, room->page)
CALL(try_connect, SYS_connect, room->tcp, &loopback, sizeof(loopback))
CALL(try_bind, SYS_bind, room->tcp, &loopback, sizeof(loopback))
CALL(try_listen, SYS_listen, room->tcp, 1)
CALL(try_connect_by_sending, SYS_sendto, room->tcp, "x", 1, MSG_FASTOPEN, &loopback,
     sizeof(loopback))
CALL(try_pass_descriptor, SYS_sendmsg, room->pair[0], room->page, 0)
CALL(try_socket_option, SYS_setsockopt, room->tcp, SOL_SOCKET, SO_REUSEADDR, room->page, 4)
CALL(try_tcp_module, SYS_setsockopt, room->tcp, IPPROTO_TCP, TCP_ULP, "tls", 4)
CALL(try_execute, SYS_execve, "/bin/true", no_arguments, no_arguments)
CALL(try_execute_at, SYS_execveat, AT_FDCWD, "/bin/true", no_arguments, no_arguments, 0)
CALL(try_clone, SYS_clone, SIGCHLD, 0, 0, 0, 0)
CALL(try_clone3, SYS_clone3, room->page, 64)
CALL(try_trace, SYS_ptrace, PTRACE_TRACEME, 0, 0, 0)
CALL(try_read_memory, SYS_process_vm_readv, getpid(), room->page, 0, room->page, 0, 0)
CALL(try_kill_itself, SYS_kill, getpid(), SIGTERM)
CALL(try_abort_others, SYS_tgkill, 1, 1, SIGABRT)
CALL(try_stop_itself, SYS_tgkill, getpid(), getpid(), SIGSTOP)
CALL(try_execute_page, SYS_mprotect, room->page, PAGE, PROT_READ | PROT_EXEC)
CALL(try_map_code, SYS_mmap, NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
CALL(try_map_file, SYS_mmap, NULL, PAGE, PROT_READ, MAP_SHARED, room->file, 0)
CALL(try_become_root, SYS_setresuid, 0, 0, 0)
CALL(try_capabilities, SYS_capset, room->page, room->page)
CALL(try_unseal, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
CALL(try_raise_limit, SYS_setrlimit, RLIMIT_CORE, room->page)
CALL(try_namespace, SYS_unshare, CLONE_NEWUSER)
CALL(try_filter, SYS_seccomp, 0, 0, NULL)
CALL(try_bpf, SYS_bpf, 0, room->page, 0)
CALL(try_io_uring, SYS_io_uring_setup, 1, room->page)
CALL(try_perf, SYS_perf_event_open, room->page, 0, 0, 0, 0)
CALL(try_control, SYS_ioctl, room->tcp, FIONREAD, room->page)
CALL(try_unknown, 5000, 0)

static int try_fork(const struct room *room)
{
    (void)room;
    return fork() < 0; /* through the C library, whichever call it takes */
}

static int try_thread(const struct room *room)
{
    return (int)syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, room->page, 0, 0, 0) >
           0;
}

#if defined(__x86_64__)
CALL(try_x32, 0x40000000 | SYS_recvfrom, room->pair[0], room->page, 1, MSG_DONTWAIT, NULL, NULL)
CALL(try_old_open, SYS_open, "/etc/passwd", O_RDONLY)
CALL(try_old_fork, SYS_fork)
CALL(try_old_vfork, SYS_vfork)
#endif

static const struct {
    const char *name;
    int (*act)(const struct room *room);
    bool told_when_sanitized; /* the runtime gets an error, or it needs the call itself */
} forbidden[] = {
    {"open", try_open, true},
    {"create", try_create, true},
    {"stat", try_stat, true},
    {"unlink", try_unlink, false},
    {"chmod", try_chmod, false},
    {"chdir", try_chdir, false},
    {"chroot", try_chroot, false},
    {"mount", try_mount, false},
    {"read", try_read, false},
    {"truncate", try_truncate, false},
    {"fcntl", try_fcntl, false},
    {"dup", try_dup, false},
    {"memfd_create", try_memfd, false},
    {"pipe", try_pipe, false},
    {"socket", try_socket, false},
    {"socketpair", try_socketpair, false},
    {"connect", try_connect, false},
    {"bind", try_bind, false},
    {"listen", try_listen, false},
    {"connect by sending", try_connect_by_sending, false},
    {"pass a descriptor", try_pass_descriptor, false},
    {"an option of a socket", try_socket_option, false},
    {"a module for TCP", try_tcp_module, false},
    {"execve", try_execute, false},
    {"execveat", try_execute_at, false},
    {"fork", try_fork, false},
    {"clone", try_clone, false},
    {"clone3", try_clone3, false},
    {"a thread", try_thread, false},
    {"ptrace", try_trace, false},
    {"read another's memory", try_read_memory, false},
    {"kill", try_kill_itself, false},
    {"abort others", try_abort_others, false},
    {"stop itself", try_stop_itself, false},
    {"execute a page", try_execute_page, false},
    {"map code", try_map_code, true},
    {"map a file", try_map_file, true},
    {"become root", try_become_root, false},
    {"capabilities", try_capabilities, false},
    {"prctl", try_unseal, false},
    {"raise a limit", try_raise_limit, false},
    {"a namespace", try_namespace, false},
    {"seccomp", try_filter, false},
    {"bpf", try_bpf, false},
    {"io_uring", try_io_uring, false},
    {"perf", try_perf, false},
    {"ioctl", try_control, true},
    {"a call that no kernel has", try_unknown, false},
#if defined(__x86_64__)
    {"x32", try_x32, false},
    {"the old open", try_old_open, true},
    {"the old fork", try_old_fork, false},
    {"the old vfork", try_old_vfork, false},
#endif
};

static void forbidden_calls_are_fatal(void **state)
{
    (void)state;
    skip_without_filters();
    char said[PAGE];
    for (size_t i = 0; i < COUNT(forbidden); i++) {
        if (SANITIZED && forbidden[i].told_when_sanitized)
            continue;
        int status = end_of(forbidden[i].act, said, sizeof(said));
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%s: not SIGSYS but status %#x", forbidden[i].name, (unsigned)status);
        assert_string_equal(said, "");
    }
}

#if defined(__x86_64__)
/* The door of 32-bit programs, where open has the number that fstat has here. A kernel without that
 * door ends the process too, in its own way. */
static int try_other_door(const struct room *room)
{
    (void)room;
    long result = 5;
    __asm__ volatile("int $0x80" : "+a"(result) : "b"(0L), "c"(0L), "d"(0L) : "memory");
    return 0;
}

static void door_of_another_processor_is_shut(void **state)
{
    (void)state;
    skip_without_filters();
    char said[PAGE];
    int status = end_of(try_other_door, said, sizeof(said));
    assert_true(WIFSIGNALED(status) || (SANITIZED && WEXITSTATUS(status) != 0));
    if (WIFSIGNALED(status))
        assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
}
#endif

/* A worker's day: each is 0 when it went well. */
static int live(const struct room *room)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct timespec now;
    const int on = 1;
    char byte = 0;
    if (epoll_ctl(room->epoll, EPOLL_CTL_ADD, room->pair[0], &event) != 0 ||
        send(room->pair[1], "x", 1, MSG_NOSIGNAL) != 1 ||
        epoll_wait(room->epoll, &event, 1, -1) != 1 || recv(room->pair[0], &byte, 1, 0) != 1)
        return 1;
    if (setsockopt(room->tcp, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)) != 0 ||
        shutdown(room->pair[0], SHUT_WR) != 0 || close(room->pair[0]) != 0)
        return 2;
    if (accept4(room->tcp, NULL, NULL, SOCK_CLOEXEC) != -1 || errno != EINVAL)
        return 3; /* it does not listen, says the kernel: the call got through */
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0 || time(NULL) < 1 ||
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) != 0 || getrandom(&byte, 1, 0) != 1)
        return 4;
    return 0;
}

/* Sizes around those where the allocator turns to the kernel, in one way or the other. */
static int allocate(const struct room *room)
{
    void *held[64] = {NULL};
    bool good = true;
    (void)room;
    for (size_t round = 0; round < 4; round++)
        for (size_t i = 0; i < COUNT(held); i++) {
            size_t size = ((size_t)16 << (i % 22)) + round;
            void *larger = realloc(held[i], size);
            good = good && larger != NULL;
            if (larger == NULL)
                continue;
            held[i] = larger;
            memset(larger, 1, size);
        }
    for (size_t i = 0; i < COUNT(held); i++)
        free(held[i]);
    return good ? 0 : 1;
}

static int say(const struct room *room)
{
    (void)room;
    log_line(LOG_LEVEL_NOTICE, "%s", strerror(0) == NULL ? "" : "heard");
    return 0;
}

/* Standard error may be a file, and no limit may stop the log then. */
static int say_to_a_file(const struct room *room)
{
    return write(room->file, "x", 1) == 1 ? 0 : 1;
}

static int assert_wrongly(const struct room *room)
{
    assert(room == NULL);
    return 0;
}

static int abort_at_once(const struct room *room)
{
    (void)room;
    abort();
}

static void what_a_worker_does_goes_on(void **state)
{
    (void)state;
    skip_without_filters();
    static const struct {
        const char *name;
        int (*act)(const struct room *room);
        const char *said; /* a part of it */
        int signal_number;
    } rows[] = {
        {"live", live, "", 0},
        {"allocate", allocate, "", 0},
        {"say", say, "mta-sts-httpd: heard\n", 0},
        {"say to a file", say_to_a_file, "", 0},
        {"assert", assert_wrongly, "room == NULL", SIGABRT},
        {"abort", abort_at_once, "", SIGABRT},
    };
    char said[PAGE];
    for (size_t i = 0; i < COUNT(rows); i++) {
        int status = end_of(rows[i].act, said, sizeof(said));
        bool as_expected = rows[i].signal_number == 0
                               ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                               : WIFSIGNALED(status) && WTERMSIG(status) == rows[i].signal_number;
        if (!as_expected || strstr(said, rows[i].said) == NULL)
            fail_msg("%s: status %#x, \"%s\"", rows[i].name, (unsigned)status, said);
    }
}

#if SANITIZED
/* Where the runtime could not report, a fault that it found would look like an attacker's call. */
static int overflow(const struct room *room)
{
    volatile size_t size = 8; /* so that the compiler does not see it coming */
    char *bytes = calloc(1, size);
    return room->page == NULL || bytes == NULL ? 0 : bytes[size];
}

static void sanitizer_reports_behind_the_filter(void **state)
{
    (void)state;
    skip_without_filters();
    static char said[64 * 1024];
    int status = end_of(overflow, said, sizeof(said));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    assert_non_null(strstr(said, "heap-buffer-overflow"));
    assert_non_null(strstr(said, "ABORTING"));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forbidden_calls_are_fatal),
#if defined(__x86_64__)
        cmocka_unit_test(door_of_another_processor_is_shut),
#endif
        cmocka_unit_test(what_a_worker_does_goes_on),
#if SANITIZED
        cmocka_unit_test(sanitizer_reports_behind_the_filter),
#endif
    };
    return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
