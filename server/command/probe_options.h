/*
 * The options of commands that probe: whom to ask, whom to trust, how long to
 * wait. Runs in the commands probe and dns.
 */
#ifndef COMMAND_PROBE_OPTIONS_H
#define COMMAND_PROBE_OPTIONS_H

#include "base/address.h"
#include "certificates/trust.h"
#include "command/command.h"
#include "probe/probe.h"

/* Begin with {0}; end with probe_options_free. The probe points into it. */
struct probe_options {
    struct address connect;
    struct trust *trust; /* owned */
    struct probe probe;
};

/* STATUS_GOOD, or an exit status after saying on standard error what is wrong. */
int probe_options_read(const char *command, const struct command_line *line,
                       struct probe_options *ret_options);
void probe_options_free(struct probe_options *options);

#endif
