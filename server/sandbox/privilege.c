#include "sandbox/privilege.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

/* More than any kernel has; it says EINVAL behind its last one. */
enum { CAPABILITIES_MOST = 64 };

bool privilege_empty_bounding_set(void)
{
    for (unsigned long capability = 0; capability < CAPABILITIES_MOST; capability++) {
        int there = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (there < 0)
            return errno == EINVAL;
        if (there > 0 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
            return false;
    }
    return true;
}

bool privilege_retain(const unsigned *capabilities, size_t count)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3], left[_LINUX_CAPABILITY_U32S_3];
    uint32_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        assert(capabilities[i] < 32);
        kept |= 1U << capabilities[i];
    }
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].permitted &= i == 0 ? kept : 0;
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) != 0 || syscall(SYS_capget, &header, left) != 0)
        return false;
    errno = EPERM;
    return memcmp(data, left, sizeof(data)) == 0;
}

/* A parent that died before prctl was called sends no signal any more. */
bool privilege_follow(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return false;
    errno = ESRCH;
    return getppid() == parent;
}

/* A kernel or a sandbox that only pretended would be worse than one that refused. */
bool privilege_is_final(uid_t uid, gid_t gid)
{
    uid_t real_user, user, saved_user;
    gid_t real_group, group, saved_group;

    if (getresuid(&real_user, &user, &saved_user) != 0 ||
        getresgid(&real_group, &group, &saved_group) != 0)
        return false;
    bool is_ours = real_user == uid && user == uid && saved_user == uid && real_group == gid &&
                   group == gid && saved_group == gid;
    bool root_again =
        (uid != 0 && setresuid(0, 0, 0) == 0) || (gid != 0 && setresgid(0, 0, 0) == 0);
    errno = EPERM;
    return is_ours && !root_again;
}
