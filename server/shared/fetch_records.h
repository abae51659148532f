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
struct fetch_record {
    char domain[LIMIT_NAME + 1];
    char agent[LIMIT_FETCH_RECORD_AGENT + 1]; /* printable ASCII; "" when it was not told */
    char network[CLIENT_ADDRESS_SIZE];
    char id[LIMIT_ID + 1];
    int64_t last;   /* microseconds since 1970 UTC */
    uint64_t count; /* set by fetch_records_add */
};

enum { FETCH_RECORD_WORDS = (sizeof(struct fetch_record) + 7) / 8 };

/* Begin with zeros. */
struct fetch_records {
    _Atomic uint64_t keys[LIMIT_FETCH_RECORDS];    /* of domain, agent and network; 0: free */
    _Atomic uint64_t domains[LIMIT_FETCH_RECORDS]; /* hashes, to find those of a domain */
    _Atomic int64_t lasts[LIMIT_FETCH_RECORDS];
    _Atomic uint64_t turns[LIMIT_FETCH_RECORDS]; /* odd while it is written */
    _Atomic uint64_t words[LIMIT_FETCH_RECORDS][FETCH_RECORD_WORDS];
};

/* Copies the text, as much as fits, with a question mark for what cannot be printed. */
void fetch_record_set(char *field, size_t size, struct span text);

/* One process at a time writes. */
void fetch_records_add(struct fetch_records *visits, const struct fetch_record *visit);

/* Copies the next entry for the domain, from *index on, which goes behind it; false when there is
 * none. Begin with 0. An entry that is being written is left out. */
bool fetch_records_next(const struct fetch_records *visits, struct span domain, size_t *index,
                        struct fetch_record *ret_visit);

#endif
