/*
 * The board: memory that the supervisor shares with every worker that it forks,
 * so that what was counted survives reloads and crashes. Each worker writes in a
 * slot of its own; the supervisor writes its figures; everybody may read all that
 * was there when it was forked. A worker can write in no other slot, whatever it
 * calls; what one that was taken over has written in its own is for display alone.
 * The shared part holds no pointer. Runs in the supervisor and in workers.
 */
#ifndef SHARED_STATS_H
#define SHARED_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/fetch_records.h"

/* What a worker counts. They only grow. */
enum board_counter {
    BOARD_HANDSHAKE_TLS12,
    BOARD_HANDSHAKE_TLS13,
    BOARD_HANDSHAKE_NO_NAME,      /* a client without SNI */
    BOARD_HANDSHAKE_UNKNOWN_NAME, /* a host that has no certificate here */
    BOARD_HANDSHAKE_VERSION,      /* TLS 1.1 or older */
    BOARD_HANDSHAKE_IN_COMMON,    /* no cipher, group, signature or application protocol */
    BOARD_HANDSHAKE_REFUSED,      /* the client sent an alert */
    BOARD_HANDSHAKE_CLOSED,       /* it went away */
    BOARD_HANDSHAKE_TIMEOUT,
    BOARD_HANDSHAKE_MEMORY,
    BOARD_HANDSHAKE_PROTOCOL, /* what it sent is not TLS, or breaks its rules */
    BOARD_FETCH_200,
    BOARD_FETCH_400,
    BOARD_FETCH_404,
    BOARD_FETCH_405,
    BOARD_FETCH_421,
    BOARD_FETCH_431,
    BOARD_FETCH_503,
    BOARD_FETCH_505,
    BOARD_EVICTED, /* a connection gave way because the worker was full */
    BOARD_LIMITED, /* because its network had its share */
};
#define BOARD_COUNTERS (BOARD_LIMITED + 1)

/* What the supervisor knows. */
enum board_figure {
    BOARD_RELOADS_DONE,
    BOARD_RELOADS_REFUSED,
    BOARD_LAST_RELOAD, /* when the configuration that is served was loaded; seconds since 1970 UTC */
    BOARD_WORKERS_REPLACED,
    BOARD_DOMAINS_SERVED,
    BOARD_DOMAINS_STALE,
    BOARD_DOMAINS_REFUSED,
    BOARD_DOMAINS_NO_CERTIFICATE,
    BOARD_TESTED_LONG,       /* domains in testing for more than a month */
    BOARD_HELD_AGAINST,      /* domains of which senders hold what disagrees with what is served */
    BOARD_BLOCKED,           /* 1: no certificate is served, and some may not be read; else 0 */
    BOARD_NOT_AFTER,         /* the earliest end of a certificate in use; 0: there is none */
    BOARD_WARNING,           /* from when on the first of them is warned of; the same */
    BOARD_MEMORY_SUPERVISOR, /* resident bytes; 0: not known */
    BOARD_MEMORY_WORKERS,
};
#define BOARD_FIGURES (BOARD_MEMORY_WORKERS + 1)

struct board;

/* Owned; NULL when memory is short. Make it before the first fork. */
struct board *board_new(void);
void board_free(struct board *board);

/* Supervisor: a slot that no other worker has, for one that will be forked; a new one when all are
 * taken, which later workers see. False with errno. There are never more than for two generations. */
bool board_take(struct board *board, size_t *ret_slot);

/* Supervisor: the worker with that slot has ended, and the next one with it goes on; then that no
 * worker needs the slot any more. What was counted stays. */
void board_end_worker(struct board *board, size_t slot);
void board_leave(struct board *board, size_t slot);

/* Supervisor. */
void board_set(struct board *board, enum board_figure figure, int64_t value);
void board_add(struct board *board, enum board_figure figure);

/* Worker, once and before it counts: its slot. It gives up to write anything else. False with errno. */
bool board_sit(struct board *board, size_t slot);

/* Worker: in its slot. Without a board, NULL, nothing is counted. */
void board_count(struct board *board, enum board_counter counter);
void board_note(struct board *board, const struct visit *visit);
void board_hold(struct board *board, size_t connections); /* so many it has now */

/* Of all workers that ever were, but for the connections, which are those of now. */
uint64_t board_sum(const struct board *board, enum board_counter counter);
uint64_t board_connections(const struct board *board);
/* The visits that the worker with that slot has noted; NULL when no later one has any. Borrowed. */
const struct visits *board_visits(const struct board *board, size_t slot);
int64_t board_figure(const struct board *board, enum board_figure figure);

#endif
