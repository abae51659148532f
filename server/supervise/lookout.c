#include "supervise/watcher.h"

#include "base/clock.h"
#include "base/limits.h"

struct lookout lookout_begin(const struct watch *watch, int64_t now)
{
    struct watch_look read = watch->read;
    return (struct lookout){
        .handled = read,
        .seen = read,
        .since = {INT64_MAX, INT64_MAX},
        .patience = LIMIT_WATCH_UNREST_MS,
        .next = now + LIMIT_WATCH_MS,
    };
}

void lookout_renew(struct lookout *lookout, const struct watch *watch, int64_t now, int64_t load_ms)
{
    struct lookout before = *lookout;
    *lookout = lookout_begin(watch, now);
    for (size_t part = 0; part < WATCH_PARTS; part++)
        if (lookout->handled.parts[part] == before.handled.parts[part])
            lookout->since[part] = before.since[part];
    if (load_ms * LIMIT_WATCH_REST_SHARE > lookout->patience)
        lookout->patience = load_ms * LIMIT_WATCH_REST_SHARE;
}

void lookout_retry(struct lookout *lookout, const struct watch *watch, int64_t now, int64_t pause)
{
    int64_t patience = lookout->patience;
    *lookout = lookout_begin(watch, now);
    lookout->patience = patience;
    lookout->next = now + (pause > patience ? pause : patience);
}

enum movement {
    UNCHANGED,
    CHANGING,
    AT_REST,
    RESTLESS, /* and was waited for long enough */
};

static enum movement follow(const struct lookout *lookout, size_t part, uint64_t look, int64_t now)
{
    if (look == lookout->handled.parts[part])
        return UNCHANGED;
    if (look == lookout->seen.parts[part])
        return AT_REST;
    return now - lookout->since[part] >= lookout->patience ? RESTLESS : CHANGING;
}

enum lookout_news lookout_look(struct lookout *lookout, const struct watch *watch, int64_t now)
{
    enum lookout_news news = LOOKOUT_NOTHING;
    bool hasty = false;
    if (now < lookout->next)
        return LOOKOUT_NOTHING;
    int64_t begin = clock_monotonic_ms();
    struct watch_look look = watch_now(watch);
    int64_t cost = clock_monotonic_ms() - begin;
    lookout->is_restless = false;
    for (size_t part = 0; part < WATCH_PARTS; part++) {
        enum movement movement = follow(lookout, part, look.parts[part], now);
        hasty = hasty || movement == CHANGING;
        if (movement == CHANGING && lookout->since[part] == INT64_MAX)
            lookout->since[part] = now;
        else if (movement != CHANGING)
            lookout->since[part] = INT64_MAX;
        if (movement < AT_REST)
            continue;
        lookout->handled.parts[part] = look.parts[part];
        lookout->is_restless = movement == RESTLESS;
        news = (enum lookout_news)(part + 1);
    }
    /* The look that waits for rest is seldom and may cost more; but a file may never rest. */
    int64_t least = hasty ? LIMIT_WATCH_REST_MS : LIMIT_WATCH_MS;
    int64_t fair = cost * (hasty ? LIMIT_WATCH_REST_SHARE : LIMIT_WATCH_SHARE);
    lookout->next = now + (fair > least ? fair : least);
    lookout->seen = look;
    return news;
}
