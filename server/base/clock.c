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
