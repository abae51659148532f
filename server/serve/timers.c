#include "serve/timers.h"

#include <assert.h>
#include <stddef.h>

#include "base/limits.h"

static const int64_t durations[TIMER_KINDS] = {
    [TIMER_LINGERING] = LIMIT_LINGER_MS,
    [TIMER_IDLE] = LIMIT_IDLE_MS,
    [TIMER_INTRODUCTION] = LIMIT_INTRODUCTION_MS,
    [TIMER_UNFINISHED] = LIMIT_UNFINISHED_MS,
};

void timers_start(struct timers *timers, struct timer *timer, enum timer_kind kind, int64_t now)
{
    timers_stop(timers, timer);
    struct timer *newest = timers->queues[kind].newest;
    timer->kind = kind;
    timer->running = true;
    timer->deadline = now + durations[kind];
    assert(newest == NULL || newest->deadline <= timer->deadline);
    timer->earlier = newest;
    timer->later = NULL;
    timers->queues[kind].newest = timer;
    if (newest == NULL)
        timers->queues[kind].oldest = timer;
    else
        newest->later = timer;
}

void timers_stop(struct timers *timers, struct timer *timer)
{
    if (!timer->running)
        return;
    if (timer->earlier == NULL)
        timers->queues[timer->kind].oldest = timer->later;
    else
        timer->earlier->later = timer->later;
    if (timer->later == NULL)
        timers->queues[timer->kind].newest = timer->earlier;
    else
        timer->later->earlier = timer->earlier;
    timer->earlier = NULL;
    timer->later = NULL;
    timer->running = false;
}

int64_t timers_begun(const struct timer *timer)
{
    return timer->deadline - durations[timer->kind];
}

struct timer *timers_expired(const struct timers *timers, int64_t now)
{
    for (size_t kind = 0; kind < TIMER_KINDS; kind++) {
        struct timer *oldest = timers->queues[kind].oldest;
        if (oldest != NULL && oldest->deadline <= now)
            return oldest;
    }
    return NULL;
}

struct timer *timers_oldest(const struct timers *timers, enum timer_kind kind)
{
    return timers->queues[kind].oldest;
}

int64_t timers_next(const struct timers *timers)
{
    int64_t next = INT64_MAX;

    for (size_t kind = 0; kind < TIMER_KINDS; kind++) {
        const struct timer *oldest = timers->queues[kind].oldest;
        if (oldest != NULL && oldest->deadline < next)
            next = oldest->deadline;
    }
    return next;
}
