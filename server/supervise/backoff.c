#include "supervise/backoff.h"

#include "base/limits.h"

int64_t backoff_pause(struct backoff *backoff, bool others, int64_t now)
{
    int64_t most = others ? LIMIT_PAUSE_MOST_MS : LIMIT_PAUSE_ALONE_MS;
    if (now - backoff->last >= LIMIT_CRASHES_MS)
        backoff->deaths = 0;
    backoff->last = now;
    if (backoff->deaths < LIMIT_CRASHES)
        backoff->deaths++;
    else
        return most;
    if (backoff->deaths <= LIMIT_CRASHES_FEW)
        return 0;
    int64_t pause = (int64_t)LIMIT_PAUSE_MS << (backoff->deaths - LIMIT_CRASHES_FEW - 1);
    return pause < most ? pause : most;
}

bool backoff_is_hopeless(struct backoff *backoff, bool works, int64_t now)
{
    if (works)
        backoff->worked = now;
    return backoff->deaths >= LIMIT_CRASHES && now - backoff->worked >= LIMIT_CRASHES_MS;
}
