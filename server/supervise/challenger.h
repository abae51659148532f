/*
 * The challenger: watches the folders in which ACME clients leave challenges, and
 * shows these to all workers at once, without a reload. The kernel tells of news
 * (inotify); where it cannot, a look every two seconds finds them. Runs in the watcher, which
 * alone writes to the memory that workers share with it.
 */
#ifndef SUPERVISE_CHALLENGER_H
#define SUPERVISE_CHALLENGER_H

#include <stdbool.h>
#include <stdint.h>

#include "configuration/settings.h"
#include "shared/challenges.h"

/* Times are milliseconds of the monotonic clock. */
struct challenger {
    struct challenges *challenges; /* borrowed; NULL: no configuration has wanted them yet */
    const struct acme *acme;       /* borrowed */
    int inotify;                   /* owned; or -1 */
    int64_t next;                  /* the next look; INT64_MAX: none */
    int64_t rested;                /* not before this, whatever the kernel tells */
    uint64_t told;                 /* what was said last of files that are left out */
    bool is_short;                 /* the last look could not see all, which was told */
};

/* The folders of these settings are watched; both are borrowed. told is that of the challenger before.
 * The first look is due at once. */
struct challenger challenger_begin(struct challenges *challenges, const struct acme *acme,
                                   uint64_t told, int64_t now);

/* Looks if it is time or if the kernel has told of news: call it when the inotify descriptor can be
 * read, and when next has come. */
void challenger_look(struct challenger *challenger, int64_t now);

void challenger_end(struct challenger *challenger);

#endif
