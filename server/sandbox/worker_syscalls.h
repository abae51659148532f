/*
 * The system calls of a worker: the only ones that it needs once it is sealed.
 * Any other ends it at once (SIGSYS, told by the supervisor and by the kernel's
 * log). None of them can open, connect, execute, fork, trace or signal another
 * process. A feature that needs one more adds a row here, with its reason.
 * Two of its tables are used by the filters of the other processes too.
 * Runs in workers.
 */
#ifndef SANDBOX_WORKER_SYSCALLS_H
#define SANDBOX_WORKER_SYSCALLS_H

#include <stdbool.h>

#include "sandbox/syscall_filter.h"

/* What every process needs until its end: clocks, memory that cannot be executed, the log, the end.
 * Memory that is mapped is not among it: what may be mapped differs. */
extern const struct filter_table calls_common;

/* What no process calls: to execute, to reach into other processes, to leave the place where this one is,
 * to load into the kernel, to change the machine. It ends the process, which the kernel's log shows. */
extern const struct filter_table calls_never;

/* Forbids this process everything else, for good. New privileges must be
 * forbidden by then. False with errno: ENOSYS, EINVAL or EPERM when the kernel or
 * the container has no filters. */
bool calls_restrict(void);

#endif
