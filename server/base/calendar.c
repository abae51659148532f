#include "base/calendar.h"

#include <stdio.h>

static const int64_t DAY = 86400;

struct civil {
    int64_t year;
    unsigned month; /* 1 to 12 */
    unsigned day;   /* 1 to 31 */
};

/* Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in
 * March, so that the leap day is the last of its year. */
static struct civil civil_from_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_from_march = (5 * day_of_year + 2) / 153;
    unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return (struct civil){
        .year = (int64_t)year_of_era + era * 400 + (month <= 2 ? 1 : 0),
        .month = month,
        .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
    };
}

static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2 ? 1 : 0;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

int64_t calendar_days(int64_t seconds)
{
    return seconds >= 0 ? seconds / DAY : -((-seconds + DAY - 1) / DAY);
}

void calendar_http_date(int64_t instant, char out[static CALENDAR_HTTP_SIZE])
{
    static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t days = calendar_days(instant);
    unsigned second = (unsigned)(instant - days * DAY);
    struct civil civil = civil_from_days(days);
    unsigned weekday = (unsigned)(((days % 7) + 4 + 7) % 7);
    (void)snprintf(out, CALENDAR_HTTP_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                   weekdays[weekday], civil.day % 100, months[civil.month - 1],
                   (unsigned)(civil.year % 10000), second / 3600 % 100, second / 60 % 60,
                   second % 60);
}

void calendar_day(int64_t instant, char out[static CALENDAR_DAY_SIZE])
{
    struct civil civil = civil_from_days(calendar_days(instant));
    (void)snprintf(out, CALENDAR_DAY_SIZE, "%04u-%02u-%02u", (unsigned)(civil.year % 10000),
                   civil.month % 100, civil.day % 100);
}

void calendar_iso_time(int64_t instant, char out[static CALENDAR_ISO_SIZE])
{
    unsigned second = (unsigned)(instant - calendar_days(instant) * DAY);
    calendar_day(instant, out);
    (void)snprintf(out + CALENDAR_DAY_SIZE - 1, CALENDAR_ISO_SIZE - CALENDAR_DAY_SIZE + 1,
                   "T%02u:%02u:%02uZ", second / 3600 % 24, second / 60 % 60, second % 60);
}

int64_t calendar_instant(int year, int month, int day, int hour, int minute, int second)
{
    return days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
}

bool calendar_duration(struct span text, uint32_t *ret_seconds)
{
    static const struct {
        char unit;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};

    uint64_t value = 0;
    size_t pos = 0;
    for (; pos < text.len && ascii_is_digit(text.data[pos]); pos++) {
        value = value * 10 + (uint64_t)(text.data[pos] - '0');
        if (value > UINT32_MAX)
            return false;
    }
    if (pos == 0)
        return false;
    if (pos < text.len) {
        uint32_t scale = 0;
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
            if (units[i].unit == text.data[pos])
                scale = units[i].seconds;
        if (scale == 0 || pos + 1 != text.len)
            return false;
        value *= scale;
    }
    if (value > UINT32_MAX)
        return false;
    *ret_seconds = (uint32_t)value;
    return true;
}

/* Takes a number of exactly count digits off the span. */
static bool take_digits(struct span *rest, size_t count, int *ret_number)
{
    int number = 0;
    if (rest->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!ascii_is_digit(rest->data[i]))
            return false;
        number = number * 10 + (rest->data[i] - '0');
    }
    *rest = span_skip(*rest, count);
    *ret_number = number;
    return true;
}

static bool take_byte(struct span *rest, char byte)
{
    if (rest->len == 0 || rest->data[0] != byte)
        return false;
    *rest = span_skip(*rest, 1);
    return true;
}

static bool take_time(struct span *rest, int *ret_hour, int *ret_minute, int *ret_second)
{
    return take_byte(rest, 'T') && take_digits(rest, 2, ret_hour) && take_byte(rest, ':') &&
           take_digits(rest, 2, ret_minute) && take_byte(rest, ':') &&
           take_digits(rest, 2, ret_second) && take_byte(rest, 'Z');
}

bool calendar_parse(struct span text, int64_t *ret_instant)
{
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    if (!take_digits(&text, 4, &year) || !take_byte(&text, '-') || !take_digits(&text, 2, &month) ||
        !take_byte(&text, '-') || !take_digits(&text, 2, &day))
        return false;
    if (text.len > 0 && (!take_time(&text, &hour, &minute, &second) || text.len > 0))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 ||
        second > 59)
        return false;
    /* A day that its month does not have comes back as one of the next month. */
    struct civil civil = civil_from_days(days_from_civil(year, month, day));
    if (civil.day != (unsigned)day || civil.month != (unsigned)month)
        return false;
    *ret_instant = calendar_instant(year, month, day, hour, minute, second);
    return true;
}
