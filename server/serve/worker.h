/*
 * For worker and loop. A worker: one thread, one epoll loop, many connections. It is forked by the
 * supervisor with a sealed site and open listeners, gives up every privilege
 * (sandbox/seal.h) before it accepts the first client, and opens no file.
 * In a turn of its loop it waits for events, then lets connections go on, accepts new ones, follows the
 * supervisor and ends what has reached its deadline. It admits connections up to a capacity, and ends them
 * also when a newcomer needs the place. Places and time are shared out between the networks of the clients.
 * What ends in a turn is freed at the end of that turn, because a later event of it may still name it. Every worker of every generation has the same
 * listeners, so it only watches them, stops watching and closes its own copies; it never shuts one down.
 */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/log.h"
#include "sandbox/seal.h"
#include "serve/connection.h"
#include "shared/challenges.h"
#include "site/endpoint.h"
#include "site/site.h"

/* What a worker says and is told over its control socket, which keeps the bounds of messages: it writes
 * WORKER_SEALED with its report (sandbox/seal.h) once, then
 * WORKER_READY once, sealed and with the listeners in its loop; it is sent WORKER_DRAIN to finish
 * and exit 0. When the other end closes, the supervisor is gone and the worker exits at once. */
enum worker_message {
    WORKER_SEALED = 'S',
    WORKER_READY = 'R',
    WORKER_DRAIN = 'D',
};

/* What the control socket carries first. */
struct worker_sealed {
    char type; /* WORKER_SEALED */
    struct seal_report report;
};

struct worker_options {
    const struct site *site;          /* borrowed; sealed */
    struct stats *stats;              /* borrowed */
    const struct log_style *log;      /* borrowed */
    size_t slot;                      /* of the stats, for this worker */
    size_t memory;                    /* bytes that it may take; SIZE_MAX: nothing limits it */
    struct challenges *challenges;    /* borrowed; only read; or NULL */
    const struct entrance *entrances; /* borrowed; their descriptors are closed by a drain */
    size_t entrance_count;
    int control;      /* borrowed; non-blocking */
    pid_t supervisor; /* to notice when it died before we looked */
    /* Identity after the seal; keep_identity when the supervisor is not root. */
    bool keep_identity;
    uid_t uid;
    gid_t gid;
    int empty_root_fd;  /* taken; or -1 (sandbox/filesystem.h) */
    bool seal_required; /* end, once it was reported, when the kernel lacks a part of the seal */
};

/* Serves until told to drain. Changes the whole process: signals that a terminal
 * or a service manager sends to the group are ignored from now on (only the
 * supervisor decides) and none is blocked; the limit of descriptors is raised;
 * privileges are gone for good. The caller has closed every descriptor that
 * is not for this worker, the control sockets of other workers above all. Returns the
 * exit status of the process: 0 after a drain, 1 after an error (which it has
 * logged) and when the supervisor is gone. */
int worker_run(const struct worker_options *options);

/* Read it, but only this module changes it. */
struct loop {
    int control; /* borrowed; the event of the control socket points here */
    int epoll;   /* owned; -1 when it was not made */
    struct connection_setting setting;
    struct networks *networks; /* owned */
    struct connection *ended;  /* owned; those to be freed, one behind the other */
    size_t count;              /* of connections that have not ended */
    size_t capacity;
    size_t most_a_network;
    size_t most_handshakes_a_network;
    const struct entrance *entrances; /* borrowed; event.data.ptr points at one of them */
    size_t entrance_count;
    int accepts;    /* tried at a listener in this turn */
    int came;       /* the most that a listener had, the last time that one was ready */
    int64_t resume; /* when listeners are watched again; INT64_MAX when that is not put off */
    struct shortage accept_shortage;
    int64_t drain_deadline; /* INT64_MAX until told to drain */
    bool orphaned;          /* the supervisor is gone */
    size_t event_count;
    /* Owned. One for everything that may be ready, so that a client is not overlooked behind a flood of
     * others. */
    struct epoll_event *events;
    struct turn *turns; /* owned; as many as the capacity: the connections that are ready */
    char request[LIMIT_REQUEST_HEAD];
};

enum loop_state {
    LOOP_RUNS,
    LOOP_DRAINED,  /* told to drain, and through or out of time */
    LOOP_ORPHANED, /* the supervisor is gone */
    LOOP_FAILED,   /* the kernel refuses to wait; errno is set */
};

/* A loop that watches nothing but the control socket. What it needs of the options, and TLS, is borrowed
 * until loop_free; a drain closes the descriptors of the entrances. capacity is 1 to LIMIT_CONNECTIONS.
 * Owned; NULL with errno when the kernel, memory or randomness is short. */
struct loop *loop_new(const struct worker_options *options, struct tls_context *tls,
                      size_t capacity);

/* Closes every connection as it is. */
void loop_free(struct loop *loop);

/* Watches the listeners, then writes WORKER_READY. False, with errno, when the kernel refuses. */
bool loop_open(struct loop *loop);

/* One turn. Waits until there is something to do. */
enum loop_state loop_turn(struct loop *loop);

/* The parts of a turn. now is in milliseconds of the monotonic clock. */

/* Takes a non-blocking socket that was accepted at the endpoint and makes a connection of it. When the
 * client's network holds as many as it may, one of its own gives way; when the
 * loop is full, the least loss does (loop_evict). When memory is short, which
 * is told, the socket is closed. */
void loop_admit(struct loop *loop, int fd, const struct endpoint *endpoint,
                const struct sockaddr *client, int64_t now);

/* Closes the connection whose loss is the least: the one that has lingered
 * longest, else the one longest idle, else the oldest unfinished one. It is one
 * of the network that holds most, unless even that holds few. False when there
 * is none. */
bool loop_evict(struct loop *loop);

/* A round: epoll says that the sockets of these connections are ready; event.data.ptr points at each.
 * Those that were reset go first, at no cost. Of the others those go on first whose networks have
 * used the least time. Whoever has no turn because the share of its network or that of all is used
 * up is left as it is, and epoll will say so again. The events are borrowed. */
void loop_advance(struct loop *loop, const struct epoll_event *events, size_t count, int64_t now);

/* Ends what has reached its deadline. */
void loop_expire(struct loop *loop, int64_t now);

/* Told to drain: stops listening. From now on every response is the last of its connection, and
 * connections between two requests are sent close_notify. */
void loop_drain(struct loop *loop, int64_t now);

/* Every function that ends a connection closes its socket at once and frees its memory here: to be
 * called when no event and no list of the caller names a connection any more. */
void loop_free_ended(struct loop *loop);

#endif
