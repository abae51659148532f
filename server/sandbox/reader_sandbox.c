#include "sandbox/reader_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/log.h"
#include "base/sanitizer.h"
#include "files/file.h"
#include "sandbox/filesystem.h"
#include "sandbox/privilege.h"
#include "sandbox/syscall_filter.h"
#include "sandbox/worker_syscalls.h"

/* The kernel's interface; headers of older systems lack parts. */
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif

/* Every flag of open(2) that is for writing or makes a file: O_TMPFILE without O_DIRECTORY, which is a
 * part of it. */
static const uint32_t TO_WRITE =
    O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);

/* What both need, in glibc and in musl. */
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
    {.call = SYS_ftruncate},
    {.call = SYS_pwrite64},
    {.call = SYS_fcntl, .checks = {{FILTER_IS, 1, F_ADD_SEALS}}},
    {.call = SYS_fcntl, .checks = {{FILTER_IS, 1, F_GET_SEALS}}},
    {.call = SYS_sendmsg}, /* no socket can be opened, so there is nothing else to send to */
};

static const struct filter_rule of_watcher[] = {
    {.call = SYS_inotify_init1},
    {.call = SYS_inotify_add_watch},
};

/* What a process that only reads never calls: it ends the process. The rest of the calls fails with
 * ENOSYS, as on an older kernel: a C library to come may try a call that is new, and then knows another
 * way. */
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

/* What a kernel or a container says that lacks a piece. */
static bool is_lack(int reason)
{
    return reason == ENOSYS || reason == EOPNOTSUPP || reason == EPERM || reason == EINVAL;
}

static bool has_capability(unsigned capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    return syscall(SYS_capget, &header, data) == 0 && (data[0].permitted >> capability & 1) != 0;
}

/* With which files of every owner can be read. Docker, say, gives root the second only; what it could
 * write is behind Landlock and the filter. */
static unsigned reading_capability(void)
{
    return has_capability(CAP_DAC_READ_SEARCH) || !has_capability(CAP_DAC_OVERRIDE)
               ? CAP_DAC_READ_SEARCH
               : CAP_DAC_OVERRIDE;
}

/* A root that has no capability to read files of others stays what it is: as nobody it could not read
 * its own. */
static bool become_nobody(pid_t supervisor)
{
    (void)supervisor;
    if (geteuid() != 0 || !has_capability(reading_capability()))
        return true;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return false;
    bool good = privilege_drop_groups() && privilege_become_group(FILE_NOBODY) &&
                privilege_become_user(FILE_NOBODY);
    return good || is_lack(errno);
}

static bool retain_reading(pid_t supervisor)
{
    const unsigned kept = reading_capability();
    (void)supervisor;
    return privilege_retain(&kept, 1) && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0;
}

static bool check_identity(pid_t supervisor)
{
    (void)supervisor;
    return geteuid() != FILE_NOBODY || privilege_is_final(FILE_NOBODY, getegid());
}

static bool forbid_new(pid_t supervisor)
{
    (void)supervisor;
    return privilege_forbid_new();
}

static bool build_landlock(pid_t supervisor)
{
    (void)supervisor;
    return filesystem_keep_reading() || is_lack(errno);
}

static bool forbid_core(pid_t supervisor)
{
    (void)supervisor;
    return privilege_forbid_core();
}

/* The sanitizer traces to find leaks. */
static bool forbid_tracing(pid_t supervisor)
{
    (void)supervisor;
    return SANITIZED || privilege_forbid_tracing();
}

/* The sanitizer has a thread of its own. */
static bool forbid_processes(pid_t supervisor)
{
    const struct rlimit none = {0, 0};
    (void)supervisor;
    return SANITIZED || setrlimit(RLIMIT_NPROC, &none) == 0;
}

/* A supervisor that died before prctl was called sends no signal any more. */
static bool follow(pid_t supervisor)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return false;
    errno = ESRCH;
    return getppid() == supervisor;
}

static bool restrict_calls(enum sandbox_reader reader)
{
    const struct filter_table loader = FILTER_TABLE(of_loader, SECCOMP_RET_ALLOW);
    const struct filter_table watcher = FILTER_TABLE(of_watcher, SECCOMP_RET_ALLOW);
    const struct filter_table tables[] = {
        calls_common,
        FILTER_TABLE(reading, SECCOMP_RET_ALLOW),
        reader == SANDBOX_LOADER ? loader : watcher,
        FILTER_TABLE(given_up, SECCOMP_RET_KILL_PROCESS),
        calls_never,
    };
    const struct filter filter = {
        .tables = tables,
        .count = sizeof(tables) / sizeof(tables[0]),
        .otherwise = SECCOMP_RET_ERRNO | ENOSYS,
    };
    return SANITIZED || filter_install(&filter) || is_lack(errno);
}

/* The order matters: no new privileges are what Landlock and the filter ask for; Landlock looks for the
 * root folder, which needs no right; a change of the user forgets that tracing is forbidden and the
 * parent's death signal; and behind the filter nothing more can be given up. */
static const struct {
    bool (*apply)(pid_t supervisor);
    const char *what;
} steps[] = {
    {forbid_new, "forbid new privileges"}, {build_landlock, "give up writing by Landlock"},
    {become_nobody, "become nobody"},      {retain_reading, "drop capabilities"},
    {check_identity, "stay nobody"},       {forbid_core, "forbid core dumps"},
    {forbid_tracing, "forbid tracing"},    {forbid_processes, "forbid new processes"},
    {follow, "follow the supervisor"},
};

bool sandbox_reader(enum sandbox_reader reader, pid_t supervisor)
{
    const char *failed = NULL;
    for (size_t i = 0; failed == NULL && i < sizeof(steps) / sizeof(steps[0]); i++)
        failed = steps[i].apply(supervisor) ? NULL : steps[i].what;
    if (failed == NULL && !restrict_calls(reader))
        failed = "restrict the system calls";
    if (failed != NULL)
        log_line(LOG_LEVEL_ERROR, "cannot %s: %s", failed, strerror(errno));
    return failed == NULL;
}
