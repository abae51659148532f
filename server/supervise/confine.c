#include "supervise/confine.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include <linux/capability.h>

#include "base/log.h"
#include "base/sanitizer.h"
#include "serve/filter.h"
#include "serve/privilege.h"

/* Of root's capabilities, and each only if it is there. */
static const unsigned needed[] = {
    CAP_NET_BIND_SERVICE, /* ports below 1024, at a reload too */
    CAP_DAC_READ_SEARCH,  /* private keys that belong to another user */
    CAP_DAC_OVERRIDE,     /* a folder for the state that belongs to another user */
    CAP_SETUID,
    CAP_SETGID,     /* workers become another user */
    CAP_SYS_CHROOT, /* and their root folder an empty one */
    CAP_KILL,       /* a worker that hangs is of that other user by then */
};

/* A list of what is forbidden, not of what is allowed: the names of users may come from any library
 * that the machine is configured for, and nobody knows what these call. Nobody needs these. To
 * forbid accepting a client would be good, but the filter is passed on to workers. */
static const long never[] = {
    /* Another program in place of this one. */
    SYS_execve,
    SYS_execveat,
#if !SANITIZED
    /* Into another process. The sanitizer finds leaks by tracing its own. */
    SYS_ptrace,
#endif
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
#ifdef SYS_pidfd_getfd
    SYS_pidfd_getfd,
#endif
    /* Out of the place where the machine has put it, or into another. */
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_open_by_handle_at,
#ifdef SYS_move_mount
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsmount,
#endif
    /* Into the kernel, or by its doors that have been broken most. */
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
#ifdef SYS_io_uring_setup
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
#endif
    /* The machine as a whole. */
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_personality,
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

static bool restrict_calls(void)
{
    struct filter_rule rules[sizeof(never) / sizeof(never[0])];
    const struct filter filter = {
        .rules = rules,
        .count = sizeof(rules) / sizeof(rules[0]),
        .verdict = SECCOMP_RET_KILL_PROCESS,
        .otherwise = SECCOMP_RET_ALLOW,
    };
    for (size_t i = 0; i < filter.count; i++)
        rules[i] = (struct filter_rule){.call = never[i]};
    return filter_install(&filter) || errno == ENOSYS || errno == EINVAL || errno == EPERM;
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
