/*
 * For worker and loop. A worker: one thread, one epoll loop, many connections. It is forked by the
 * supervisor with a sealed site and open listeners, gives up every privilege
 * (sandbox/seal.h) before it accepts the first client, and opens no file.
 * In a turn of its loop it waits for events, then lets connections go on, accepts new ones, follows the
 * supervisor and ends what has reached its deadline. What ends in a turn is freed at the end of that
 * turn, because a later event of it may still name it. Every worker of every generation has the same
 * listeners, so it only watches them, stops watching and closes its own copies; it never shuts one down.
 */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
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

struct loop;

enum loop_state {
    LOOP_RUNS,
    LOOP_DRAINED,  /* told to drain, and through or out of time */
    LOOP_ORPHANED, /* the supervisor is gone */
    LOOP_FAILED,   /* the kernel refuses to wait; errno is set */
};

/* A loop that watches nothing but the control socket. Everything is borrowed until loop_free; a
 * drain closes the descriptors of the entrances. capacity is that of the pool. Owned; NULL with
 * errno when the kernel, memory or randomness is short. */
struct loop *loop_new(int control, const struct entrance *entrances, size_t count,
                      const struct connection_setting *setting, size_t capacity);

/* Closes every connection as it is. */
void loop_free(struct loop *loop);

/* Watches the listeners, then writes WORKER_READY. False, with errno, when the kernel refuses. */
bool loop_open(struct loop *loop);

/* One turn. Waits until there is something to do. */
enum loop_state loop_turn(struct loop *loop);

#endif
