/*
 * A generation: the workers that were forked for one load, and what that has
 * come to: the settings, and the site, which only the workers map. The supervisor starts it, waits until it
 * is ready, and lets it drain. It reads no byte of a client.
 */
#ifndef SUPERVISE_GENERATION_H
#define SUPERVISE_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/seal.h"
#include "shared/challenges.h"
#include "shared/stats.h"
#include "supervise/listeners.h"
#include "supervise/loader.h"

struct generation_worker {
    pid_t pid;   /* 0 when it is not running */
    int control; /* our end of the socket pair; -1 when it is not running */
    bool ready;
    int64_t ready_by; /* monotonic milliseconds; then it is killed, and this is INT64_MAX */
};

struct generation {
    unsigned number;                   /* counts from 1 */
    struct loaded loaded;              /* owned; it has no site once it is retired */
    struct stats *stats;               /* borrowed */
    struct challenges *challenges;     /* borrowed; NULL when there never are any */
    int empty_root_fd;                 /* borrowed; or -1 (sandbox/filesystem.h) */
    struct generation_worker *workers; /* owned */
    size_t worker_count;
    size_t memory;    /* bytes that each worker may take; SIZE_MAX: nothing limits it */
    int64_t deadline; /* monotonic milliseconds by which it must be ready, or gone; or INT64_MAX */
};

/* A generation without running workers; owned. It takes what was loaded, of which the caller has nothing
 * afterwards, unless it fails with NULL and errno. The rest is borrowed. */
struct generation *generation_new(unsigned number, struct loaded *loaded, int empty_root_fd,
                                  struct stats *stats, struct challenges *challenges);

/* Kills what still runs, and frees the rest. NULL is legal. */
void generation_free(struct generation *generation);

/* Forks each worker that is not running, which closes what is not its own. False
 * when one could not be started; that was logged, and it can be tried again. */
bool generation_start(struct generation *generation, const struct listeners *listeners);

/* Reads what worker index says. True when that was how its seal went, which is then in ret_report. */
bool generation_hear(struct generation *generation, size_t index, struct seal_report *ret_report);

/* The index of the worker with the pid, or worker_count. */
size_t generation_find(const struct generation *generation, pid_t pid);

/* The worker has ended: another one can be started in its place. */
void generation_forget_worker(struct generation *generation, size_t index);

/* How many of its workers run, and of these are ready to serve. NULL has none. */
struct generation_count {
    size_t running, ready;
};
struct generation_count generation_count(const struct generation *generation);

/* Kills each worker that is not ready in time, which is logged, or that is not gone in time. NULL is legal. now is
 * in milliseconds of the monotonic clock. */
void generation_expire(struct generation *generation, int64_t now);

/* When that is next due, or its own deadline; INT64_MAX: nobody is waited for. NULL is legal. */
int64_t generation_next_deadline(const struct generation *generation);

/* Tells every worker to finish what it began and exit, and sets the deadline, a while after now. None is
 * replaced any more: it lets go of the site. */
void generation_drain(struct generation *generation, int64_t now);

/* Sets the gauges of the memory that the processes take, which is read from /proc because a sealed worker cannot.
 * retiring may be NULL. */
void generation_set_memory_gauges(const struct generation *current,
                                  const struct generation *retiring);

/* Has the configuration a listener for metrics? */
bool generation_has_metrics(const struct generation *generation);

#endif
