/*
 * Counters and gauges in memory that the supervisor shares with every process
 * that it forks, so that what was counted survives reloads and crashes. Each
 * worker writes in a slot of its own; the supervisor writes the gauges; every
 * process may read all that was there when it was forked. A worker can write in
 * no other slot, whatever it calls; what a compromised one has written in its own
 * is for display alone. The shared part holds no pointer.
 */
#ifndef SHARED_STATS_H
#define SHARED_STATS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

/* Who has fetched what: for a domain, a program and a network the id that it got
 * last, and when. A fixed number of entries, of which the oldest is overwritten: one writes, anyone reads
 * without holding it up. */

/* A network as text: its address and its length. */
enum { CLIENT_ADDRESS_SIZE = INET6_ADDRSTRLEN + 4 };

/* All strings end with a NUL, also in what was read; all behind it is zero in what is added. */
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
    _Atomic uint64_t lasts[LIMIT_FETCH_RECORDS];
    _Atomic uint64_t turns[LIMIT_FETCH_RECORDS]; /* odd while it is written */
    _Atomic uint64_t words[LIMIT_FETCH_RECORDS][FETCH_RECORD_WORDS];
};

/* Copies the text, as much as fits, with a question mark for what cannot be printed. */
void fetch_record_set(char *field, size_t size, struct span text);

/* One process at a time writes. */
void fetch_records_add(struct fetch_records *records, const struct fetch_record *record);

/* Copies the next entry for the domain, from *index on, which goes behind it; false when there is
 * none. Begin with 0. An entry that is being written is left out. */
bool fetch_records_next(const struct fetch_records *records, struct span domain, size_t *index,
                        struct fetch_record *ret_record);

/* What a worker counts. All but the first only grow. */
enum stats_counter {
    STATS_CONNECTIONS, /* that it has now; set, not counted */
    STATS_HANDSHAKE_TLS12,
    STATS_HANDSHAKE_TLS13,
    STATS_HANDSHAKE_NO_NAME,      /* a client without SNI */
    STATS_HANDSHAKE_UNKNOWN_NAME, /* a host that has no certificate here */
    STATS_HANDSHAKE_VERSION,      /* TLS 1.1 or older */
    STATS_HANDSHAKE_IN_COMMON,    /* no cipher, group, signature or application protocol */
    STATS_HANDSHAKE_REFUSED,      /* the client sent an alert */
    STATS_HANDSHAKE_CLOSED,       /* it went away */
    STATS_HANDSHAKE_TIMEOUT,
    STATS_HANDSHAKE_MEMORY,
    STATS_HANDSHAKE_PROTOCOL, /* what it sent is not TLS, or breaks its rules */
    STATS_FETCH_200,
    STATS_FETCH_400,
    STATS_FETCH_404,
    STATS_FETCH_405,
    STATS_FETCH_421,
    STATS_FETCH_431,
    STATS_FETCH_503,
    STATS_FETCH_505,
    STATS_EVICTED, /* a connection gave way because the worker was full */
    STATS_LIMITED, /* because its network had its share */
};
#define STATS_COUNTERS (STATS_LIMITED + 1)

enum stats_gauge {
    /* What a load has found, of what is served since. */
    STATS_DOMAINS_REFUSED, /* the domains in each state, in the order of site/site.h */
    STATS_DOMAINS_STALE,
    STATS_DOMAINS_NO_CERTIFICATE,
    STATS_DOMAINS_SERVED,
    STATS_TESTED_LONG,  /* domains in testing for more than a month; where it is known */
    STATS_HELD_AGAINST, /* domains of which senders hold what disagrees with what is served */
    STATS_BLOCKED,      /* 1: no certificate is served, and some may not be read; else 0 */
    STATS_NOT_AFTER,    /* the earliest end of a certificate in use; 0: there is none */
    STATS_WARNING,      /* from when on the first of them is warned of; the same */
    /* What the supervisor knows. */
    STATS_RELOADS_DONE,
    STATS_RELOADS_REFUSED,
    STATS_LAST_RELOAD, /* when the configuration that is served was loaded; seconds since 1970 UTC */
    STATS_WORKERS_REPLACED,
    STATS_MEMORY_SUPERVISOR, /* resident bytes; 0: not known */
    STATS_MEMORY_WORKERS,
};
#define STATS_LOADED (STATS_WARNING + 1)
#define STATS_GAUGES (STATS_MEMORY_WORKERS + 1)

struct stats;

/* Owned; NULL with errno when memory or a descriptor is short. Make it before the first fork. */
struct stats *stats_new(void);
void stats_free(struct stats *stats);

/* Supervisor: makes the slots for so many workers of each of two generations, as far as they are not there;
 * workers that are forked later see them. False with errno. */
bool stats_reserve(struct stats *stats, size_t workers);

/* The slot of a worker and of those that replace it. Beside one generation there is at most the one before
 * or after it, which has other slots. */
static inline size_t stats_slot(unsigned generation, size_t worker)
{
    return 2 * worker + generation % 2;
}

/* Supervisor: the worker with that slot has ended, and the next one with it goes on. What was counted stays. */
void stats_end_worker(struct stats *stats, size_t slot);

/* Supervisor. */
void stats_set(struct stats *stats, enum stats_gauge gauge, int64_t value);
void stats_add(struct stats *stats, enum stats_gauge gauge);

/* Worker, once and before it counts: its slot. It gives up to write anything else. False with errno. */
bool stats_attach(struct stats *stats, size_t slot);

/* Worker: in its slot. Without a stats, NULL, nothing is counted. */
void stats_count(struct stats *stats, enum stats_counter counter);
void stats_record_fetch(struct stats *stats, const struct fetch_record *record);
void stats_set_connections(struct stats *stats, size_t connections);

/* Of all workers that ever were. */
uint64_t stats_sum(const struct stats *stats, enum stats_counter counter);
/* The records that the worker with that slot has noted; NULL when no later one has any. Borrowed. */
const struct fetch_records *stats_fetch_records(const struct stats *stats, size_t slot);
int64_t stats_gauge(const struct stats *stats, enum stats_gauge gauge);

#endif
