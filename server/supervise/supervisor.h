/*
 * The supervisor: has the configuration loaded by a loader, binds the listeners, forks
 * generations of workers and watches over them until it is told to stop. It
 * opens none of the files that the configuration names, and never reads a byte
 * from a client.
 */
#ifndef SUPERVISE_SUPERVISOR_H
#define SUPERVISE_SUPERVISOR_H

#include "base/address.h"

struct supervisor_options {
    const char *path;             /* of the configuration; borrowed */
    const struct address *listen; /* replaces the configured listeners; or NULL */
    const char *status;           /* where the status is written; NULL: in the usual place */
};

/* Serves until SIGTERM, SIGINT or SIGQUIT; SIGHUP loads anew. Returns the exit status:
 * 0 after a clean stop, 1 when it could not start or its workers kept dying. */
int supervisor_run(const struct supervisor_options *options);

#endif
