/*
 * The system calls that each process needs, in tables; every other one is forbidden for good. A feature that
 * needs one more adds a row here, with its reason. Any other call ends a worker at once (SIGSYS, logged by
 * the supervisor and by the kernel). Runs in every process of the server, once.
 */
#ifndef SANDBOX_PROCESS_SYSCALLS_H
#define SANDBOX_PROCESS_SYSCALLS_H

#include <stdbool.h>

enum syscalls_process {
    SYSCALLS_WORKER,
    SYSCALLS_LOADER,     /* reads files, makes memory files, seals them and sends descriptors */
    SYSCALLS_WATCHER,    /* reads files, and uses inotify */
    SYSCALLS_SUPERVISOR, /* and the saver; what all the others need is allowed, too */
};

/* Forbids this process everything else. New privileges must be forbidden by then. False with errno: ENOSYS,
 * EINVAL or EPERM when the kernel or the container has no filters. */
bool syscalls_restrict(enum syscalls_process process);

#endif
