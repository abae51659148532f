/*
 * Tells whether the files that a configuration was read from are still as they
 * were then. It looks at their status and never opens one, so it works on every
 * file system, through links and on mounts of a container, and costs a system
 * call or two a file. It waits for nothing: whoever asks decides how often.
 * Runs in the loader and in the watcher.
 */
#ifndef FILES_WATCH_H
#define FILES_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/text.h"

enum watch_part {
    WATCH_CERTIFICATES, /* every file below the paths of "certificates" */
    WATCH_FILES,        /* the main file, and every file that an "include" finds */
};
#define WATCH_PARTS 2

/* Fingerprints. Equal ones mean that nothing has changed. What the setting "watch" leaves out is 0
 * in every look. */
struct watch_look {
    uint64_t parts[WATCH_PARTS];
};

struct watch_path {
    const char *path;      /* borrowed from the arena */
    uint32_t line, column; /* where the main file names it */
    struct watch_path *next;
};

/* What to look at. Part of a configuration, which is its only user. Begin with {.arena}. */
struct watch {
    struct arena *arena;                   /* borrowed */
    const char *file;                      /* the main file; borrowed from the arena */
    struct watch_path *paths[WATCH_PARTS]; /* of certificates, and of included files */
    bool is_wanted[WATCH_PARTS];           /* as the setting "watch" says */
    /* The look when this configuration was read: taken of each file before it was opened, so that a change
     * while it was read is a change. */
    struct watch_look read;
};

/* For the loader: adds a path, as the process would open it, at the end of the list of the part, so that paths
 * are looked at in the order in which they were read. */
void watch_add(struct watch *watch, enum watch_part part, const char *path, struct position at);

/* The look now, at the same paths. A refused load leaves no configuration to ask: ask the one that
 * stays in use before the load, and try again when its look differs from that one. (What only the
 * refused file names is not looked at; whoever mends it there must touch that file too.) */
struct watch_look watch_now(const struct watch *watch);

/* Appends the path of the file of the part that was changed last. Nothing when there is none. */
void watch_find_latest(const struct watch *watch, enum watch_part part, struct text *ret_path);

#endif
