/*
 * Writes the configuration that an import comes to, as YAML that "check"
 * accepts: equal policies once, and what needs a decision as comments. Runs in
 * the command import.
 */
#ifndef COMMAND_IMPORT_WRITE_H
#define COMMAND_IMPORT_WRITE_H

#include "base/text.h"
#include "command/import_hosts.h"

/* How much was written. */
struct import_sum {
    size_t domains;  /* with their policies */
    size_t policies; /* that have a name */
    size_t open;     /* domains that stand in comments */
};

/* Appends the configuration of the hosts, which were read. A shortage is noted. */
struct import_sum import_write(const struct import_hosts *hosts, struct text *out);

#endif
