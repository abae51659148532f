#include "sandbox/seal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/sanitizer.h"
#include "sandbox/filesystem.h"
#include "sandbox/privilege.h"
#include "sandbox/process_syscalls.h"
#if SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

static bool enter_empty_root(const struct seal *seal)
{
    errno = EPERM;
    return seal->empty_root_fd >= 0 && filesystem_enter_empty_root(seal->empty_root_fd);
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

static bool follow_supervisor(const struct seal *seal)
{
    return privilege_follow(seal->supervisor);
}

static bool restrict_calls(const struct seal *seal)
{
    (void)seal;
    return syscalls_restrict(SYSCALLS_WORKER);
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
    bool (*apply)(void); /* or */
    bool (*apply_to)(const struct seal *seal);
    enum weight weight;
    const char *name;
    const char *what;
    const char *proof;
} steps[] = {
    {privilege_forbid_new, NULL, ALWAYS, "no new privileges", "forbid new privileges",
     "NoNewPrivs"},
    {privilege_empty_bounding_set, NULL, IF_ROOT, "empty bounding set",
     "empty the bounding set of capabilities", "CapBnd"},
    {NULL, enter_empty_root, WALL, "empty root folder", "make an empty folder the root", NULL},
    {filesystem_give_up, NULL, WALL, "Landlock", "give up the file system by Landlock", NULL},
    {privilege_drop_groups, NULL, FOR_ROOT, "no further groups", "drop the supplementary groups",
     "Groups"},
    {NULL, drop_group, FOR_ROOT, "group", "change the group", "Gid"},
    {NULL, drop_user, FOR_ROOT, "user", "change the user", "Uid"},
    {NULL, drop_capabilities, ALWAYS, "no capabilities", "drop the capabilities", "CapPrm"},
    {NULL, check_identity, FOR_ROOT, "no way back to root", "stay with the new user and group",
     NULL},
    {privilege_forbid_tracing, NULL, ALWAYS, "no tracing", "forbid tracing", NULL},
    {privilege_forbid_core, NULL, ALWAYS, "no core dump", "forbid core dumps", NULL},
    {privilege_forbid_processes, NULL, ALWAYS, "no new processes", "forbid new processes", NULL},
    {NULL, follow_supervisor, ALWAYS, "end with the supervisor", "follow the supervisor", NULL},
    {NULL, restrict_calls, FILTER, "system call filter", "restrict the system calls", "Seccomp"},
};
static_assert(sizeof(steps) / sizeof(steps[0]) == SEAL_STEPS, "one outcome for each step");

static bool take_step(size_t step, const struct seal *seal, struct seal_report *report)
{
    enum weight weight = steps[step].weight;
    bool is_for_root = weight == FOR_ROOT || weight == IF_ROOT;
    enum seal_state *state = &report->outcomes[step].state;
    *state = SEAL_IN_FORCE;
    if (weight == FOR_ROOT && seal->keep_identity)
        *state = SEAL_KEPT;
    else if (!(steps[step].apply != NULL ? steps[step].apply() : steps[step].apply_to(seal))) {
        if (weight == ALWAYS || weight == FOR_ROOT || !privilege_is_lack(errno))
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
