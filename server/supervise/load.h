/*
 * One load: what a loader does from its first instruction to its last. It gives up everything but
 * reading (sandbox/confine.h), reads and judges the files, logs what is wrong with them, builds the
 * images of settings and site, and hands them over (supervise/loader.h). What was served before it has as
 * images of the same kind. It has no way to survive a shortage: it says so and ends. Runs in the loader.
 */
#ifndef SUPERVISE_LOAD_H
#define SUPERVISE_LOAD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/address.h"
#include "shared/challenges.h"
#include "shared/stats.h"
#include "supervise/settings_image.h"

/* In rising order: a greater one includes the smaller. */
enum load_extent {
    LOAD_NOTHING,
    LOAD_NEW_CERTIFICATES, /* the certificates, if they are others than were loaded last */
    LOAD_CERTIFICATES,     /* the configuration files stay as they were read */
    LOAD_ALL,
};

/* Everything is borrowed. */
struct load_order {
    const char *path;             /* of the main file */
    const struct address *listen; /* replaces the configured listeners; or NULL */
    enum load_extent extent;
    const struct settings_image *previous; /* of what is served now; NULL: nothing is */
    int site_fd;                           /* the site of that; or -1 */
    bool state_hangs;                      /* the disk of the state folder does not answer */
    int64_t now; /* seconds since 1970 UTC, by a clock that is never set back */
    pid_t supervisor;
    /* What other processes read, which it is not to write: it gives both up. */
    struct stats *stats;
    struct challenges *challenges; /* or NULL */
};

/* A loader_job; the context is a struct load_order. It returns only when it has failed, which was
 * logged. */
void load_run(void *context, int socket);

#endif
