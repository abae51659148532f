/*
 * What senders may still hold of a domain's policies, and until when. A policy is a promise that
 * outlives its file: who has fetched it applies it for up to max_age, and many senders renew it
 * without a fetch while the TXT record names the id that they know. So a date follows from when a
 * policy was served and from when ids were in the DNS. Every bound errs to the later date. Pure: no
 * file, socket or clock.
 */
#ifndef POLICY_PROMISE_H
#define POLICY_PROMISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "policy/policy.h"

/* Instead of an instant: it goes on. */
#define PROMISE_OPEN INT64_MAX

/* A policy that was served. Instants are seconds since 1970 UTC. */
struct promise {
    enum policy_mode mode;
    uint32_t max_age;
    struct span id;
    struct span mx;      /* the patterns in the order served, with one space between two */
    int64_t from, until; /* until PROMISE_OPEN while it is served */
    const char *domain;  /* borrowed; NULL where it is clear */
    bool is_seen;        /* another server's: a look has found it */
};

/* An id that looks at the DNS have found from the first to the last instant. */
struct sighting {
    struct span id; /* empty: there was no valid record */
    int64_t first, last;
    uint32_t ttl;       /* seconds; the longest that was seen */
    const char *domain; /* as above */
};

/* What is known of one domain; everything is borrowed. */
struct promise_facts {
    const struct promise *promises;
    size_t count;
    const struct sighting *sightings; /* in any order; none: nobody has looked */
    size_t sighting_count;
    uint32_t ttl;  /* of the record as configured; 0: not known */
    int64_t now;   /* to count from: the clock, or the newest stamp when that is later */
    int64_t clock; /* what is over by now alone may not be so: one of the two was wrong */
};

/* The later kinds outweigh the earlier ones. */
enum promise_kind {
    PROMISE_NONE,    /* nothing is held */
    PROMISE_DATED,   /* until the instant */
    PROMISE_UNKNOWN, /* not before the instant: nobody has seen when the id left the DNS */
    PROMISE_SERVED,  /* while it is served; the instant is right if it were replaced now */
    PROMISE_RENEWED, /* while its id is in the DNS; the instant, if the record were changed now */
};

struct promise_end {
    enum promise_kind kind;
    int64_t at;
    struct span id; /* of PROMISE_RENEWED: the one in the DNS */
};

/* Until when senders may hold the policy, which is one of the facts. */
struct promise_end promise_end(const struct promise *promise, const struct promise_facts *facts);

/* The same, and whether they may hold it still. */
bool promise_is_held(const struct promise *promise, const struct promise_facts *facts,
                     struct promise_end *ret_end);

/* Whether a sender accepts the host, or each host of the pattern. A wildcard stands for one label: many
 * senders count so (RFC 8461 section 4.1). */
bool promise_covers(const struct promise *promise, struct span host);

/* From when on no sender holds an enforced policy that refuses the host; with data NULL, any enforced
 * policy. PROMISE_NONE when that is so already. */
struct promise_end promise_free(const struct promise_facts *facts, struct span host);

/* Takes the next pattern off the list. False at its end. */
bool promise_take_mx(struct span *rest, struct span *ret_pattern);

/* Whether the promise and the policy have the same bytes, whatever their ids are. */
bool promise_has_bytes(const struct promise *promise, const struct policy *policy);

#endif
