#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "command/command.h"
#include "supervise/supervisor.h"

/* Where standard error was closed, a client's socket would become it, and the log would be sent to the
 * client. An empty root may lack the null device, so it is asked for only where it is needed. */
static bool occupy_standard_descriptors(void)
{
    /* The lowest free number is given: each in turn. Workers inherit it, like those that were there. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) {
            log_line(LOG_LEVEL_ERROR, "descriptor %d is closed, and /dev/null cannot be opened: %s",
                     fd, strerror(errno));
            return false;
        }
    }
    return true;
}

/* Nobody reads or writes these two, and what a service manager or a shell has put there is no matter of
 * a worker, which inherits them. Without a null device they are standard error, which it has anyway. */
static void give_up_input_and_output(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(fd < 0 ? STDERR_FILENO : fd,
               STDIN_FILENO); /* where it fails, they are as they were */
    (void)dup2(fd < 0 ? STDERR_FILENO : fd, STDOUT_FILENO);
    if (fd > STDERR_FILENO)
        (void)close(fd); /* nothing was written through it */
}

int command_serve(const struct command_line *line, struct text *out)
{
    (void)out; /* a server has a log */
    if (!occupy_standard_descriptors()) {
        log_line(LOG_LEVEL_ERROR, "cannot open /dev/null: %s", strerror(errno));
        return STATUS_WRONG;
    }
    give_up_input_and_output();
    log_open();
    const struct supervisor_options options = {
        .path = line->path, .listen = line->listen, .status = line->status};
    return supervisor_run(&options) == 0 ? STATUS_GOOD : STATUS_WRONG;
}
