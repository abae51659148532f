#include "sandbox/confine.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/log.h"
#include "base/sanitizer.h"
#include "files/file.h"
#include "sandbox/filesystem.h"
#include "sandbox/privilege.h"

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

static bool retain_needed(void)
{
    return privilege_retain(needed, sizeof(needed) / sizeof(needed[0]));
}

/* A container may not let us; a program that is executed would matter, and there will be none. */
static bool empty_bounding_set(void)
{
    return privilege_empty_bounding_set() || errno == EPERM;
}

/* The sanitizer traces to find leaks, and has a thread of its own. */
static bool forbid_tracing(void)
{
    return SANITIZED || privilege_forbid_tracing();
}

static bool forbid_processes(void)
{
    return SANITIZED || privilege_forbid_processes();
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
static bool become_nobody(void)
{
    if (geteuid() != 0 || !has_capability(reading_capability()))
        return true;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return false;
    bool good = privilege_drop_groups() && privilege_become_group(FILE_NOBODY) &&
                privilege_become_user(FILE_NOBODY);
    return good || privilege_is_lack(errno);
}

static bool retain_reading(void)
{
    const unsigned kept = reading_capability();
    return privilege_retain(&kept, 1) && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0;
}

static bool check_identity(void)
{
    return geteuid() != FILE_NOBODY || privilege_is_final(FILE_NOBODY, getegid());
}

static bool build_landlock(void)
{
    return filesystem_keep_reading() || privilege_is_lack(errno);
}

struct step {
    bool (*apply)(void);
    const char *what;
};

/* The bounding set is emptied with a capability that is not kept. */
static const struct step of_supervisor[] = {
    {privilege_forbid_new, "forbid new privileges"},
    {empty_bounding_set, "empty the bounding set of capabilities"},
    {retain_needed, "drop capabilities"},
    {privilege_forbid_core, "forbid core dumps"},
    {forbid_tracing, "forbid tracing"},
};

/* No new privileges are what Landlock and the filter ask for; Landlock looks for the root folder, which
 * needs no right; and a change of the user forgets that tracing is forbidden. */
static const struct step of_reader[] = {
    {privilege_forbid_new, "forbid new privileges"},
    {build_landlock, "give up writing by Landlock"},
    {become_nobody, "become nobody"},
    {retain_reading, "drop capabilities"},
    {check_identity, "stay nobody"},
    {privilege_forbid_core, "forbid core dumps"},
    {forbid_tracing, "forbid tracing"},
    {forbid_processes, "forbid new processes"},
};

static bool fail(const char *what)
{
    log_line(LOG_LEVEL_ERROR, "cannot %s: %s", what, strerror(errno));
    return false;
}

static bool take_steps(const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!steps[i].apply())
            return fail(steps[i].what);
    return true;
}

/* The last step: behind the filter nothing more can be given up. */
static bool restrict_calls(enum syscalls_process process)
{
    return syscalls_restrict(process) || privilege_is_lack(errno) ||
           fail("restrict the system calls");
}

bool confine_supervisor(void)
{
    return take_steps(of_supervisor, sizeof(of_supervisor) / sizeof(of_supervisor[0])) &&
           restrict_calls(SYSCALLS_SUPERVISOR);
}

bool confine_reader(enum syscalls_process reader, pid_t supervisor)
{
    /* A change of the user forgets the parent's death signal, too. */
    return take_steps(of_reader, sizeof(of_reader) / sizeof(of_reader[0])) &&
           (privilege_follow(supervisor) || fail("follow the supervisor")) &&
           restrict_calls(reader);
}
