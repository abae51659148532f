/*
 * What the processes give up that serve no client, each with its filter of system calls
 * (sandbox/process_syscalls.h); the seal of the workers is another (sandbox/seal.h). The supervisor does so at
 * its start, before it forks, and its children inherit it. The loader and the watcher parse what others have
 * written, so before the first file they give up everything but reading: they are not root any more, and
 * can write no file, open no socket, execute, fork, signal or trace nothing. Runs in these
 * processes, once; each has one thread, and has closed every descriptor that is not its own.
 */
#ifndef SANDBOX_CONFINE_H
#define SANDBOX_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "sandbox/process_syscalls.h"

/* In both, what the kernel lacks (Landlock, filters) is left out: the seal of the workers lacks the same, and
 * that is logged. False, logged, when something failed that cannot: the process must then end. */

/* Gives up new privileges, every capability but those that the work needs, core dumps, being traced, and
 * every system call that neither the supervisor nor one of its children needs. */
bool confine_supervisor(void);

/* For SYSCALLS_LOADER and SYSCALLS_WATCHER. supervisor is the parent; the kernel kills this process when the
 * parent dies. A process that was root becomes nobody and keeps the right to read every file; where the
 * container does not allow that, it stays root without capabilities. */
bool confine_reader(enum syscalls_process reader, pid_t supervisor);

#endif
