#include "serve/seal.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More than any kernel has; it says EINVAL behind its last one. */
enum { CAPABILITIES_MOST = 64 };

/* The bounding set needs a capability to be emptied and counts only for
 * programs that are executed, which no-new-privileges forbids; so not being
 * allowed to is no failure. */
static bool empty_bounding_set(const struct seal *seal)
{
    (void)seal;
    for (unsigned long capability = 0; capability < CAPABILITIES_MOST; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
            return errno == EINVAL || errno == EPERM;
    return true;
}

static bool drop_groups(const struct seal *seal)
{
    return seal->keep_identity || (setgroups(0, NULL) == 0 && getgroups(0, NULL) == 0);
}

static bool drop_group(const struct seal *seal)
{
    return seal->keep_identity || setresgid(seal->gid, seal->gid, seal->gid) == 0;
}

static bool drop_user(const struct seal *seal)
{
    return seal->keep_identity || setresuid(seal->uid, seal->uid, seal->uid) == 0;
}

static bool drop_capabilities(const struct seal *seal)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

    (void)seal;
    memset(none, 0, sizeof(none));
    return syscall(SYS_capset, &header, none) == 0;
}

/* Looks whether what was given up is gone: a kernel or a sandbox that only
 * pretended would be worse than one that refused. */
static bool check_identity(const struct seal *seal)
{
    uid_t real_user, user, saved_user;
    gid_t real_group, group, saved_group;

    if (seal->keep_identity)
        return true;
    if (getresuid(&real_user, &user, &saved_user) != 0 ||
        getresgid(&real_group, &group, &saved_group) != 0)
        return false;
    bool is_ours = real_user == seal->uid && user == seal->uid && saved_user == seal->uid &&
                   real_group == seal->gid && group == seal->gid && saved_group == seal->gid;
    bool root_again =
        (seal->uid != 0 && setresuid(0, 0, 0) == 0) || (seal->gid != 0 && setresgid(0, 0, 0) == 0);
    errno = EPERM;
    return is_ours && !root_again;
}

static bool check_capabilities(const struct seal *seal)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct left[_LINUX_CAPABILITY_U32S_3];

    (void)seal;
    if (syscall(SYS_capget, &header, left) != 0)
        return false;
    errno = EPERM;
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        if ((left[i].effective | left[i].permitted | left[i].inheritable) != 0)
            return false;
    return true;
}

static bool forbid_privileges(const struct seal *seal)
{
    (void)seal;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* A core dump or a tracer would see the private keys. */
static bool forbid_dumps(const struct seal *seal)
{
    const struct rlimit none = {0, 0};

    (void)seal;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && setrlimit(RLIMIT_CORE, &none) == 0;
}

/* A supervisor that died before prctl was called sends no signal any more. */
static bool follow_supervisor(const struct seal *seal)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return false;
    errno = ESRCH;
    return getppid() == seal->supervisor;
}

/* The order matters: the bounding set and the groups need root, the user goes
 * after the group, and a change of the user forgets the parent's death signal. */
static const struct {
    bool (*apply)(const struct seal *seal);
    const char *what;
} steps[] = {
    {empty_bounding_set, "empty the bounding set of capabilities"},
    {drop_groups, "drop the supplementary groups"},
    {drop_group, "change the group"},
    {drop_user, "change the user"},
    {drop_capabilities, "drop the capabilities"},
    {check_identity, "stay with the new user and group"},
    {check_capabilities, "stay without capabilities"},
    {forbid_privileges, "forbid new privileges"},
    {forbid_dumps, "forbid core dumps"},
    {follow_supervisor, "follow the supervisor"},
};

const char *seal_process(const struct seal *seal)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (!steps[i].apply(seal))
            return steps[i].what;
    return NULL;
}
