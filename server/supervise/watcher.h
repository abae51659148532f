/*
 * The watcher: a child of the supervisor that looks at the files which the current generation was loaded from
 * (lookout.c) and at the challenges of ACME clients, which it alone shows to workers. It may only
 * read (sandbox/seal.h), and it tells the supervisor of what has changed by a message; the supervisor
 * never waits for it. One that dies is started again, after a pause that grows, and goes
 * on with what the one before it knew; challenges stay shown meanwhile. Runs in the supervisor, but for
 * the child.
 */
#ifndef SUPERVISE_WATCHER_H
#define SUPERVISE_WATCHER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "configuration/settings.h"
#include "files/watch.h"
#include "load/challenger.h"
#include "shared/challenges.h"
#include "shared/stats.h"
#include "supervise/child.h"

/* The lookout notices without a signal that files have changed, and waits until they have come to rest, so that a
 * renewal of many certificates is one reload and a half-written file is likely none. Certificates and
 * configuration are waited for apart, and neither for long: a file that never rests does not hold up the
 * others. It looks at names, sizes and dates only, never into a file; that works on every volume and for every
 * kind of replacement. Runs in the watcher; the supervisor keeps what it is to begin with. */

/* Times are milliseconds of the monotonic clock in every function here. */
struct lookout {
    struct watch_look handled;  /* what the last load has seen, or was refused for */
    struct watch_look seen;     /* what the last look has seen */
    int64_t since[WATCH_PARTS]; /* when the part was first seen changed; INT64_MAX: it is not */
    int64_t patience;           /* how long it is waited for at most */
    int64_t next;               /* when to look again */
    bool is_restless;           /* the last news were told though they had not come to rest */
};

/* Begins anew after a load, which has filled the watch. */
struct lookout lookout_begin(const struct watch *watch, int64_t now);

/* The same in place of one that was for the configuration before: what it waits for, and what the new
 * load has not read, is not waited for any longer than before. A load took load_ms, which are
 * spent for files that do not rest at most once in a while. */
void lookout_renew(struct lookout *lookout, const struct watch *watch, int64_t now,
                   int64_t load_ms);

/* The load came to nothing though the files were good: what they have changed is news again, after a
 * while, which is no shorter than the pause. */
void lookout_retry(struct lookout *lookout, const struct watch *watch, int64_t now, int64_t pause);

/* In rising order: a greater one includes the smaller. Of a part, it is the next number. */
enum lookout_news {
    LOOKOUT_NOTHING,
    LOOKOUT_CERTIFICATES = WATCH_CERTIFICATES + 1, /* only they have changed */
    LOOKOUT_FILES =
        WATCH_FILES + 1, /* configuration files have changed, and perhaps certificates */
};

/* Looks when it is time. After news the supervisor loads anew; it is told once. */
enum lookout_news lookout_look(struct lookout *lookout, const struct watch *watch, int64_t now);

/* Begin with WATCHER_NONE. Times are milliseconds of the monotonic clock. */
struct watcher {
    struct stats *stats;          /* borrowed; the child gives it up */
    const struct watch *watch;    /* borrowed; NULL: nothing is watched */
    struct challenger challenger; /* it owns its challenges, which are NULL until they are wanted */
    pid_t pid;                    /* 0: none runs */
    pid_t ending;                 /* the one before it, which was killed; 0: none, or it is gone */
    int control;           /* of the socket pair the end of the process that looks; -1: none runs */
    int64_t start_at;      /* INT64_MAX: nothing is to be started */
    int64_t silent_by;     /* when it is killed if it sends nothing; INT64_MAX: none runs */
    int64_t counted_since; /* what it has sent: too many messages are wrong */
    unsigned messages;
    int64_t beat;           /* when the child must have sent something */
    struct lookout lookout; /* what the next one begins with */
    enum lookout_news news; /* were heard; the supervisor takes them away */
    struct backoff backoff;
};

#define WATCHER_NONE   \
    ((struct watcher){ \
        .control = -1, .challenger.inotify = -1, .start_at = INT64_MAX, .silent_by = INT64_MAX})

/* To be called before workers are forked for a configuration: makes the memory for challenges if the
 * configuration wants them. False, logged, when it cannot be had. */
bool watcher_prepare(struct watcher *watcher, const struct acme *acme);

/* The generation that was loaded from these serves now: a new watcher takes the place of the one before.
 * Both are borrowed until the next call. The load took load_ms. */
void watcher_begin(struct watcher *watcher, const struct watch *watch, const struct acme *acme,
                   int64_t load_ms, int64_t now);

/* The load came to nothing though the files were good: what they have changed is news again, after a
 * while, which is no shorter than the pause. */
void watcher_retry(struct watcher *watcher, int64_t now, int64_t pause);

/* Reads what it has sent. To be called when the control descriptor can be read. */
void watcher_hear(struct watcher *watcher, int64_t now);

/* A child of the process has ended, with the status of waitpid(2). True when it was this one. */
bool watcher_end(struct watcher *watcher, pid_t pid, int status, int64_t now);

/* Starts what is due, and kills one that is silent. */
void watcher_expire(struct watcher *watcher, int64_t now);

/* Nothing is watched any more; what workers are shown stays. */
void watcher_stop(struct watcher *watcher);

/* The same, and frees the rest. The child is killed, and not waited for. */
void watcher_close(struct watcher *watcher);

#endif
