#include "sandbox/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/sanitizer.h"
#include "sandbox/syscall_filter.h"

/* The kernel's interface; headers of older systems lack parts. */
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Every flag of open(2) that is for writing or makes a file: O_TMPFILE without O_DIRECTORY, which is a
 * part of it. */
static const uint32_t TO_WRITE =
    O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);

/* What a child that is forked shares with us, or where it lives: nothing of ours, and where we live. */
static const uint32_t NO_FORK = CLONE_VM | CLONE_PTRACE | CLONE_PARENT | CLONE_NEWNS |
                                CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                CLONE_NEWPID | CLONE_NEWNET;

/* None of a worker's calls can open, connect, execute, fork, trace or signal another process. In the order
 * of how often they are made, because the first row that fits ends the search. */
static const struct filter_rule of_worker[] = {
    /* The event loop and its connections. An address in sendto could connect a socket. */
    {.call = SYS_recvfrom},
    {.call = SYS_sendto, .checks = {{FILTER_NULL, 4, 0}}},
#ifdef SYS_epoll_wait
    {.call = SYS_epoll_wait},
#endif
    {.call = SYS_epoll_pwait},
    {.call = SYS_epoll_ctl},
    {.call = SYS_accept4},
    {.call = SYS_accept}, /* musl tries it after an EINVAL of the former */
    /* To stop reading would end a listener, which is everybody's. */
    {.call = SYS_shutdown, .checks = {{FILTER_IS, 1, SHUT_WR}}},
    {.call = SYS_setsockopt, .checks = {{FILTER_IS, 1, IPPROTO_TCP}, {FILTER_IS, 2, TCP_QUICKACK}}},
    /* No memory is that of a file. */
    {.call = SYS_mmap, .checks = {{FILTER_LACKS, 2, PROT_EXEC}, {FILTER_HAS, 3, MAP_ANONYMOUS}}},

#if SANITIZED
    /* The sanitizer's runtime: its locks and stacks, and its report, for which it would like to
     * read files. It is told that it cannot, so that the report is written all the same. */
    {.call = SYS_futex},
    {.call = SYS_sched_yield},
    {.call = SYS_sigaltstack},
    {.call = SYS_rt_sigaction},
    {.call = SYS_rt_sigreturn},
    {.call = SYS_ioctl},
    {.call = SYS_mmap},
    {.call = SYS_openat, .error = EACCES},
    {.call = SYS_readlinkat, .error = EACCES},
    {.call = SYS_newfstatat, .error = EACCES},
#ifdef SYS_open
    {.call = SYS_open, .error = EACCES},
    {.call = SYS_readlink, .error = EACCES},
    {.call = SYS_stat, .error = EACCES},
#endif
#endif
};

/* What every process needs until its end. Memory that is mapped is not among it: what may be mapped
 * differs. */
static const struct filter_rule common[] = {
    {.call = SYS_close},

    /* Clocks, where the kernel does not answer without a call, and randomness. */
    {.call = SYS_clock_gettime},
    {.call = SYS_gettimeofday},
#ifdef SYS_time
    {.call = SYS_time},
#endif
    {.call = SYS_getrandom},

    /* Memory, of which none can be executed. */
    {.call = SYS_brk},
    {.call = SYS_munmap},
    {.call = SYS_mremap},
    {.call = SYS_mprotect, .checks = {{FILTER_LACKS, 2, PROT_EXEC}}},
    {.call = SYS_madvise},

/* The log. The C library writes a failed assertion with writev. */
#ifdef SYS_poll
    {.call = SYS_poll},
#endif
    {.call = SYS_ppoll},
    {.call = SYS_write},
    {.call = SYS_writev},

    /* The end. What a stop and a continue interrupt is begun again by the kernel in this way. */
    {.call = SYS_restart_syscall},
    {.call = SYS_exit_group},
    {.call = SYS_exit},

    /* abort(3), in every C library, so that a failed assertion ends as such. Nobody else can be
     * signalled: the number of a process's only thread is its own. */
    {.call = SYS_getpid},
    {.call = SYS_gettid},
    {.call = SYS_rt_sigprocmask},
    {.call = SYS_rt_sigaction, .checks = {{FILTER_IS, 0, SIGABRT}}},
    {.call = SYS_tgkill, .checks = {{FILTER_SELF, 0, 0}, {FILTER_IS, 2, SIGABRT}}},
    {.call = SYS_tkill, .checks = {{FILTER_SELF, 0, 0}, {FILTER_IS, 1, SIGABRT}}},
};

