/*
 * The supervisor's inside: what it has, and what its parts do. The loop (supervisor.c) waits for signals, deadlines
 * and the children that end. What becomes of a load (reload.c) goes from the fork of a loader, whose work is in
 * load.c, until the generation that came of it serves and is told of, or the load is refused. The listening
 * sockets are in listeners.c, the workers of a load in generation.c, and what the service manager is told in
 * notify.c. It reads no byte of a client. Nobody outside includes this.
 */
#ifndef SUPERVISE_SUPERVISOR_INSIDE_H
#define SUPERVISE_SUPERVISOR_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "sandbox/seal.h"
#include "shared/challenges.h"
#include "shared/stats.h"
#include "site/endpoint.h"
#include "supervise/child.h"
#include "supervise/loader.h"
#include "supervise/status.h"
#include "supervise/supervisor.h"
#include "supervise/watcher.h"

/*
 * The listening sockets outlive every generation of workers, and are never closed by a reload that still wants
 * them, so that no connection is refused meanwhile.
 *
 * Which endpoint of the configuration a socket belongs to is decided by one rule, for policies, metrics
 * and challenges alike, at the start as at each reload, whether the server has opened the socket or the
 * service manager has passed it on: the endpoint "systemd:NAME" has the sockets of that name; an
 * address has the socket that is bound to it ("[::]" that of "0.0.0.0" too); the rest of those that
 * were passed on belongs to "systemd", or to "listen" when it is left out. An endpoint without a socket
 * opens one. A socket that was passed on and belongs to none is refused, because its clients would wait
 * for ever.
 */
struct listener {
    struct address wanted; /* as configured */
    struct address bound;  /* as the kernel says: differs for port 0 */
    bool v6_only;          /* of IPv6: it takes no IPv4 (IPV6_V6ONLY) */
    int fd;
    char *name; /* owned; of one that was passed on, as LISTEN_FDNAMES calls it, or ""; else NULL */
};

/* Begin with {0}; end with listeners_close. */
struct listeners {
    struct listener *items; /* owned, and so are the descriptors; those that were passed on first */
    size_t count;
};

/* To be called once, before others: takes over the sockets that a service manager has opened for us and
 * passed on (sd_listen_fds(3)), as LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say, which it removes from the
 * environment. They stay open until the end, because a reload may stop using one and a later one begin again.
 * What is no listening stream socket is logged, and none of them: who keeps the others closes it. False,
 * logged, when memory is short. */
bool listeners_inherit(struct listeners *listeners);

/* Opens those of the endpoints that are not open yet. On an error (all are logged, with what to do
 * about it) the set is as it was and the result is false. */
bool listeners_open(struct listeners *listeners, const struct endpoint *endpoints, size_t count);

/* Closes those that belong to none of the endpoints. */
void listeners_retain(struct listeners *listeners, const struct endpoint *endpoints, size_t count);

void listeners_close(struct listeners *listeners);

/* What a worker needs of the endpoints, all of which are open; returns how many.
 * They borrow the endpoints. */
size_t listeners_entrances(const struct listeners *listeners, const struct endpoint *endpoints,
                           size_t count, struct entrance ret_entrances[static LIMIT_LISTENERS]);

/* Appends where those of the endpoints with the service really listen: "127.0.0.1:443, [::1]:443",
 * with the word in front if there are any. */
void listeners_print(const struct listeners *listeners, const struct endpoint *endpoints,
                     size_t count, enum endpoint_service service, const char *word,
                     struct text *out);

struct generation_worker {
    pid_t pid;   /* 0 when it is not running */
    int control; /* our end of the socket pair; -1 when it is not running */
    bool ready;
    int64_t ready_by; /* monotonic milliseconds; then it is killed, and this is INT64_MAX */
};

/* A generation: the workers that were forked for one load, and what that has come to: the settings, and the
 * site, which only the workers map. The supervisor starts it, waits until it is ready, and lets it drain. */
struct generation {
    unsigned number;                   /* counts from 1 */
    struct loaded loaded;              /* owned; it has no site once it is retired */
    struct stats *stats;               /* borrowed */
    struct generation_worker *workers; /* owned */
    size_t worker_count;
    size_t memory;    /* bytes that each worker may take; SIZE_MAX: nothing limits it */
    int64_t deadline; /* monotonic milliseconds by which it must be ready, or gone; or INT64_MAX */
};

struct supervisor;

/* The generation behind the current one, without running workers; owned. It takes what was loaded, of which the
 * caller has nothing afterwards, unless it fails with NULL and errno. */
struct generation *generation_new(const struct supervisor *supervisor, struct loaded *loaded);

/* Kills what still runs, and frees the rest. NULL is legal. */
void generation_free(struct generation *generation);

