/*
 * How much of the worker's time each network has used lately, also after its last connection has
 * gone, so that a client of a network that used little goes on before those of networks that used
 * much. It counts for the network (IPv4 /32, IPv6 /64) and for the two larger ones around it (/24 and
 * /16, /48 and /32), because whoever floods may have many of the small ones. The memory is
 * fixed: a place may be shared by several networks, which then seem to have used more, never less.
 * It has no clock. Runs in the worker.
 */
#ifndef SERVE_USAGE_H
#define SERVE_USAGE_H

#include <stdint.h>

#define USAGE_LEVELS 3

struct usage;

/* Microseconds of the largest network first. */
struct usage_rank {
    uint32_t used[USAGE_LEVELS];
};

/* Nothing is used. Reads the kernel's randomness, so each worker makes its own after the fork.
 * Owned; NULL when memory or randomness is short. */
struct usage *usage_new(void);
void usage_free(struct usage *usage);

/* The network with this key (serve/networks.h) has used so many microseconds. now is in
 * milliseconds of the monotonic clock, here and below. */
void usage_add(struct usage *usage, uint64_t key, int64_t microseconds, int64_t now);

/* What it has used; half of it is forgotten each LIMIT_USAGE_HALF_MS. */
struct usage_rank usage_of(const struct usage *usage, uint64_t key, int64_t now);

/* Less than, equal to or greater than 0: who has the smaller rank goes on first. */
int usage_compare(const struct usage_rank *one, const struct usage_rank *other);

#endif
