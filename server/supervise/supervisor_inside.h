/*
 * The supervisor as its two halves see it, and the loader, which is forked from it. One half is the loop
 * (supervisor.c): signals, deadlines and the children that end. The other is what becomes of a load (reload.c):
 * from the fork of a loader until the generation that came of it serves and is told of, or the load is refused.
 * What the loader does is in load.c. Private to them.
 */
#ifndef SUPERVISE_SUPERVISOR_INSIDE_H
#define SUPERVISE_SUPERVISOR_INSIDE_H

#include "base/clock.h"
#include "supervise/generation.h"
#include "supervise/notify.h"
#include "supervise/status.h"
#include "supervise/supervisor.h"
#include "supervise/watcher.h"

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
