#include "supervise/lookout.h"

#include "base/clock.h"
#include "base/limits.h"

struct lookout lookout_begin(const struct configuration *configuration, int64_t now)
{
    struct watch_look read = watch_read(configuration);
    return (struct lookout){.handled = read, .seen = read, .next = now + LIMIT_WATCH_MS};
}

bool lookout_look(struct lookout *lookout, const struct configuration *configuration, int64_t now)
{
    if (now < lookout->next)
        return false;
    struct watch_look look = watch_now(configuration);
    int64_t end = clock_monotonic_ms();
    bool changed = !watch_look_equal(look, lookout->handled);
    bool at_rest = watch_look_equal(look, lookout->seen);
    int64_t pause = changed && !at_rest ? LIMIT_WATCH_REST_MS : LIMIT_WATCH_MS;
    int64_t fair = (end - now) * LIMIT_WATCH_SHARE;
    lookout->next = end + (fair > pause ? fair : pause);
    lookout->seen = look;
    if (!changed || !at_rest)
        return false;
    lookout->handled = look;
    return true;
}
