#include "sandbox/seal.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <string.h>
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
#if SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

/* What the supervisor keeps of root's capabilities, each only if it is there. */
static const unsigned needed[] = {
    CAP_NET_BIND_SERVICE, /* ports below 1024, at a reload too */
    CAP_DAC_READ_SEARCH,  /* for the loader: private keys that belong to another user */
    CAP_DAC_OVERRIDE,     /* for the saver: a folder that belongs to another user */
    CAP_SETUID,
    CAP_SETGID,     /* workers become another user */
    CAP_SYS_CHROOT, /* and their root folder an empty one */
    CAP_KILL,       /* a worker that hangs is of that other user by then */
};

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

static bool drop_capabilities(const struct seal *seal)
{
    const unsigned reading = reading_capability();
    if (seal->process == SYSCALLS_WORKER)
        return privilege_retain(NULL, 0);
    if (seal->process == SYSCALLS_SUPERVISOR)
        return privilege_retain(needed, sizeof(needed) / sizeof(needed[0]));
    return privilege_retain(&reading, 1) && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0;
}

enum weight {
    NEVER,    /* it is not a step of this process */
    ALWAYS,   /* every kernel has it: a failure ends the process */
    FOR_ROOT, /* the same, and only for a supervisor that is root */
    IF_ROOT,  /* only for one that is root, and if it may */
    FILES,    /* it keeps from files; the kernel may lack it; one such step is enough */
    FILTER,   /* the kernel may lack it */
    /* The sanitizer traces to find leaks, and has a thread of its own; workers end without that. */
    UNSANITIZED = SANITIZED ? NEVER : ALWAYS,
};

/* The order matters: no new privileges are what Landlock and the filter ask for; the bounding set,
 * the empty root folder and the groups need root; Landlock looks for the root folder, which needs no right; the
 * user goes after the group; a change of the user forgets the parent's death signal, and that tracing is
 * forbidden; and behind the filter nothing more can be given up. */
enum step {
    NEW_PRIVILEGES,
    BOUNDING_SET,
    ROOT_FOLDER,
    LANDLOCK,
    GROUPS,
    GROUP,
    USER,
    CAPABILITIES,
    IDENTITY,
    TRACING,
    CORE,
    PROCESSES,
    SUPERVISOR,
    CALLS,
};

static const struct {
    enum weight worker, reader, supervisor;
    const char *name;
    const char *what;
    const char *proof;
} steps[] = {
    [NEW_PRIVILEGES] = {ALWAYS, ALWAYS, ALWAYS, "no new privileges", "forbid new privileges",
                        "NoNewPrivs"},
    [BOUNDING_SET] = {IF_ROOT, NEVER, IF_ROOT, "empty bounding set",
                      "empty the bounding set of capabilities", "CapBnd"},
    [ROOT_FOLDER] = {FILES, NEVER, NEVER, "empty root folder", "make an empty folder the root",
                     NULL},
    [LANDLOCK] = {FILES, FILES, NEVER, "Landlock", "give up the file system by Landlock", NULL},
    [GROUPS] = {FOR_ROOT, IF_ROOT, NEVER, "no further groups", "drop the supplementary groups",
                "Groups"},
    [GROUP] = {FOR_ROOT, IF_ROOT, NEVER, "group", "change the group", "Gid"},
    [USER] = {FOR_ROOT, IF_ROOT, NEVER, "user", "change the user", "Uid"},
    [CAPABILITIES] = {ALWAYS, ALWAYS, ALWAYS, "no capabilities", "drop the capabilities", "CapPrm"},
    [IDENTITY] = {FOR_ROOT, ALWAYS, NEVER, "no way back to root",
                  "stay with the new user and group", NULL},
    [TRACING] = {ALWAYS, UNSANITIZED, UNSANITIZED, "no tracing", "forbid tracing", NULL},
    [CORE] = {ALWAYS, ALWAYS, ALWAYS, "no core dump", "forbid core dumps", NULL},
    [PROCESSES] = {ALWAYS, UNSANITIZED, NEVER, "no new processes", "forbid new processes", NULL},
    [SUPERVISOR] = {ALWAYS, ALWAYS, NEVER, "end with the supervisor", "follow the supervisor",
                    NULL},
    [CALLS] = {FILTER, FILTER, FILTER, "system call filter", "restrict the system calls",
               "Seccomp"},
};
static_assert(sizeof(steps) / sizeof(steps[0]) == SEAL_STEPS, "one outcome for each step");