/* What loader and watcher need, in glibc and in musl. */
static const struct filter_rule reading[] = {
    {.call = SYS_openat, .checks = {{FILTER_LACKS, 2, TO_WRITE}}},
    {.call = SYS_read},
    {.call = SYS_fstat},
    {.call = SYS_newfstatat},
#ifdef SYS_statx
    {.call = SYS_statx},
#endif
    {.call = SYS_getdents64},
    {.call = SYS_readlinkat},
    {.call = SYS_lseek},
    {.call = SYS_readv},
    {.call = SYS_pread64},
    {.call = SYS_faccessat},
#ifdef SYS_faccessat2
    {.call = SYS_faccessat2},
#endif
    {.call = SYS_getcwd},
#ifdef SYS_open
    {.call = SYS_open, .checks = {{FILTER_LACKS, 1, TO_WRITE}}},
    {.call = SYS_stat},
    {.call = SYS_lstat},
    {.call = SYS_access},
    {.call = SYS_readlink},
    {.call = SYS_getdents},
#endif
    /* Others could make the kernel send signals to the owner of a descriptor. */
    {.call = SYS_fcntl, .checks = {{FILTER_IS, 1, F_GETFL}}},
    {.call = SYS_fcntl, .checks = {{FILTER_IS, 1, F_SETFD}}},
    {.call = SYS_fcntl, .checks = {{FILTER_IS, 1, F_GETFD}}},
    /* Is it a terminal? */
    {.call = SYS_ioctl, .checks = {{FILTER_IS, 1, TCGETS}}},
    {.call = SYS_ioctl, .checks = {{FILTER_IS, 1, TIOCGWINSZ}}},

    {.call = SYS_mmap, .checks = {{FILTER_LACKS, 2, PROT_EXEC}}},
    {.call = SYS_futex},   /* locks of the C library, which nobody else holds */
    {.call = SYS_sysinfo}, /* glibc sorts with as much memory as the machine can spare */
    {.call = SYS_nanosleep},
    {.call = SYS_clock_nanosleep},
    {.call = SYS_sched_yield},
    {.call = SYS_sched_getaffinity},
    {.call = SYS_getppid},
    {.call = SYS_getuid},
    {.call = SYS_geteuid},
    {.call = SYS_getgid},
    {.call = SYS_getegid},
#ifdef SYS_getrlimit
    {.call = SYS_getrlimit},
#endif
    {.call = SYS_prlimit64, .checks = {{FILTER_NULL, 2, 0}}}, /* to ask, not to set */
    /* To the supervisor, whose socket is connected. An address could connect another one. */
    {.call = SYS_sendto, .checks = {{FILTER_NULL, 4, 0}}},
};

static const struct filter_rule of_loader[] = {
    {.call = SYS_memfd_create},
    {.call = SYS_pwrite64},
    {.call = SYS_fcntl, .checks = {{FILTER_IS, 1, F_ADD_SEALS}}},
    {.call = SYS_fcntl, .checks = {{FILTER_IS, 1, F_GET_SEALS}}},
};

static const struct filter_rule of_watcher[] = {
    {.call = SYS_inotify_init1},
    {.call = SYS_inotify_add_watch},
};

/* What the supervisor and the saver need beside that: a filter is inherited, so it has the tables of all
 * processes, each of which gives up the rest. */
