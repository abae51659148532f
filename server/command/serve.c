#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "command/command.h"
#include "supervise/supervisor.h"

/* Where standard error was closed, a client's socket would become it, and the
 * log would be sent to the client. False when the file system has no null device. */
static bool occupy_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR); /* inherited by workers, like those that were there */
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return false;
    (void)close(fd); /* nothing was written */
    return true;
}

int command_serve(const struct command_line *line)
{
    if (!occupy_standard_descriptors()) {
        log_line(LOG_LEVEL_ERROR, "cannot open /dev/null: %s", strerror(errno));
        return STATUS_WRONG;
    }
    log_open();
    const struct supervisor_options options = {.path = line->path, .listen = line->listen};
    return supervisor_run(&options) == 0 ? STATUS_GOOD : STATUS_WRONG;
}
