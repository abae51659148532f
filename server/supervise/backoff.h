/*
 * How fast workers that die are replaced: at once as long as few die, then after a pause that grows, so
 * that whatever kills them, a shortage of memory say, is not fed with new ones; and when there is no
 * hope any more. It knows numbers and times only. Pure; for the supervisor.
 */
#ifndef SUPERVISE_BACKOFF_H
#define SUPERVISE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/* Begin with {0}. Times are milliseconds of the monotonic clock. */
struct backoff {
    unsigned deaths; /* that were never as far apart as LIMIT_CRASHES_MS */
    int64_t last;    /* when the last one was */
    int64_t worked;  /* when a worker was ready last */
};

/* A worker has died. Returns the pause before the next is forked. others: at least one is ready still. */
int64_t backoff_pause(struct backoff *backoff, bool others, int64_t now);

/* To be called whenever something has happened; works: at least one worker is ready. True when no worker
 * was ready for so long, and so many have died, that another process must see it. */
bool backoff_is_hopeless(struct backoff *backoff, bool works, int64_t now);

#endif
