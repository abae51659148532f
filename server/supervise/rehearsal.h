/*
 * The rehearsal of the seal: a child takes every step as a worker would, tells
 * how each of them went, and is thrown away. So the supervisor knows before it
 * forks a worker what the kernel or the container lacks, and an operator can
 * look at it. Runs in the supervisor and in commands; the child sees no client.
 */
#ifndef SUPERVISE_REHEARSAL_H
#define SUPERVISE_REHEARSAL_H

#include <stdbool.h>

#include "base/text.h"
#include "serve/seal.h"
#include "supervise/identity.h"

/* The steps of a worker of that identity, with the void of wall_open_void or -1. Appends to
 * ret_status what /proc says of the sealed child, unless it is NULL or that cannot be read. False,
 * logged, when a step failed that every kernel has, or no child can be made. */
bool rehearsal_run(const struct identity *identity, int void_fd, struct seal_report *ret_report,
                   struct text *ret_status);

#endif
