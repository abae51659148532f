/*
 * Who has fetched what: for a domain, a program and a network the id that it got last, and
 * when. A fixed number of entries, of which the oldest is overwritten, in memory that
 * processes share: one writes, anyone reads without holding it up. What is read was
 * written by a worker, and deserves no trust. Runs in the worker.
 */
#ifndef SHARED_FETCH_RECORDS_H
#define SHARED_FETCH_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"
#include "shared/client_address.h"

/* All strings end with a NUL, also in what was read. */
struct visit {
    char domain[LIMIT_NAME + 1];
    char agent[LIMIT_VISIT_AGENT + 1]; /* printable ASCII; "" when it was not told */
    char network[ORIGIN_SIZE];
    char id[LIMIT_ID + 1];
    int64_t last;   /* microseconds since 1970 UTC */
    uint64_t count; /* set by visits_note */
};

enum { VISIT_WORDS = (sizeof(struct visit) + 7) / 8 };

/* Begin with zeros. */
struct visits {
    _Atomic uint64_t keys[LIMIT_VISITS];    /* of domain, agent and network; 0: free */
    _Atomic uint64_t domains[LIMIT_VISITS]; /* hashes, to find those of a domain */
    _Atomic int64_t lasts[LIMIT_VISITS];
    _Atomic uint64_t turns[LIMIT_VISITS]; /* odd while it is written */
    _Atomic uint64_t words[LIMIT_VISITS][VISIT_WORDS];
};

/* Copies the text, as much as fits, with a question mark for what cannot be printed. */
void visit_set(char *field, size_t size, struct span text);

/* One process at a time writes. */
void visits_note(struct visits *visits, const struct visit *visit);

/* Copies the next entry for the domain, from *index on, which goes behind it; false when there is
 * none. Begin with 0. An entry that is being written is left out. */
bool visits_next(const struct visits *visits, struct span domain, size_t *index,
                 struct visit *ret_visit);

#endif
