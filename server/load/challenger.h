/*
 * The challenger: finds the challenges that ACME clients leave in files, certificates for tls-alpn-01 with
 * their keys (RFC 8737) and key authorizations for http-01 (RFC 8555 section 8.3), and shows them to all workers at
 * once, without a reload. The kernel tells of news (inotify); where it cannot, a look every two seconds finds
 * them. A file is known by what is in it, and whatever is no challenge stays out of sight of clients. It
 * follows no link to a file. Watcher only.
 */
#ifndef LOAD_CHALLENGER_H
#define LOAD_CHALLENGER_H

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
    bool lacks;                    /* the last look could not see all, which was told */
};

/* Looks if it is time or if the kernel has told of news. */
void challenger_look(struct challenger *challenger, int64_t now);

#endif
