#include "supervise/watcher.h"

#include "base/clock.h"
#include "base/limits.h"

struct lookout lookout_begin(const struct watch *watch, int64_t now)
{
    struct watch_look read = watch->read;
    return (struct lookout){
        .handled = read,
        .seen = read,
        .certificates_since = INT64_MAX,
        .files_since = INT64_MAX,
        .patience = LIMIT_WATCH_UNREST_MS,
        .next = now + LIMIT_WATCH_MS,
    };
}

void lookout_renew(struct lookout *lookout, const struct watch *watch, int64_t now, int64_t load_ms)
{
    struct lookout before = *lookout;
    *lookout = lookout_begin(watch, now);
    if (lookout->handled.files == before.handled.files)
        lookout->files_since = before.files_since;
    if (lookout->handled.certificates == before.handled.certificates)
        lookout->certificates_since = before.certificates_since;
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

/* Of the certificates or of the files alone. */
static enum movement follow(uint64_t look, uint64_t handled, uint64_t seen, int64_t *since,
                            int64_t patience, int64_t now)
{
    if (look == handled) {
        *since = INT64_MAX;
        return UNCHANGED;
    }
    if (*since == INT64_MAX)
        *since = now;
    if (look == seen)
        return AT_REST;
    return now - *since >= patience ? RESTLESS : CHANGING;
}

static enum lookout_news judge(struct lookout *lookout, struct watch_look look,
                               enum movement certificates, enum movement files)
{
    if (files >= AT_REST) {
        lookout->handled.files = look.files;
        lookout->files_since = INT64_MAX;
    }
    if (certificates >= AT_REST) {
        lookout->handled.certificates = look.certificates;
        lookout->certificates_since = INT64_MAX;
    }
    lookout->is_restless = files == RESTLESS || (files < AT_REST && certificates == RESTLESS);
    if (files >= AT_REST)
        return LOOKOUT_FILES;
    return certificates >= AT_REST ? LOOKOUT_CERTIFICATES : LOOKOUT_NOTHING;
}

enum lookout_news lookout_look(struct lookout *lookout, const struct watch *watch, int64_t now)
{
    if (now < lookout->next)
        return LOOKOUT_NOTHING;
    int64_t begin = clock_monotonic_ms();
    struct watch_look look = watch_now(watch);
    int64_t cost = clock_monotonic_ms() - begin;
    enum movement certificates =
        follow(look.certificates, lookout->handled.certificates, lookout->seen.certificates,
               &lookout->certificates_since, lookout->patience, now);
    enum movement files = follow(look.files, lookout->handled.files, lookout->seen.files,
                                 &lookout->files_since, lookout->patience, now);
    /* The look that waits for rest is seldom and may cost more; but a file may never rest. */
    bool hasty = certificates == CHANGING || files == CHANGING;
    int64_t least = hasty ? LIMIT_WATCH_REST_MS : LIMIT_WATCH_MS;
    int64_t fair = cost * (hasty ? LIMIT_WATCH_REST_SHARE : LIMIT_WATCH_SHARE);
    lookout->next = now + (fair > least ? fair : least);
    lookout->seen = look;
    return judge(lookout, look, certificates, files);
}
