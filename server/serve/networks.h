/*
 * Which network each connection of a worker comes from, so that one network
 * cannot take the places or the time of the others. A network is an IPv4
 * address or an IPv6 /64, which is what one customer gets. The module owns the
 * entries, all of them from the start; a member is part of a connection. How much of the worker's time
 * each network has used lately is kept also after its last connection has gone, so that a client of a
 * network that used little goes on before those of networks that used much; it counts for the network and
 * for the two larger ones around it (/24 and /16, /48 and /32), because whoever floods may have many of the
 * small ones. That memory is fixed: a place may be shared by several networks, which then seem to have
 * used more, never less. Closes nothing, and has no clock. Runs in the worker.
 */
#ifndef SERVE_NETWORKS_H
#define SERVE_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "serve/queue.h"

/* How far a connection is. */
enum network_stage {
    NETWORK_HANDSHAKE, /* from accept on */
    NETWORK_BUSY,      /* request or response are not through */
    NETWORK_IDLE,      /* between two requests */
    NETWORK_LINGERING, /* everything was sent */
};
#define NETWORK_STAGES 4

struct networks;

/* Begin with {0}. */
struct network_member {
    struct network *network; /* borrowed; NULL when not entered */
    struct queue_link link;  /* in the stage */
    enum network_stage stage;
};

/* Read it, but only this module changes it. */
struct network {
    uint64_t key;
    struct network *next;   /* in its bucket of the hash table, or in the list of the free ones */
    struct queue_link rank; /* among the networks that hold as many */
    struct queue stages[NETWORK_STAGES]; /* its members, by when they came to the stage */
    uint32_t count;                      /* members of all stages */
    uint32_t round;                      /* in which it was charged last */
    int64_t used_us;                     /* of its slices from that round on */
};

/* Room for so many members, at least 1. Reads the kernel's randomness, so each
 * worker makes its own after the fork. Owned; NULL when memory or randomness is
 * short. */
struct networks *networks_new(size_t capacity);

/* No member may be left. */
void networks_free(struct networks *networks);

/* The network of an address as a number. An IPv4 address that is written as an
 * IPv6 one is IPv4; an address of another family is the network 0. */
uint64_t network_key(const struct sockaddr *address);

/* The network with members that has this key; NULL when there is none. Borrowed
 * until its last member leaves. */
struct network *networks_find(const struct networks *networks, uint64_t key);

/* The network that holds most; of several the one that holds so many for the
 * longest time. NULL when there are no members. Borrowed likewise. */
struct network *networks_largest(const struct networks *networks);

/* Takes a new member in, at NETWORK_HANDSHAKE. The member is borrowed until it
 * leaves; there are fewer than capacity. */
void networks_enter(struct networks *networks, struct network_member *member, uint64_t key);

/* Legal when it did not enter. */
void networks_leave(struct networks *networks, struct network_member *member);

/* Puts the member last in the stage, unless it is there already. */
void network_move(struct network_member *member, enum network_stage stage);

/* Time is shared out in rounds: in each a network has a slice, and what it used beyond it is taken
 * from its slices of later rounds, up to LIMIT_NETWORK_DEBT_US. */
void networks_begin_round(struct networks *networks);

/* True while the network has some of its slice left in this round. */
bool networks_has_time(const struct networks *networks, const struct network *network);

/* The network has used so many microseconds. now is in milliseconds of the monotonic clock, here and
 * below. */
void networks_charge(struct networks *networks, struct network *network, int64_t microseconds,
                     int64_t now);

#define USAGE_LEVELS 3

/* Microseconds of the largest network first. */
struct usage_rank {
    uint32_t used[USAGE_LEVELS];
};

/* What the network with the key and those around it have used; half of it is forgotten each
 * LIMIT_USAGE_HALF_MS. */
struct usage_rank networks_rank(const struct networks *networks, uint64_t key, int64_t now);

/* Less than, equal to or greater than 0: who has the smaller rank goes on first. */
int usage_compare(const struct usage_rank *one, const struct usage_rank *other);

#endif
