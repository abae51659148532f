/*
 * The challenger: watches the folders in which ACME clients leave challenges, and
 * shows these to all workers at once, without a reload. The kernel tells of news
 * (inotify); where it cannot, a look every two seconds finds them. It owns the memory that
 * workers share, which stays for the life of the program. Runs in the supervisor.
 */
#ifndef SUPERVISE_CHALLENGER_H
#define SUPERVISE_CHALLENGER_H

#include <stdbool.h>
#include <stdint.h>

#include "load/settings.h"
#include "site/challenges.h"

/* Begin with CHALLENGER_NONE. Times are milliseconds of the monotonic clock. */
struct challenger {
    struct challenges *challenges; /* owned; NULL until a configuration wants them */
    const struct acme *acme;       /* borrowed; NULL: nothing is watched */
    int inotify;                   /* owned; or -1 */
    int64_t next;                  /* the next look; INT64_MAX: none */
    int64_t rested;                /* not before this, whatever the kernel tells */
    uint64_t told;                 /* what was said last of files that are left out */
    bool is_short;                 /* the last look could not see all, which was told */
    size_t shown;                  /* challenges that workers are shown */
};

#define CHALLENGER_NONE ((struct challenger){.inotify = -1, .next = INT64_MAX})

/* To be called before workers are forked for a configuration: makes the memory if the configuration
 * wants challenges. False, logged, when it cannot be had. */
bool challenger_prepare(struct challenger *challenger, const struct acme *acme);

/* From now on the folders of these settings are watched, which are borrowed until the next call. The
 * first look is due at once. */
void challenger_begin(struct challenger *challenger, const struct acme *acme, int64_t now);

/* Looks if it is time or if the kernel has told of news: call it when the inotify descriptor can be
 * read, and when next has come. */
void challenger_look(struct challenger *challenger, int64_t now);

/* For a new worker, which keeps the memory: closes the descriptor. */
void challenger_leave(struct challenger *challenger);

void challenger_close(struct challenger *challenger);

#endif
