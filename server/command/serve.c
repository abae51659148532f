#include "command/command.h"
#include "supervise/supervisor.h"

int command_serve(const struct command_line *line)
{
    const struct supervisor_options options = {.path = line->path, .listen = line->listen};
    return supervisor_run(&options) == 0 ? STATUS_GOOD : STATUS_WRONG;
}
