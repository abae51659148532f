/*
 * The lookout: notices without a signal that files have changed, and waits
 * until they have come to rest, so that a renewal of many certificates is one
 * reload and a half-written file is likely none. It looks at names, sizes and
 * dates only, never into a file; that works on every volume and for every kind
 * of replacement. Runs in the supervisor.
 */
#ifndef SUPERVISE_LOOKOUT_H
#define SUPERVISE_LOOKOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "load/configuration.h"
#include "load/watch.h"

/* Times are milliseconds of the monotonic clock in every function here. */
struct lookout {
    struct watch_look handled; /* what the last load has seen, or was refused for */
    struct watch_look seen;    /* what the last look has seen */
    int64_t next;              /* when to look again */
};

/* Begins anew after the configuration was loaded. */
struct lookout lookout_begin(const struct configuration *configuration, int64_t now);

/* Looks when it is time. True when files have changed and are at rest: the
 * caller loads anew, and is not told again of this change. */
bool lookout_look(struct lookout *lookout, const struct configuration *configuration, int64_t now);

#endif
