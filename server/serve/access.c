#include "serve/access.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/calendar.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "serve/origin.h"

bool access_is_logged(unsigned status)
{
    switch (log_style()->access) {
    case LOG_ACCESS_ON:
        return true;
    case LOG_ACCESS_ERRORS:
        return status >= 400;
    case LOG_ACCESS_OFF:
        break;
    }
    return false;
}

/* The first line of what was sent that is not empty. */
static struct span first_line(struct span request)
{
    size_t len = 0;
    while (request.len > 0 && (request.data[0] == '\r' || request.data[0] == '\n'))
        request = span_skip(request, 1);
    while (len < request.len && request.data[len] != '\r' && request.data[len] != '\n')
        len++;
    return (struct span){request.data, len};
}

static void append_quoted(struct text *line, struct span bytes, size_t limit)
{
    text_append(line, span_of(" \""));
    if (bytes.len == 0)
        text_append(line, span_of("-"));
    text_escape(line, bytes, limit);
    text_append(line, span_of("\""));
}

/* "24/Nov/2026:23:51:29 +0000", from "Tue, 24 Nov 2026 23:51:29 GMT". */
static void append_clf_time(struct text *line, int64_t now)
{
    char date[CALENDAR_HTTP_SIZE];
    calendar_http_date(now, date);
    text_printf(line, "%.2s/%.3s/%.4s:%.8s +0000", date + 5, date + 8, date + 12, date + 17);
}

static void print_text(const struct access *access, const char *client, struct text *line)
{
    text_printf(line, "%s - - [", client);
    append_clf_time(line, access->now);
    text_append(line, span_of("]"));
    append_quoted(line, first_line(access->request), LIMIT_LOG_REQUEST);
    text_printf(line, " %u %zu", access->status, access->body_len);
    append_quoted(line, access->referer, LIMIT_LOG_REFERER);
    append_quoted(line, access->agent, LIMIT_LOG_AGENT);
    text_printf(line, " %s%s %s %s %" PRId64 ".%06" PRId64,
                access->domain == NULL ? "" : "mta-sts.",
                access->domain == NULL ? "-" : access->domain,
                access->version == NULL ? "-" : access->version,
                access->cipher == NULL ? "-" : access->cipher, access->took_us / 1000000,
                access->took_us % 1000000);
}

/* Every byte beyond printable ASCII as the character of that number: nothing is lost, and what may
 * be seen on a terminal has no power over it. */
static void append_member(struct text *line, const char *name, struct span bytes, size_t limit)
{
    size_t shown = bytes.len < limit ? bytes.len : limit;
    text_printf(line, ",\"%s\":\"", name);
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '"')
            text_append(line, (struct span){bytes.data + i, 1});
        else
            text_printf(line, "\\u%04x", byte);
    }
    text_append(line, span_of(shown < bytes.len ? "...\"" : "\""));
}

static void print_json(const struct access *access, const char *client, struct text *line)
{
    char time[CALENDAR_ISO_SIZE];
    calendar_iso_time(access->now, time);
    text_printf(line, "{\"time\":\"%s\",\"level\":\"info\",\"client\":\"%s\"", time, client);
    append_member(line, "request", first_line(access->request), LIMIT_LOG_REQUEST);
    text_printf(line, ",\"status\":%u,\"bytes\":%zu", access->status, access->body_len);
    append_member(line, "referer", access->referer, LIMIT_LOG_REFERER);
    append_member(line, "user_agent", access->agent, LIMIT_LOG_AGENT);
    if (access->domain != NULL)
        text_printf(line, ",\"sni\":\"mta-sts.%s\"", access->domain);
    if (access->version != NULL)
        text_printf(line, ",\"tls_version\":\"%s\",\"tls_cipher\":\"%s\"", access->version,
                    access->cipher);
    text_printf(line, ",\"seconds\":%" PRId64 ".%06" PRId64 "}", access->took_us / 1000000,
                access->took_us % 1000000);
}

void access_log(const struct access *access)
{
    char client[ORIGIN_SIZE];
    struct text line = {0};
    origin_print_address(access->client, log_style()->anonymize, client);
    if (log_style()->json)
        print_json(access, client, &line);
    else
        print_text(access, client, &line);
    if (line.failed)
        log_lose(); /* memory is short, which is told elsewhere */
    else
        log_record(LOG_LEVEL_INFO, (struct span){line.data, line.len});
    text_free(&line);
}
