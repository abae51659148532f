#include "sandbox/seal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/sanitizer.h"
#include "sandbox/filesystem.h"
#include "sandbox/privilege.h"
#include "sandbox/worker_syscalls.h"
#if SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

static bool forbid_privileges(const struct seal *seal)
{
    (void)seal;
    return privilege_forbid_new();
}

static bool empty_bounding_set(const struct seal *seal)
{
    (void)seal;
    return privilege_empty_bounding_set();
}

static bool enter_empty_root(const struct seal *seal)
{
    errno = EPERM;
    return seal->empty_root_fd >= 0 && filesystem_enter_empty_root(seal->empty_root_fd);
}

static bool build_landlock(const struct seal *seal)
{
    (void)seal;
    return filesystem_give_up();
}

static bool drop_groups(const struct seal *seal)
{
    (void)seal;
    return privilege_drop_groups();
}

static bool drop_group(const struct seal *seal)
{
    return privilege_become_group(seal->gid);
}

static bool drop_user(const struct seal *seal)
{
    return privilege_become_user(seal->uid);
}

static bool drop_capabilities(const struct seal *seal)
{
    (void)seal;
    return privilege_retain(NULL, 0);
}

static bool check_identity(const struct seal *seal)
{
    return privilege_is_final(seal->uid, seal->gid);
}

static bool forbid_tracing(const struct seal *seal)
{
    (void)seal;
    return privilege_forbid_tracing();
}

static bool forbid_core(const struct seal *seal)
{
    (void)seal;
    return privilege_forbid_core();
}

/* There is no such limit for the size of files: standard error may be one, and the log must go on. */
static bool forbid_processes(const struct seal *seal)
{
    const struct rlimit none = {0, 0};

    (void)seal;
    return setrlimit(RLIMIT_NPROC, &none) == 0;
}

/* A supervisor that died before prctl was called sends no signal any more. */
static bool follow_supervisor(const struct seal *seal)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return false;
    errno = ESRCH;
    return getppid() == seal->supervisor;
}

static bool restrict_calls(const struct seal *seal)
{
    (void)seal;
    return calls_restrict();
}

enum weight {
    ALWAYS,   /* every kernel has it: a failure ends the worker */
    FOR_ROOT, /* the same, and only for a supervisor that is root */
    IF_ROOT,  /* only for one that is root, and if it may */
    WALL,     /* the kernel may lack it; one wall is enough */
    FILTER,   /* the kernel may lack it */
};

/* The order matters: no new privileges are what Landlock and the filter ask for; the bounding set,
 * the empty root folder and the groups need root; the user goes after the group; a change of the user forgets
 * the parent's death signal; and behind the filter nothing more can be given up. */
static const struct {
    bool (*apply)(const struct seal *seal);
    enum weight weight;
    const char *name;
    const char *what;
    const char *proof;
} steps[] = {
    {forbid_privileges, ALWAYS, "no new privileges", "forbid new privileges", "NoNewPrivs"},
    {empty_bounding_set, IF_ROOT, "empty bounding set", "empty the bounding set of capabilities",
     "CapBnd"},
    {enter_empty_root, WALL, "empty root folder", "make an empty folder the root", NULL},
    {build_landlock, WALL, "Landlock", "give up the file system by Landlock", NULL},
    {drop_groups, FOR_ROOT, "no further groups", "drop the supplementary groups", "Groups"},
    {drop_group, FOR_ROOT, "group", "change the group", "Gid"},
    {drop_user, FOR_ROOT, "user", "change the user", "Uid"},
    {drop_capabilities, ALWAYS, "no capabilities", "drop the capabilities", "CapPrm"},
    {check_identity, FOR_ROOT, "no way back to root", "stay with the new user and group", NULL},
    {forbid_tracing, ALWAYS, "no tracing", "forbid tracing", NULL},
    {forbid_core, ALWAYS, "no core dump", "forbid core dumps", NULL},
    {forbid_processes, ALWAYS, "no new processes", "forbid new processes", NULL},
    {follow_supervisor, ALWAYS, "end with the supervisor", "follow the supervisor", NULL},
    {restrict_calls, FILTER, "system call filter", "restrict the system calls", "Seccomp"},
};
static_assert(sizeof(steps) / sizeof(steps[0]) == SEAL_STEPS, "one outcome for each step");

/* What a kernel or a container says that lacks a piece; memory, say, is another matter. */
static bool is_lack(int reason)
{
    return reason == ENOSYS || reason == EOPNOTSUPP || reason == EPERM || reason == EACCES ||
           reason == EINVAL;
}

static bool take_step(size_t step, const struct seal *seal, struct seal_report *report)
{
    enum weight weight = steps[step].weight;
    bool is_for_root = weight == FOR_ROOT || weight == IF_ROOT;
    enum seal_state *state = &report->outcomes[step].state;
    *state = SEAL_IN_FORCE;
    if (weight == FOR_ROOT && seal->keep_identity)
        *state = SEAL_KEPT;
    else if (!steps[step].apply(seal)) {
        if (weight == ALWAYS || weight == FOR_ROOT || !is_lack(errno))
            return false;
        *state = is_for_root ? SEAL_KEPT : SEAL_MISSING;
        report->outcomes[step].reason = errno;
    }
    return true;
}

/* The step is missing, and no other makes up for it. */
static bool is_open(const struct seal_report *report, size_t step)
{
    bool is_wall = steps[step].weight == WALL;
    if (report->outcomes[step].state != SEAL_MISSING)
        return false;
    for (size_t i = 0; is_wall && i < SEAL_STEPS; i++)
        if (steps[i].weight == WALL && report->outcomes[i].state == SEAL_IN_FORCE)
            return false;
    return true;
}

const char *seal_process(const struct seal *seal, struct seal_report *ret_report)
{
    struct seal_report report = {0};
#if SANITIZED
    /* Its report shows what it could not find out behind the walls. */
    __sanitizer_sandbox_on_notify(&(__sanitizer_sandbox_arguments){0});
#endif
    for (size_t i = 0; i < SEAL_STEPS; i++)
        if (!take_step(i, seal, &report))
            return steps[i].what;
    *ret_report = report;
    return NULL;
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
