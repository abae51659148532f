#include "supervise/supervisor_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"

/* So often at most, and so long after the beginning, more time is asked for. Milliseconds. */
enum { EXTEND_MS = 5000 };

/* The socket that was named: a path, or "@" and an abstract name. -1, logged,
 * when it cannot be reached: then the start would time out without a word. */
static int reach(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    int fd = -1;
    errno = EINVAL;
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(address.sun_path))
        goto fail;
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0)
        return fd;
fail:
    log_line(LOG_LEVEL_ERROR, "cannot reach the service manager at %s: %s", name, strerror(errno));
    descriptor_close(&fd);
    return -1;
}

/* Half of what the manager waits for, as sd_watchdog_enabled(3) advises. */
static int64_t watchdog_interval_ms(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    const char *usec = getenv("WATCHDOG_USEC");
    if (usec == NULL || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    int64_t interval = strtoll(usec, NULL, 10) / 2 / 1000;
    return interval > 0 ? interval : 0;
}

struct notifier notifier_open(int64_t now)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct notifier notifier = {.fd = -1, .next = INT64_MAX};
    if (name != NULL && name[0] != '\0')
        notifier.fd = reach(name);
    if (notifier.fd >= 0)
        notifier.interval_ms = watchdog_interval_ms();
    if (notifier.interval_ms > 0)
        notifier.next = now;
    /* These cannot fail for such names. */
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_PID");
    (void)unsetenv("WATCHDOG_USEC");
    return notifier;
}

/* A manager that does not listen is its own problem, not one of the clients. */
static void transmit(const struct notifier *notifier, const char *message)
{
    if (notifier->fd >= 0)
        (void)send(notifier->fd, message, strlen(message), MSG_NOSIGNAL);
}

void notifier_tell(const struct notifier *notifier, enum notification what, const char *status)
{
    static const char *const words[] = {
        [NOTIFY_READY] = "READY=1\n",
        [NOTIFY_RELOADING] = "RELOADING=1\n",
        [NOTIFY_STOPPING] = "STOPPING=1\n",
    };
    char message[512], clock[48] = "", line[384] = "";
    if (status != NULL)
        (void)snprintf(line, sizeof(line), "STATUS=%s\n", status);
    if (what == NOTIFY_RELOADING)
        (void)snprintf(clock, sizeof(clock), "MONOTONIC_USEC=%" PRId64 "\n", clock_monotonic_us());
    (void)snprintf(message, sizeof(message), "%s%s%s", words[what], clock, line); /* it fits */
    transmit(notifier, message);
}

void notifier_extend(struct notifier *notifier, int64_t now)
{
    char message[64];
    if (now - notifier->extended < EXTEND_MS)
        return;
    notifier->extended = now;
    (void)snprintf(message, sizeof(message), "EXTEND_TIMEOUT_USEC=%" PRId64 "\n",
                   INT64_C(1000) * (LIMIT_LOAD_SILENCE_MS + EXTEND_MS)); /* it fits */
    transmit(notifier, message);
}

void notifier_live(struct notifier *notifier, int64_t now)
{
    if (now < notifier->next)
        return;
    notifier->next = now + notifier->interval_ms;
    transmit(notifier, "WATCHDOG=1\n");
}
