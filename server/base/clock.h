/*
 * The clock that never jumps, for deadlines. Every process uses it.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since some moment before the process began. */
int64_t clock_monotonic_ms(void);

/* The same in microseconds. */
int64_t clock_monotonic_us(void);

/* Microseconds since 1970 UTC, as far as the machine knows the time; this one jumps. */
int64_t clock_real_us(void);

/* A clock that is never set back: where the wall clock was, the time that has gone by since the start
 * counts. Begin it once. */
struct steady_clock {
    int64_t wall, boot; /* seconds, when it began */
};
void clock_steady_begin(struct steady_clock *clock);

/* Seconds since 1970 UTC. */
int64_t clock_steady_time(const struct steady_clock *clock);

#endif
