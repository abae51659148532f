/*
 * What this machine would refuse at the start although the configuration is sound: a user that does
 * not exist, a state folder that cannot be written to, an address that no interface has, a port that
 * another program has. It opens nothing for longer than the question takes. Runs in the command check.
 */
#ifndef SUPERVISE_MACHINE_CHECK_H
#define SUPERVISE_MACHINE_CHECK_H

#include "base/diag.h"
#include "configuration/settings.h"

/* Adds what it finds to diag, at the file: warnings, because the file is sound, and it may be different
 * where and when the server starts. */
void machine_check(const struct settings *settings, const char *file, struct diag *diag);

#endif