/* False with errno. */
static bool apply(enum step step, const struct seal *seal)
{
    const bool is_worker = seal->process == SYSCALLS_WORKER;
    const struct rlimit none = {0, 0};
    switch (step) {
    case NEW_PRIVILEGES:
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    case BOUNDING_SET:
        return privilege_empty_bounding_set();
    case ROOT_FOLDER:
        errno = EPERM;
        return seal->empty_root_fd >= 0 && filesystem_enter_empty_root(seal->empty_root_fd);
    case LANDLOCK:
        return filesystem_restrict(!is_worker);
    case GROUPS:
        return seal->keep_identity || (setgroups(0, NULL) == 0 && getgroups(0, NULL) == 0);
    case GROUP:
        return seal->keep_identity || setresgid(seal->gid, seal->gid, seal->gid) == 0;
    case USER: /* a reader keeps its capabilities until the next step */
        return seal->keep_identity || ((is_worker || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0) &&
                                       setresuid(seal->uid, seal->uid, seal->uid) == 0);
    case CAPABILITIES:
        return drop_capabilities(seal);
    case IDENTITY: /* a container may not have let a reader become another user */
        return is_worker ? privilege_is_final(seal->uid, seal->gid)
                         : geteuid() != seal->uid || privilege_is_final(seal->uid, getegid());
    case TRACING: /* nobody but root may look into this process: it would show keys, as a core dump would */
        return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
    case CORE:
        return setrlimit(RLIMIT_CORE, &none) == 0;
    case PROCESSES: /* there is no such limit for the size of files: standard error may be one */
        return setrlimit(RLIMIT_NPROC, &none) == 0;
    case SUPERVISOR:
        return privilege_follow(seal->supervisor);
    case CALLS:
        break;
    }
    return syscalls_restrict(seal->process);
}

static enum weight weight_of(const struct seal *seal, size_t step)
{
    return seal->process == SYSCALLS_WORKER       ? steps[step].worker
           : seal->process == SYSCALLS_SUPERVISOR ? steps[step].supervisor
                                                  : steps[step].reader;
}

static bool take_step(enum step step, const struct seal *seal, struct seal_report *report)
{
    enum weight weight = weight_of(seal, step);
    bool is_for_root = weight == FOR_ROOT || weight == IF_ROOT;
    enum seal_state *state = &report->outcomes[step].state;
    *state = SEAL_IN_FORCE;
    if (weight == NEVER || (weight == FOR_ROOT && seal->keep_identity))
        *state = SEAL_KEPT;
    else if (!apply(step, seal)) {
        /* What a kernel or a container says that lacks a piece; memory, say, is another matter. */
        bool is_lack = errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ||
                       errno == EACCES || errno == EINVAL;
        if (weight == ALWAYS || weight == FOR_ROOT || !is_lack)
            return false;
        *state = is_for_root ? SEAL_KEPT : SEAL_MISSING;
        report->outcomes[step].reason = errno;
    }
    return true;
}

/* The step is missing, and no other makes up for it. */
static bool is_open(const struct seal_report *report, size_t step)
{
    bool is_of_files = steps[step].worker == FILES;
    if (report->outcomes[step].state != SEAL_MISSING)
        return false;
    for (size_t i = 0; is_of_files && i < SEAL_STEPS; i++)
        if (steps[i].worker == FILES && report->outcomes[i].state == SEAL_IN_FORCE)
            return false;
    return true;
}

const char *seal_process(const struct seal *seal, struct seal_report *ret_report)
{
    struct seal_report report = {0};
#if SANITIZED
    /* The sanitizer reads now what its report needs and a sealed worker may not read. */
    if (seal->process == SYSCALLS_WORKER)
        __sanitizer_sandbox_on_notify(&(__sanitizer_sandbox_arguments){0});
#endif
    for (size_t i = 0; i < SEAL_STEPS; i++)
        if (!take_step((enum step)i, seal, &report))
            return steps[i].what;
    *ret_report = report;
    return NULL;
}

/* What the kernel lacks is left out: the seal of the workers lacks the same, and that is logged. */
static bool seal_or_log(const struct seal *seal)
{
    struct seal_report report;
    const char *failed = seal_process(seal, &report);
    if (failed != NULL)
        log_line(LOG_LEVEL_ERROR, "cannot %s: %s", failed, strerror(errno));
    return failed == NULL;
}

bool seal_supervisor(void)
{
    return seal_or_log(&(struct seal){.process = SYSCALLS_SUPERVISOR});
}

/* A root that has no capability to read files of others stays what it is: as nobody it could not read
 * its own. */
bool seal_reader(enum syscalls_process reader, pid_t supervisor)
{
    return seal_or_log(&(struct seal){
        .process = reader,
        .keep_identity = geteuid() != 0 || !has_capability(reading_capability()),
        .uid = FILE_NOBODY,
        .gid = FILE_NOBODY,
        .supervisor = supervisor,
    });
}

const char *seal_step_name(size_t step)
{
    assert(step < SEAL_STEPS);
    return steps[step].name;
}

const char *seal_step_proof(size_t step)
{
    assert(step < SEAL_STEPS);
    return steps[step].proof;
}

bool seal_is_whole(const struct seal_report *report)
{
    for (size_t i = 0; i < SEAL_STEPS; i++)
        if (is_open(report, i))
            return false;
    return true;
}

void seal_print_missing(const struct seal_report *report, struct text *out)
{
    const char *separator = "";
    for (size_t i = 0; i < SEAL_STEPS; i++)
        if (is_open(report, i)) {
            text_printf(out, "%s%s (%s)", separator, steps[i].name,
                        strerror(report->outcomes[i].reason));
            separator = ", ";
        }
}
