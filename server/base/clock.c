#include "base/clock.h"

#include <time.h>

int64_t clock_monotonic_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* It cannot fail for this clock. */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_real_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* it cannot fail for a clock that exists */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t boot_seconds(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_BOOTTIME, &now) == 0 ? now.tv_sec : 0;
}

void clock_steady_begin(struct steady_clock *clock)
{
    *clock = (struct steady_clock){time(NULL), boot_seconds()};
}

int64_t clock_steady_time(const struct steady_clock *clock)
{
    int64_t wall = time(NULL), steady = clock->wall + boot_seconds() - clock->boot;
    return wall > steady ? wall : steady;
}
