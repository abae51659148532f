#include "supervise/machine_check.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/identity.h"

/* What the service unit makes before it starts the server. */
static bool is_made_by_unit(const char *path)
{
    static const char *const folders[] = {"/var/lib/mta-sts", "/run/mta-sts"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        size_t len = strlen(folders[i]);
        if (strncmp(path, folders[i], len) == 0 && (path[len] == '\0' || path[len] == '/'))
            return true;
    }
    return false;
}

static void check_user(const struct settings *settings, struct position at, struct diag *diag)
{
    struct identity identity;
    const char *user = settings->user;
    if (user == NULL)
        return;
    if (!identity_look_up(user, &identity)) {
        diag_add(diag, DIAG_WARNING, at, "user \"%s\" is not in /etc/passwd", user);
        diag_reason(diag, "a server that root starts would refuse to");
        diag_hint(diag, "make it with \"useradd --system %s\", or give a number", user);
    } else if (identity.uid == 0 || identity.gid == 0) {
        diag_add(diag, DIAG_WARNING, at, "user \"%s\" is root", user);
        diag_hint(diag, "workers must not run as root: name another user, or leave it out");
    }
}

static void check_state(const struct settings *settings, struct position at, struct diag *diag)
{
    struct stat status;
    const char *folder = settings->state;
    if (folder == NULL)
        return;
    if (stat(folder, &status) != 0) {
        /* Others' folders cannot be looked into; the service is another user. */
        if (errno == EACCES || (errno == ENOENT && is_made_by_unit(folder)))
            return;
        diag_add(diag, DIAG_WARNING, at, "state folder %s: %s", folder, strerror(errno));
    } else if (!S_ISDIR(status.st_mode)) {
        diag_add(diag, DIAG_WARNING, at, "state \"%s\" is not a folder", folder);
    } else if (access(folder, W_OK) == 0 || (errno != EROFS && status.st_uid != geteuid())) {
        return;
    } else {
        diag_add(diag, DIAG_WARNING, at, "state folder %s: %s", folder, strerror(errno));
    }
    diag_reason(diag, "the last valid policies could not be saved there");
    diag_hint(diag, "make a folder that the user of the server may write to, with mode 0700");
}

/* The field of a line whose fields are separated by spaces, counted from 0. */
static const char *field(const char *line, unsigned number)
{
    line += strspn(line, " ");
    for (; number > 0; number--) {
        line += strcspn(line, " ");
        line += strspn(line, " ");
    }
    return line;
}

/* Is the line of /proc/net/tcp or tcp6 a listener on the port? Then its inode. */
static bool is_listener(const char *line, unsigned port, uint64_t *ret_inode)
{
    enum { LOCAL = 1, STATE = 3, INODE = 9, LISTENS = 0x0a };
    const char *colon = strchr(field(line, LOCAL), ':');
    *ret_inode = strtoull(field(line, INODE), NULL, 10);
    return colon != NULL && strtoul(colon + 1, NULL, 16) == port &&
           strtoul(field(line, STATE), NULL, 16) == LISTENS;
}

/* True when the process has the socket open. */
static bool has_socket(const char *process, uint64_t inode)
{
    char path[300], wanted[40], target[64];
    bool found = false;
    (void)snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode); /* these fit */
    (void)snprintf(path, sizeof(path), "/proc/%s/fd", process);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(folder)) != NULL;) {
        ssize_t len = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        target[len < 0 ? 0 : len] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    (void)closedir(folder); /* it was only read */
    return found;
}

/* The name of the program that has the socket: "" when that cannot be seen, or is a service manager, or
 * this program. */
static void find_program(uint64_t inode, char ret_name[static 32], char ret_process[static 32])
{
    DIR *folder = opendir("/proc");
    ret_name[0] = '\0';
    if (folder == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[300], name[32] = "";
        if (!isdigit((unsigned char)entry->d_name[0]) || !has_socket(entry->d_name, inode))
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name); /* it fits */
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            if (fgets(name, sizeof(name), file) != NULL)
                name[strcspn(name, "\n")] = '\0';
            (void)fclose(file); /* it was only read */
        }
        bool is_own = strcmp(name, "systemd") == 0 || strcmp(name, "mta-sts-httpd") == 0;
        (void)snprintf(ret_name, 32, "%s", is_own ? "" : name);
        (void)snprintf(ret_process, 32, "%.31s", entry->d_name);
        if (is_own)
            break;
    }
    (void)closedir(folder); /* it was only read */
}

static void report_program(const struct endpoint *endpoint, struct position at, struct diag *diag)
{
    static const char *const tables[] = {"/proc/self/net/tcp", "/proc/self/net/tcp6"};
    char line[512], name[32], process[32];
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        FILE *file = fopen(tables[i], "re");
        uint64_t inode = 0;
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            if (!is_listener(line, address_port(&endpoint->address), &inode))
                continue;
            find_program(inode, name, process);
            if (name[0] == '\0')
                continue;
            diag_add(diag, DIAG_WARNING, at, "%s \"%s\": %s (process %s) listens there",
                     endpoint_key(endpoint->service), endpoint->address.text, name, process);
            diag_hint(diag, "end it before the server starts, or use another port");
            break;
        }
        if (file != NULL)
            (void)fclose(file); /* it was only read */
    }
}

/* Asks the kernel, which forgets the socket at once: nobody could connect to it. */
static void check_endpoint(const struct endpoint *endpoint, struct position at, struct diag *diag)
{
    const struct address *address = &endpoint->address;
    const int on = 1, only = endpoint->v6_only ? 1 : 0;
    if (address->any.sa_family != AF_INET && address->any.sa_family != AF_INET6)
        return;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!address_is_v6_wildcard(address) ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0) &&
        bind(fd, &address->any, address->len) != 0) {
        if (errno == EADDRINUSE) {
            report_program(endpoint, at, diag);
        } else if (errno == EADDRNOTAVAIL && !endpoint->freebind) {
            diag_add(diag, DIAG_WARNING, at, "%s \"%s\": no network interface has this address",
                     endpoint_key(endpoint->service), address->text);
            diag_hint(diag, "if it comes up later, write {address: \"%s\", freebind: true}",
                      address->text);
        }
    }
    (void)close(fd); /* nothing was sent through it */
}

void machine_check(const struct settings *settings, const char *file, struct diag *diag)
{
    struct position at = {.file = diag_intern(diag, span_of(file))};
    check_user(settings, at, diag);
    check_state(settings, at, diag);
    for (size_t i = 0; i < settings->listener_count; i++)
        check_endpoint(&settings->listeners[i], at, diag);
}