static const struct filter_rule of_supervisor[] = {
    /* Before workers begin. */
    {.call = SYS_sendto},
    {.call = SYS_shutdown},
    {.call = SYS_setsockopt},
    {.call = SYS_epoll_create1},

/* Files and folders: the state, the status, the empty root folder. */
#ifdef SYS_open
    {.call = SYS_open},
    {.call = SYS_unlink},
    {.call = SYS_mkdir},
    {.call = SYS_rmdir},
    {.call = SYS_dup2},
    {.call = SYS_fork}, /* musl */
#endif
    {.call = SYS_openat},
    {.call = SYS_fcntl},
    {.call = SYS_ftruncate},
    {.call = SYS_fsync},
#ifdef SYS_renameat
    {.call = SYS_renameat},
#endif
    {.call = SYS_unlinkat},
    {.call = SYS_mkdirat},
    {.call = SYS_umask},
    {.call = SYS_chdir},
    {.call = SYS_fchdir},
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

    /* Processes and signals. */
    {.call = SYS_clone, .checks = {{FILTER_LACKS, 0, NO_FORK}}},
    {.call = SYS_set_robust_list},
    {.call = SYS_set_tid_address},
#ifdef SYS_rseq
    {.call = SYS_rseq},
#endif
    {.call = SYS_wait4},
    {.call = SYS_kill},
    {.call = SYS_tgkill},
    {.call = SYS_tkill},
    {.call = SYS_rt_sigaction},
    {.call = SYS_signalfd4},

/* What workers give up when they are sealed (sandbox/seal.h). */
#ifdef SYS_setrlimit
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

/* What a process that only reads never calls: it ends the process. */
static const struct filter_rule given_up[] = {
    /* To write, make, move or remove files, or change their rights. */
    {.call = SYS_openat},
#ifdef SYS_open
    {.call = SYS_open},
    {.call = SYS_creat},
    {.call = SYS_rename},
    {.call = SYS_link},
    {.call = SYS_symlink},
    {.call = SYS_unlink},
    {.call = SYS_mkdir},
    {.call = SYS_rmdir},
    {.call = SYS_mknod},
    {.call = SYS_chmod},
    {.call = SYS_chown},
    {.call = SYS_lchown},
#endif
#ifdef SYS_renameat
    {.call = SYS_renameat},
#endif
    {.call = SYS_renameat2},
    {.call = SYS_linkat},
    {.call = SYS_symlinkat},
    {.call = SYS_unlinkat},
    {.call = SYS_mkdirat},
    {.call = SYS_mknodat},
    {.call = SYS_truncate},
    {.call = SYS_fchmod},
    {.call = SYS_fchmodat},
    {.call = SYS_fchown},
    {.call = SYS_fchownat},
    {.call = SYS_chroot},
    /* The network. */
    {.call = SYS_socket},
    {.call = SYS_socketpair},
    {.call = SYS_connect},
    {.call = SYS_bind},
    {.call = SYS_listen},
    {.call = SYS_accept},
    {.call = SYS_accept4},
/* Other processes. */
#ifdef SYS_fork
    {.call = SYS_fork},
    {.call = SYS_vfork},
#endif
    {.call = SYS_clone},
    {.call = SYS_kill},
    {.call = SYS_tkill},
    {.call = SYS_tgkill},
    {.call = SYS_rt_sigqueueinfo},
    /* Who this process is. */
    {.call = SYS_setuid},
    {.call = SYS_setgid},
    {.call = SYS_setreuid},
    {.call = SYS_setregid},
    {.call = SYS_setresuid},
    {.call = SYS_setresgid},
    {.call = SYS_setfsuid},
    {.call = SYS_setfsgid},
    {.call = SYS_setgroups},
    {.call = SYS_capset},
};

/* What only somebody else's program would call. */
static const struct filter_rule never[] = {
    /* Another program in place of this one. */
    {.call = SYS_execve},
    {.call = SYS_execveat},
    /* Into another process. */
    {.call = SYS_ptrace},
    {.call = SYS_process_vm_readv},
    {.call = SYS_process_vm_writev},
    {.call = SYS_kcmp},
#ifdef SYS_pidfd_getfd
    {.call = SYS_pidfd_getfd},
#endif
    /* Out of the place where the machine has put it, or into another. */
    {.call = SYS_unshare},
    {.call = SYS_setns},
    {.call = SYS_mount},
    {.call = SYS_umount2},
    {.call = SYS_pivot_root},
    {.call = SYS_open_by_handle_at},
#ifdef SYS_move_mount
    {.call = SYS_move_mount},
    {.call = SYS_open_tree},
    {.call = SYS_fsopen},
    {.call = SYS_fsmount},
#endif
    /* Into the kernel, or by its doors that have been broken most. */
    {.call = SYS_init_module},
    {.call = SYS_finit_module},
    {.call = SYS_delete_module},
    {.call = SYS_kexec_load},
    {.call = SYS_bpf},
    {.call = SYS_perf_event_open},
    {.call = SYS_userfaultfd},
#ifdef SYS_io_uring_setup
    {.call = SYS_io_uring_setup},
    {.call = SYS_io_uring_enter},
    {.call = SYS_io_uring_register},
#endif
#ifdef SYS_iopl
    {.call = SYS_iopl},
    {.call = SYS_ioperm},
#endif
    /* The machine as a whole. */
    {.call = SYS_reboot},
    {.call = SYS_swapon},
    {.call = SYS_swapoff},
    {.call = SYS_acct},
    {.call = SYS_sethostname},
    {.call = SYS_setdomainname},
    {.call = SYS_settimeofday},
    {.call = SYS_clock_settime},
    {.call = SYS_personality},
};

/* The sanitizer's runtime makes calls of its own, in threads of its own, and traces to find leaks: such a
 * build has a filter in workers alone. What is in no table ends a worker; elsewhere it fails with ENOSYS, as
 * on an older kernel: the C library knows another way, or the program does without. */
bool syscalls_restrict(enum syscalls_process process)
{
    const struct filter_table workers = FILTER_TABLE(of_worker, SECCOMP_RET_ALLOW),
                              all = FILTER_TABLE(common, SECCOMP_RET_ALLOW),
                              readers = FILTER_TABLE(reading, SECCOMP_RET_ALLOW),
                              loader = FILTER_TABLE(of_loader, SECCOMP_RET_ALLOW),
                              watcher = FILTER_TABLE(of_watcher, SECCOMP_RET_ALLOW),
                              supervisor = FILTER_TABLE(of_supervisor, SECCOMP_RET_ALLOW),
                              gone = FILTER_TABLE(given_up, SECCOMP_RET_KILL_PROCESS),
                              fatal = FILTER_TABLE(never, SECCOMP_RET_KILL_PROCESS);
    /* A table that is empty ends the list. */
    const struct filter_table tables[][7] = {
        [SYSCALLS_SUPERVISOR] = {workers, all, readers, loader, watcher, supervisor, fatal},
        [SYSCALLS_LOADER] = {all, readers, loader, gone, fatal},
        [SYSCALLS_WATCHER] = {all, readers, watcher, gone, fatal},
        [SYSCALLS_WORKER] = {workers, all},
    };
    const struct filter filter = {
        .tables = tables[process],
        .count = sizeof(tables[0]) / sizeof(tables[0][0]),
        .otherwise =
            process == SYSCALLS_WORKER ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | ENOSYS,
    };
    return (SANITIZED && process != SYSCALLS_WORKER) || filter_install(&filter);
}
