/*
 * "list --held": what senders may still hold of the policies that were served,
 * until when, and from when on a host may be the only MX of a domain. Runs in
 * the command list.
 */
#ifndef COMMAND_HELD_H
#define COMMAND_HELD_H

#include "command/command.h"

/* Returns the exit status: STATUS_PENDING when nothing was recorded. */
int held_list(const struct command_line *line);

#endif
