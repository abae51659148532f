#include "sandbox/supervisor_sandbox.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <linux/capability.h>

#include "base/log.h"
#include "base/sanitizer.h"
#include "sandbox/privilege.h"
#include "sandbox/syscall_filter.h"
#include "sandbox/worker_syscalls.h"

/* Of root's capabilities, and each only if it is there. */
static const unsigned needed[] = {
    CAP_NET_BIND_SERVICE, /* ports below 1024, at a reload too */
    CAP_DAC_READ_SEARCH,  /* for the loader: private keys that belong to another user */
    CAP_DAC_OVERRIDE,     /* for the saver: a folder that belongs to another user */
    CAP_SETUID,
    CAP_SETGID,     /* workers become another user */
    CAP_SYS_CHROOT, /* and their root folder an empty one */
    CAP_KILL,       /* a worker that hangs is of that other user by then */
};

/* The kernel's interface; headers of older systems lack parts. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* What a child that is forked shares with us, or where it lives: nothing of ours, and where we live. */
static const uint32_t NO_FORK = CLONE_VM | CLONE_PTRACE | CLONE_PARENT | CLONE_NEWNS |
                                CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                CLONE_NEWPID | CLONE_NEWNET;

/* What the supervisor and the processes that it forks need, in glibc and in musl: a filter is inherited,
 * so what workers, the loader and the watcher need is in here too, who give up the rest (sandbox/worker_syscalls.h,
 * sandbox/reader_sandbox.h). The calls of workers come first: the first row that fits ends the search. */
static const struct filter_rule allowed[] = {
    /* The event loop of workers. */
    {.call = SYS_recvfrom},
    {.call = SYS_sendto},
#ifdef SYS_epoll_wait
    {.call = SYS_epoll_wait},
#endif
    {.call = SYS_epoll_pwait},
    {.call = SYS_epoll_ctl},
    {.call = SYS_accept4},
    {.call = SYS_accept},
    {.call = SYS_shutdown},
    {.call = SYS_setsockopt},
    {.call = SYS_mmap, .checks = {{FILTER_LACKS, 2, PROT_EXEC}}},
    {.call = SYS_read},
    {.call = SYS_epoll_create1},

/* Files and folders: what loader and watcher read, state, status, the empty root folder. */
#ifdef SYS_open
    {.call = SYS_open},
    {.call = SYS_stat},
    {.call = SYS_lstat},
    {.call = SYS_access},
    {.call = SYS_readlink},
    {.call = SYS_unlink},
    {.call = SYS_mkdir},
    {.call = SYS_rmdir},
    {.call = SYS_getdents},
    {.call = SYS_dup2},
    {.call = SYS_fork}, /* musl */
#endif
    {.call = SYS_openat},
    {.call = SYS_fstat},
    {.call = SYS_newfstatat},
#ifdef SYS_statx
    {.call = SYS_statx},
#endif
    {.call = SYS_faccessat},
#ifdef SYS_faccessat2
    {.call = SYS_faccessat2},
#endif
    {.call = SYS_readlinkat},
    {.call = SYS_getdents64},
    {.call = SYS_readv},
    {.call = SYS_pread64},
    {.call = SYS_pwrite64},
    {.call = SYS_lseek},
    {.call = SYS_fcntl},
    {.call = SYS_ioctl, .checks = {{FILTER_IS, 1, TCGETS}}},
    {.call = SYS_ioctl, .checks = {{FILTER_IS, 1, TIOCGWINSZ}}},
    {.call = SYS_ftruncate},
    {.call = SYS_fsync},
#ifdef SYS_renameat
    {.call = SYS_renameat},
#endif
    {.call = SYS_unlinkat},
    {.call = SYS_mkdirat},
    {.call = SYS_umask},
    {.call = SYS_getcwd},
    {.call = SYS_chdir},
    {.call = SYS_fchdir},
    {.call = SYS_inotify_init1},
    {.call = SYS_inotify_add_watch},
    {.call = SYS_memfd_create},
    {.call = SYS_dup3},
    {.call = SYS_close_range},

    /* Listeners, the service manager, and the other end of a worker. */
    {.call = SYS_socket, .checks = {{FILTER_IS, 0, AF_UNIX}}},
    {.call = SYS_socket, .checks = {{FILTER_IS, 0, AF_INET}}},
    {.call = SYS_socket, .checks = {{FILTER_IS, 0, AF_INET6}}},
    {.call = SYS_socketpair, .checks = {{FILTER_IS, 0, AF_UNIX}}},
    {.call = SYS_bind},
    {.call = SYS_listen},
    {.call = SYS_connect},
    {.call = SYS_getsockname},
    {.call = SYS_getsockopt},
    {.call = SYS_sendmsg},
    {.call = SYS_recvmsg},

    /* Processes and signals. */
    {.call = SYS_clone, .checks = {{FILTER_LACKS, 0, NO_FORK}}},
    {.call = SYS_set_robust_list},
    {.call = SYS_set_tid_address},
#ifdef SYS_rseq
    {.call = SYS_rseq},
#endif
    {.call = SYS_futex},
    {.call = SYS_wait4},
    {.call = SYS_kill},
    {.call = SYS_tgkill},
    {.call = SYS_tkill},
    {.call = SYS_rt_sigaction},
    {.call = SYS_signalfd4},
    {.call = SYS_nanosleep},
    {.call = SYS_clock_nanosleep},

    /* Who and where we are. */
    {.call = SYS_getppid},
    {.call = SYS_getuid},
    {.call = SYS_geteuid},
    {.call = SYS_getgid},
    {.call = SYS_getegid},
    {.call = SYS_sysinfo}, /* glibc sorts with as much memory as the machine can spare */
    {.call = SYS_sched_getaffinity},
    {.call = SYS_sched_yield},

/* What workers give up when they are sealed (sandbox/seal.h). */
#ifdef SYS_getrlimit
    {.call = SYS_getrlimit},
    {.call = SYS_setrlimit},
#endif
    {.call = SYS_prlimit64},
    {.call = SYS_prctl},
    {.call = SYS_capget},
    {.call = SYS_capset},
    {.call = SYS_setgroups},
    {.call = SYS_getgroups},
    {.call = SYS_setresgid},
    {.call = SYS_getresgid},
    {.call = SYS_setresuid},
    {.call = SYS_getresuid},
    {.call = SYS_chroot},
    {.call = SYS_landlock_create_ruleset},
    {.call = SYS_landlock_add_rule},
    {.call = SYS_landlock_restrict_self},
    {.call = SYS_seccomp},
};

