#include "sandbox/worker_syscalls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sanitizer.h"
#include "sandbox/syscall_filter.h"

/* In the order of how often they are made, because the first row that fits ends the search. */
static const struct filter_rule worker[] = {
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

const struct filter_table calls_common = FILTER_TABLE(common, SECCOMP_RET_ALLOW);
const struct filter_table calls_never = FILTER_TABLE(never, SECCOMP_RET_KILL_PROCESS);

bool calls_restrict(void)
{
    const struct filter_table tables[] = {
        FILTER_TABLE(worker, SECCOMP_RET_ALLOW),
        calls_common,
    };
    const struct filter filter = {
        .tables = tables,
        .count = sizeof(tables) / sizeof(tables[0]),
        .otherwise = SECCOMP_RET_KILL_PROCESS,
    };
    return filter_install(&filter);
}
