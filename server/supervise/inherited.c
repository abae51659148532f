#include "supervise/inherited.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

enum { FIRST_DESCRIPTOR = 3 }; /* SD_LISTEN_FDS_START */

/* Of a family that an address can be written for. */
static bool is_listening_stream(int fd)
{
    int type = 0, listening = 0, domain = 0;
    socklen_t len = sizeof(domain);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 ||
        (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX))
        return false;
    len = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM)
        return false;
    len = sizeof(listening);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening != 0;
}

static bool settle_descriptor(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* How many descriptors are ours: 0 unless they were meant for this process. */
static int count_offered(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    if (pid == NULL || count == NULL || strtoll(pid, NULL, 10) != getpid())
        return 0;
    long long offered = strtoll(count, NULL, 10);
    return offered < 0 ? 0 : offered > LIMIT_LISTENERS ? LIMIT_LISTENERS : (int)offered;
}

void inherited_take(struct inherited *ret_inherited)
{
    struct inherited inherited = {0};
    const char *names = getenv("LISTEN_FDNAMES");
    int offered = count_offered();
    for (int i = 0; i < offered; i++) {
        int fd = FIRST_DESCRIPTOR + i;
        size_t len = names == NULL ? 0 : strcspn(names, ":");
        char *name = names == NULL ? strdup("") : strndup(names, len);
        if (names != NULL)
            names = names[len] == ':' ? names + len + 1 : NULL;
        if (name == NULL || !is_listening_stream(fd) || !settle_descriptor(fd)) {
            log_line(LOG_LEVEL_WARNING,
                     "descriptor %d, passed on by the service manager, is no "
                     "listening stream socket of IP or of the file system",
                     fd);
            free(name);
            continue;
        }
        inherited.items[inherited.count].fd = fd;
        inherited.items[inherited.count++].name = name;
    }
    /* These cannot fail for such names. */
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    *ret_inherited = inherited;
}

void inherited_close(struct inherited *inherited)
{
    while (inherited->count > 0) {
        inherited->count--;
        (void)close(inherited->items[inherited->count].fd); /* the manager has it too */
        free(inherited->items[inherited->count].name);
    }
}
