/*
 * The rehearsal of the seal: a child takes every step as a worker would, tells
 * how each of them went, and is thrown away. So an operator can look at what the
 * kernel or the container lacks. Runs in a command; the child sees no client.
 */
#ifndef COMMAND_REHEARSAL_H
#define COMMAND_REHEARSAL_H

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
