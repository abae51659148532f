/*
 * Dates and durations without the C library's time zones, which would open
 * files: a sealed worker formats the Date header with these. Pure.
 */
#ifndef BASE_CALENDAR_H
#define BASE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum { CALENDAR_HTTP_SIZE = 30, CALENDAR_DAY_SIZE = 11, CALENDAR_ISO_SIZE = 21 };

/* A date for a sentence. */
struct calendar_text {
    char text[CALENDAR_ISO_SIZE];
};

/* Writes the instant (seconds since 1970 UTC, years 1970 to 9999) as an
 * IMF-fixdate with its NUL, such as "Sun, 06 Nov 1994 08:49:37 GMT"
 * (RFC 9110 section 5.6.7). */
void calendar_http_date(int64_t instant, char out[static CALENDAR_HTTP_SIZE]);

/* The day of the instant as "1994-11-06". */
struct calendar_text calendar_day(int64_t instant);

/* The same as day and time, "2026-11-24T23:51:29Z" (RFC 3339). */
struct calendar_text calendar_iso_time(int64_t instant);

/* Whole days in so many seconds, rounded down: 0 for the last day before an end, -1 from then on. */
int64_t calendar_days(int64_t seconds);

/* The instant of a civil date and time in UTC. */
int64_t calendar_instant(int year, int month, int day, int hour, int minute, int second);

/* Reads a count of seconds, or a number with one of the units s, m, h, d, w.
 * False when it is not of that form or exceeds UINT32_MAX seconds. */
bool calendar_duration(struct span text, uint32_t *ret_seconds);

/* Reads a day as "2026-12-24", or a day and time in UTC as "2026-12-24T18:00:00Z"; the instant is
 * the first of the day. Years 1970 to 9999. False when it is not of that form. */
bool calendar_parse(struct span text, int64_t *ret_instant);

#endif
