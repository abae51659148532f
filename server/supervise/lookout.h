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
    int64_t stale;             /* when what was judged is to be judged anew */
};

/* Begins anew after the configuration was loaded. */
struct lookout lookout_begin(const struct configuration *configuration, int64_t now);

enum lookout_news {
    LOOKOUT_NOTHING,
    LOOKOUT_CERTIFICATES, /* only they have changed, and are at rest */
    LOOKOUT_FILES,        /* configuration files have changed, and all is at rest */
    LOOKOUT_STALE,        /* a day has gone by: dates of certificates mean something else now */
};

/* Looks when it is time. After news the caller loads anew; it is told once. */
enum lookout_news lookout_look(struct lookout *lookout, const struct configuration *configuration,
                               int64_t now);

#endif
