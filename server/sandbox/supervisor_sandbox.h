/*
 * What the supervisor gives up at its start, before it forks another process: new
 * privileges, every capability but those that its work needs, core dumps, being
 * traced, and every system call that neither it nor one of its children needs. They
 * inherit all of it and then give up the rest (sandbox/seal.h, sandbox/reader_sandbox.h). Runs in the
 * supervisor, once.
 */
#ifndef SANDBOX_SUPERVISOR_SANDBOX_H
#define SANDBOX_SUPERVISOR_SANDBOX_H

#include <stdbool.h>

/* What the kernel lacks is left out, and the seal of the workers lacks the same, which is logged; false, logged, when
 * something failed that cannot. */
bool confine_supervisor(void);

#endif
