/*
 * The listeners of a worker. Every worker of every generation has the same
 * sockets, so this room only watches them, leaves off watching and closes its
 * own copies; it never shuts one down. Short of descriptors or memory it makes
 * room or looks away for a moment, and says so once a minute.
 */
#ifndef SERVE_ACCEPTOR_H
#define SERVE_ACCEPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "serve/pool.h"
#include "serve/shortage.h"
#include "site/endpoint.h"

/* A listening, non-blocking socket, and what is done with those who come in. */
struct entrance {
    int fd;
    const struct endpoint *endpoint; /* borrowed */
};

struct acceptor {
    int epoll;                        /* borrowed */
    const struct entrance *entrances; /* borrowed; event.data.ptr points at one of them */
    size_t count;
    struct pool *pool; /* borrowed; where newcomers go */
    int64_t resume;    /* when watching begins again; INT64_MAX when it is not put off */
    struct shortage shortage;
};

/* Times are milliseconds of the monotonic clock in every function here. */

/* A value that watches nothing yet. */
struct acceptor acceptor_of(int epoll, const struct entrance *entrances, size_t count,
                            struct pool *pool);

/* Begins to watch the listeners: one newcomer wakes one worker. False, with
 * errno, when the kernel refuses. */
bool acceptor_watch(struct acceptor *acceptor);

/* True when the pointer of an event stands for an entrance. */
bool acceptor_has(const struct acceptor *acceptor, const void *pointer);

/* Accepts a bounded number of those who wait at the entrance. */
void acceptor_accept(struct acceptor *acceptor, const struct entrance *entrance, int64_t now);

/* Watches again when the time has come for it. */
void acceptor_resume(struct acceptor *acceptor, int64_t now);

/* Leaves off for good. Whoever came in with the last event is still accepted:
 * that event was sent to no other worker. Closes this process's listeners. */
void acceptor_stop(struct acceptor *acceptor, int64_t now);

#endif
