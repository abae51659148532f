/*
 * The event loop of a worker: the control socket, the listeners and the connections, turn by turn.
 * In a turn it waits for events, then lets connections go on, accepts new ones, follows the
 * supervisor and ends what has reached its deadline. What ends in a turn is freed at the end of that
 * turn, because a later event of it may still name it. Every worker of every generation has the same
 * listeners, so it only watches them, stops watching and closes its own copies; it never shuts one
 * down. It changes nothing of the process itself. Runs in the worker.
 */
#ifndef SERVE_LOOP_H
#define SERVE_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "serve/connection.h"
#include "site/endpoint.h"

/* What a worker says and is told over its control socket, which keeps the bounds of messages: it writes
 * WORKER_SEALED with its report (sandbox/seal.h) once, then
 * WORKER_READY once, sealed and with the listeners in its loop; it is sent WORKER_DRAIN to finish
 * and exit 0. When the other end closes, the supervisor is gone and the worker exits at once. */
enum worker_message {
    WORKER_SEALED = 'S',
    WORKER_READY = 'R',
    WORKER_DRAIN = 'D',
};

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
