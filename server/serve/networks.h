/*
 * Which network each connection of a worker comes from, so that one network
 * cannot take the places or the time of the others. A network is an IPv4
 * address or an IPv6 /64, which is what one customer gets. The module owns the
 * entries, all of them from the start; a member is part of a connection. It
 * closes nothing, and has no clock. Runs in the worker.
 */
#ifndef SERVE_NETWORKS_H
#define SERVE_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* How far a connection is. */
enum network_stage {
    NETWORK_HANDSHAKE, /* from accept on */
    NETWORK_BUSY,      /* request or response are not through */
    NETWORK_IDLE,      /* between two requests */
    NETWORK_LINGERING, /* everything was sent */
};
#define NETWORK_STAGES 4

struct networks;
struct network;

/* Begin with {0}. */
struct network_member {
    struct network *network;        /* borrowed; NULL when not entered */
    struct network_member *earlier; /* borrowed; neighbours in the stage */
    struct network_member *later;
    void *owner; /* borrowed; for whoever asks for the oldest one */
    enum network_stage stage;
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

size_t network_count(const struct network *network);
size_t network_count_in(const struct network *network, enum network_stage stage);

/* The member that came to this stage first; NULL when there is none. Borrowed. */
struct network_member *network_oldest(const struct network *network, enum network_stage stage);

/* Time is shared out in rounds: in each a network has a slice, and what it used beyond it is taken
 * from its slices of later rounds, up to LIMIT_NETWORK_DEBT_US. */
void networks_begin_round(struct networks *networks);

/* True while the network has some of its slice left in this round. */
bool networks_has_time(const struct networks *networks, const struct network *network);

/* The network has used so many microseconds. */
void networks_charge(const struct networks *networks, struct network *network,
                     int64_t microseconds);

uint64_t network_key_of(const struct network *network);

#endif
