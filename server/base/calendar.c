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

/* As many digits as there is room for, with zeros before the number. */
static void put(char *digits, size_t len, unsigned number)
{
    while (len-- > 0) {
        digits[len] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* Every response has one, so that printf, which reads a format each time, would be dear. */
void calendar_http_date(int64_t instant, char out[static CALENDAR_HTTP_SIZE])
{
    static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t days = calendar_days(instant);
    unsigned second = (unsigned)(instant - days * DAY);
    struct civil civil = civil_from_days(days);
    unsigned weekday = (unsigned)(((days % 7) + 4 + 7) % 7);
    memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", CALENDAR_HTTP_SIZE);
    memcpy(out, weekdays[weekday], 3);
    put(out + 5, 2, civil.day);
    memcpy(out + 8, months[civil.month - 1], 3);
    put(out + 12, 4, (unsigned)(civil.year % 10000));
    put(out + 17, 2, second / 3600);
    put(out + 20, 2, second / 60 % 60);
    put(out + 23, 2, second % 60);
}

struct calendar_text calendar_day(int64_t instant)
{
    struct calendar_text day;
    struct civil civil = civil_from_days(calendar_days(instant));
    (void)snprintf(day.text, CALENDAR_DAY_SIZE, "%04u-%02u-%02u", (unsigned)(civil.year % 10000),
                   civil.month % 100, civil.day % 100);
    return day;
}

struct calendar_text calendar_iso_time(int64_t instant)
{
    unsigned second = (unsigned)(instant - calendar_days(instant) * DAY);
    struct calendar_text time = calendar_day(instant);
    (void)snprintf(time.text + CALENDAR_DAY_SIZE - 1, CALENDAR_ISO_SIZE - CALENDAR_DAY_SIZE + 1,
                   "T%02u:%02u:%02uZ", second / 3600 % 24, second / 60 % 60, second % 60);
    return time;
}

int64_t calendar_instant(int year, int month, int day, int hour, int minute, int second)
{
    return days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
}

bool calendar_duration(struct span text, uint32_t *ret_seconds)
{
    static const char units[] = {'s', 'm', 'h', 'd', 'w'};
    static const uint32_t lengths[] = {1, 60, 3600, 86400, 604800};
    uint64_t number, scale = 1;
    const char *unit = text.len == 0 ? NULL : memchr(units, text.data[text.len - 1], sizeof(units));
    if (unit != NULL) {
        scale = lengths[unit - units];
        text.len--;
    }
    if (!span_number(text, UINT32_MAX / scale, &number))
        return false;
    *ret_seconds = (uint32_t)(number * scale);
    return true;
}

static int number(const char *digits, size_t count)
{
    int value = 0;
    for (size_t i = 0; i < count; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

bool calendar_parse(struct span text, int64_t *ret_instant)
{
    static const char form[] = "0000-00-00T00:00:00Z"; /* where digits are, and the rest */
    enum { DAY_LEN = CALENDAR_DAY_SIZE - 1, TIME_LEN = CALENDAR_ISO_SIZE - 1 };
    int hour = 0, minute = 0, second = 0;
    if (text.len != DAY_LEN && text.len != TIME_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (form[i] == '0' ? !ascii_is_digit(text.data[i]) : text.data[i] != form[i])
            return false;
    int year = number(text.data, 4), month = number(text.data + 5, 2);
    int day = number(text.data + 8, 2);
    if (text.len == TIME_LEN) {
        hour = number(text.data + 11, 2);
        minute = number(text.data + 14, 2);
        second = number(text.data + 17, 2);
    }
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
