#include "supervise/lookout.h"

#include "base/clock.h"
#include "base/limits.h"

struct lookout lookout_begin(const struct configuration *configuration, int64_t now)
{
    struct watch_look read = watch_read(configuration);
    return (struct lookout){
        .handled = read,
        .seen = read,
        .next = now + LIMIT_WATCH_MS,
        .stale = now + LIMIT_WATCH_DAY_MS,
    };
}

enum lookout_news lookout_look(struct lookout *lookout, const struct configuration *configuration,
                               int64_t now)
{
    if (now < lookout->next)
        return LOOKOUT_NOTHING;
    int64_t begin = clock_monotonic_ms();
    struct watch_look look = watch_now(configuration);
    int64_t cost = clock_monotonic_ms() - begin;
    bool changed = !watch_look_equal(look, lookout->handled);
    bool at_rest = watch_look_equal(look, lookout->seen);
    /* The look that waits for rest is seldom and may cost more; but a file may never rest. */
    bool hasty = changed && !at_rest;
    int64_t least = hasty ? LIMIT_WATCH_REST_MS : LIMIT_WATCH_MS;
    int64_t fair = cost * (hasty ? LIMIT_WATCH_REST_SHARE : LIMIT_WATCH_SHARE);
    lookout->next = now + (fair > least ? fair : least);
    lookout->seen = look;
    if (changed && at_rest) {
        bool files = look.files != lookout->handled.files;
        lookout->handled = look;
        return files ? LOOKOUT_FILES : LOOKOUT_CERTIFICATES;
    }
    if (now < lookout->stale)
        return LOOKOUT_NOTHING;
    lookout->stale = now + LIMIT_WATCH_DAY_MS;
    return LOOKOUT_STALE;
}
