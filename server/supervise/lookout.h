/*
 * The lookout: notices without a signal that files have changed, and waits
 * until they have come to rest, so that a renewal of many certificates is one
 * reload and a half-written file is likely none. Certificates and configuration are
 * waited for apart, and neither for long: a file that never rests does not hold up the
 * others. It looks at names, sizes and dates only, never into a file; that works on
 * every volume and for every kind of replacement. Runs in the watcher; the
 * supervisor keeps what it is to begin with.
 */
#ifndef SUPERVISE_LOOKOUT_H
#define SUPERVISE_LOOKOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "files/watch.h"

/* Times are milliseconds of the monotonic clock in every function here. */
struct lookout {
    struct watch_look handled;  /* what the last load has seen, or was refused for */
    struct watch_look seen;     /* what the last look has seen */
    int64_t certificates_since; /* when they were first seen changed; INT64_MAX: they are not */
    int64_t files_since;
    int64_t patience; /* how long they are waited for at most */
    int64_t next;     /* when to look again */
    bool is_restless; /* the last news were told though they had not come to rest */
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

/* In rising order: a greater one includes the smaller. */
enum lookout_news {
    LOOKOUT_NOTHING,
    LOOKOUT_CERTIFICATES, /* only they have changed */
    LOOKOUT_FILES,        /* configuration files have changed, and perhaps certificates */
};

/* Looks when it is time. After news the supervisor loads anew; it is told once. */
enum lookout_news lookout_look(struct lookout *lookout, const struct watch *watch, int64_t now);

#endif