static bool retain_needed(void)
{
    return privilege_retain(needed, sizeof(needed) / sizeof(needed[0]));
}

/* A container may not let us; a program that is executed would matter, and there will be none. */
static bool empty_bounding_set(void)
{
    return privilege_empty_bounding_set() || errno == EPERM;
}

/* The sanitizer could not trace it then, to find leaks. */
static bool forbid_tracing(void)
{
    return SANITIZED || privilege_forbid_tracing();
}

/* Everything that is in no table fails with ENOSYS, as on an older kernel: the C library knows another
 * way, or the program does without. The sanitizer's runtime makes calls of its own, in threads of its own, and traces to find leaks: such a
 * build forbids nothing here. */
static bool restrict_calls(void)
{
    const struct filter_table tables[] = {
        FILTER_TABLE(allowed, SECCOMP_RET_ALLOW),
        calls_common,
        calls_never,
    };
    const struct filter filter = {
        .tables = tables,
        .count = sizeof(tables) / sizeof(tables[0]),
        .otherwise = SECCOMP_RET_ERRNO | ENOSYS,
    };
    return SANITIZED || filter_install(&filter) || errno == ENOSYS || errno == EINVAL ||
           errno == EPERM;
}

/* The bounding set is emptied with a capability that is not kept. */
static const struct {
    bool (*apply)(void);
    const char *what;
} steps[] = {
    {privilege_forbid_new, "forbid new privileges"},
    {empty_bounding_set, "empty the bounding set of capabilities"},
    {retain_needed, "drop capabilities"},
    {privilege_forbid_core, "forbid core dumps"},
    {forbid_tracing, "forbid tracing"},
    {restrict_calls, "restrict the system calls"},
};

bool confine_supervisor(void)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (!steps[i].apply()) {
            log_line(LOG_LEVEL_ERROR, "cannot %s: %s", steps[i].what, strerror(errno));
            return false;
        }
    return true;
}
