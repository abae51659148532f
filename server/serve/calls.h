/*
 * The system calls of a worker: the only ones that it needs once it is sealed.
 * Any other ends it at once (SIGSYS, told by the supervisor and by the kernel's
 * log). None of them can open, connect, execute, fork, trace or signal another
 * process. A feature that needs one more adds a row here, with its reason.
 * Runs in workers.
 */
#ifndef SERVE_CALLS_H
#define SERVE_CALLS_H

#include <stdbool.h>

/* Forbids this process everything else, for good. New privileges must be
 * forbidden by then. False with errno: ENOSYS, EINVAL or EPERM when the kernel or
 * the container has no filters. */
bool calls_restrict(void);

#endif
