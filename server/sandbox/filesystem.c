#include "sandbox/filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/descriptors.h"

/* The kernel's interface, as of version 6 of Landlock; headers of older systems lack parts. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif
enum { ASK_FOR_VERSION = 1U << 0, RULE_BENEATH = 1 };
enum { TO_READ = 1U << 2 | 1U << 3 }; /* files, and the lists of folders */
struct ruleset {
    uint64_t files; /* rights that only a rule could give back, and there will be none */
    uint64_t ports;
    uint64_t scopes;
};
struct rule {
    uint64_t files;
    int32_t folder;
} __attribute__((packed));

/* What each version has added. */
static const struct {
    int version;
    struct ruleset rights;
} additions[] = {
    {1, {.files = 0x1fff}},    /* to execute, read, write, list, make and remove */
    {2, {.files = 0x1 << 13}}, /* to move and link between folders */
    {3, {.files = 0x1 << 14}}, /* to truncate */
    {4, {.ports = 0x3}},       /* to bind and connect TCP sockets */
    {5, {.files = 0x1 << 15}}, /* to control devices */
    {6, {.scopes = 0x3}},      /* abstract sockets of others, signals to others */
};

/* Where a folder can likely be made for a moment; memory first. */
static const char *const places[] = {"/run", "/dev/shm", "/tmp", "/var/tmp"};

static int open_empty_root_in(const char *place)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/mta-sts-httpd.XXXXXX", place); /* places are short */
    if (mkdtemp(path) == NULL)
        return -1;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int reason = errno;
    if (rmdir(path) != 0 && fd >= 0)
        descriptor_close(&fd); /* a folder that somebody put something into is no void */
    else
        errno = reason;
    return fd;
}

int filesystem_open_empty_root(void)
{
    int fd = -1;
    errno = EPERM;
    if (geteuid() != 0)
        return -1;
    for (size_t i = 0; fd < 0 && i < sizeof(places) / sizeof(places[0]); i++)
        fd = open_empty_root_in(places[i]);
    return fd;
}

bool filesystem_enter_empty_root(int fd)
{
    bool good = fchdir(fd) == 0 && chroot(".") == 0 && chdir("/") == 0;
    descriptor_close(&fd); /* nothing was written through it */
    return good;
}

/* The path cannot be opened: Landlock refuses it, or there is no such path. A restriction that is only
 * claimed would be worse than none. */
static bool is_shut(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == EACCES || errno == ENOENT;
    (void)close(fd); /* nothing was read or written */
    errno = EPERM;
    return false;
}

static bool allow_reading(int ruleset)
{
    int folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct rule rule = {.files = TO_READ, .folder = folder};
    if (folder < 0)
        return false;
    bool good = syscall(SYS_landlock_add_rule, ruleset, RULE_BENEATH, &rule, 0) == 0;
    descriptor_close(&folder); /* the rule keeps it */
    return good;
}

bool filesystem_restrict(bool to_reading)
{
    struct ruleset all = {0};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_FOR_VERSION);
    if (version < 0)
        return false;
    for (size_t i = 0; i < sizeof(additions) / sizeof(additions[0]); i++)
        if (additions[i].version <= version) {
            all.files |= additions[i].rights.files;
            all.ports |= additions[i].rights.ports;
            all.scopes |= additions[i].rights.scopes;
        }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    if (fd < 0)
        return false;
    bool good =
        (!to_reading || allow_reading(fd)) && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    descriptor_close(&fd); /* the process keeps the rules */
    return good &&
           (to_reading ? is_shut("/dev/null", O_WRONLY) : is_shut("/", O_RDONLY | O_DIRECTORY));
}
