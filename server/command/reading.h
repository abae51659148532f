/*
 * How a command reads the configuration: the same loader as the server's, then
 * the diagnostics on standard error.
 */
#ifndef COMMAND_READING_H
#define COMMAND_READING_H

#include "base/diag.h"
#include "command/command.h"
#include "load/configuration.h"

struct reading {
    struct diag *diag;                   /* owned; NULL when memory is short */
    struct configuration *configuration; /* owned; NULL after a fault of the file */
};

/* Reads the configuration of the command line. End with reading_free. */
struct reading reading_new(const struct command_line *line, bool without_certificates);
void reading_free(struct reading *reading);

/* Prints the diagnostics of the level and graver on standard error. False when
 * some are not there. */
bool reading_print(const struct reading *reading, enum diag_level least);

/* The domain, or NULL after saying on standard error that it is not configured. */
const struct site_domain *reading_find(const struct reading *reading, const char *name);

#endif