/* Forks each worker that is not running, which closes what is not its own. False
 * when one could not be started; that was logged, and it can be tried again. */
bool generation_start(struct generation *generation, const struct supervisor *supervisor);

/* Reads what worker index says. True when that was how its seal went, which is then in ret_report. */
bool generation_hear(struct generation *generation, size_t index, struct seal_report *ret_report);

/* A child of the process has ended, with the status of waitpid(2). True when it was a worker of this generation:
 * another one can be started in its place. NULL has none. */
bool generation_end_worker(struct generation *generation, pid_t pid, int status);

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

/* Sets the gauges of the memory that the processes take, which is read from /proc because a sealed worker cannot. */
void generation_set_memory_gauges(const struct supervisor *supervisor);

/* What is told to the service manager (sd_notify(3)): silent when nobody asked for it by NOTIFY_SOCKET. It owns one
 * datagram socket, opened at the start, and never waits. */
struct notifier {
    int fd;              /* connected; -1: nobody listens */
    int64_t interval_ms; /* between two signs of life; 0: none is asked for */
    int64_t next;        /* when the next is due; INT64_MAX when none is */
    int64_t extended;    /* when it was asked for more time last, or something long began */
};

enum notification {
    NOTIFY_READY,     /* serves, or serves on after a reload that was refused */
    NOTIFY_RELOADING, /* READY follows */
    NOTIFY_STOPPING,
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the
 * environment. now is in milliseconds of the monotonic clock, here and below. */
struct notifier notifier_open(int64_t now);

/* Tells the state, and in one line for people what it means; NULL leaves the line out. */
void notifier_tell(const struct notifier *notifier, enum notification what, const char *status);

/* Something long goes on, a load: the manager is asked for more time, now and then. */
void notifier_extend(struct notifier *notifier, int64_t now);

/* Gives a sign of life when one is due. */
void notifier_live(struct notifier *notifier, int64_t now);

struct supervisor {
    const struct supervisor_options *options; /* borrowed */
    int signals;                              /* a signalfd */
    int empty_root_fd;                        /* owned; or -1 (sandbox/filesystem.h) */
    struct stats *stats;                      /* owned */
    int64_t gauges_at;                        /* when its figures are due */
    struct listeners listeners;
    struct notifier notifier;
    struct watcher watcher; /* for the current generation */
    struct saver saver;
    struct generation *current;  /* owned; serves; NULL until the first one is ready */
    struct generation *next;     /* owned; starts, or waits until its promises are saved; or NULL */
    struct generation *retiring; /* owned; drains; or NULL */
    struct loader loader;
    struct steady_clock clock;
    int64_t load_begun;
    bool state_hangs; /* the load under way does without the state folder, whose disk hangs */
    int64_t load_ms;  /* how long the last load took */
    int64_t stale_at; /* when what was judged of certificates is to be judged anew */
    enum load_extent reload_wanted;
    bool is_ready_due; /* the current generation serves, and that was not said yet */
    struct status status;
    unsigned loads;
    unsigned load_deaths;      /* of loaders, since a load has come to anything */
    enum load_extent loading;  /* what the load is of that is under way */
    struct status_load coming; /* what is known of it */
    struct status_load last;   /* of the configuration files, and finished */
    bool is_seal_told;         /* what this machine lacks for it */
    bool stopping;
    bool failed;
    int64_t retry_at; /* when to fork what could not be forked or was to wait; or INT64_MAX */
    struct backoff backoff;
};

/* Forks those workers of the generation that do not run, now or a little later. */
void supervisor_start_workers(struct supervisor *supervisor, struct generation *generation);

/* Begins a load. When it does not come to a generation, that is reported, and the server goes on as before
 * or, at the start, fails. */
void reload_begin(struct supervisor *supervisor, enum load_extent extent);

/* A loader_job; the context is the supervisor. It returns only when it has failed, which was logged. */
void load_run(void *context, struct loader *loader);

/* Reads what the loader says. */
void reload_hear(struct supervisor *supervisor);

/* Ends a loader that is silent for too long. */
void reload_expire(struct supervisor *supervisor, int64_t now);

/* A child of the process has ended, with the status of waitpid(2). True when it was the loader or the
 * saver. */
bool reload_end_child(struct supervisor *supervisor, pid_t pid, int status);

/* Takes what is due of: the next generation starts, serves, is told of, and those before it are freed. */
void reload_advance(struct supervisor *supervisor);

/* The next generation will not serve: its processes are killed and reaped without further action. why is a clause,
 * or NULL. */
void reload_cancel_next(struct supervisor *supervisor, const char *why);

/* The same, because its workers did not start; it is tried again. */
void reload_give_up_next(struct supervisor *supervisor);

#endif
