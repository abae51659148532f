#include "serve/access.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/calendar.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "shared/client_address.h"

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
    json_printf(line, name, "\"");
    text_escape_json(line, bytes, limit);
    text_append(line, span_of("\""));
}

static void open_json(struct text *line, int64_t now, const char *message, const char *client)
{
    char time[CALENDAR_ISO_SIZE];
    calendar_iso_time(now, time);
    json_open(line, NULL, '{');
    json_text(line, "time", time);
    json_text(line, "level", "info");
    if (message != NULL)
        json_text(line, "message", message);
    json_text(line, "client", client);
}

static void close_json(struct text *line, int64_t took_us)
{
    json_printf(line, "seconds", "%" PRId64 ".%06" PRId64, took_us / 1000000, took_us % 1000000);
    json_close(line, '}');
}

static void print_json(const struct access *access, const char *client, struct text *line)
{
    open_json(line, access->now, NULL, client);
    append_member(line, "request", first_line(access->request), LIMIT_LOG_REQUEST);
    json_number(line, "status", access->status);
    json_number(line, "bytes", (int64_t)access->body_len);
    append_member(line, "referer", access->referer, LIMIT_LOG_REFERER);
    append_member(line, "user_agent", access->agent, LIMIT_LOG_AGENT);
    if (access->domain != NULL)
        json_printf(line, "sni", "\"mta-sts.%s\"", access->domain);
    if (access->version != NULL) {
        json_text(line, "tls_version", access->version);
        json_text(line, "tls_cipher", access->cipher);
    }
    close_json(line, access->took_us);
}

static void write_line(struct text *line)
{
    if (line->failed)
        log_lose(); /* memory is short, which is told elsewhere */
    else
        log_record(LOG_LEVEL_INFO, (struct span){line->data, line->len});
    text_free(line);
}

void access_log(const struct access *access)
{
    char client[CLIENT_ADDRESS_SIZE];
    struct text line = {0};
    client_address_print(access->client, log_style()->anonymize, client);
    if (log_style()->json)
        print_json(access, client, &line);
    else
        print_text(access, client, &line);
    write_line(&line);
}

/* RFC 8446 section 6 and RFC 5246 section 7.2, by their numbers. */
static const struct {
    int number;
    const char *name;
} alerts[] = {
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {21, "decryption_failed"},
    {22, "record_overflow"},
    {30, "decompression_failure"},
    {40, "handshake_failure"},
    {41, "no_certificate"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {60, "export_restriction"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {100, "no_renegotiation"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {112, "unrecognized_name"},
    {113, "bad_certificate_status_response"},
    {115, "unknown_psk_identity"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

enum { ALERT_SIZE = 12 };

/* Its number when it has no name. */
static const char *alert_text(int number, char buffer[static ALERT_SIZE])
{
    for (size_t i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++)
        if (alerts[i].number == number)
            return alerts[i].name;
    (void)snprintf(buffer, ALERT_SIZE, "%d", number); /* it fits */
    return buffer;
}

static void print_failure_text(const struct access_failure *failure, const char *client,
                               struct text *line)
{
    char alert[ALERT_SIZE];
    text_printf(line, "%s [", client);
    append_clf_time(line, failure->now);
    text_printf(line, "] handshake failed: %s; SNI", failure->reason);
    append_quoted(line, failure->name, LIMIT_NAME + 1);
    if (failure->alert_sent >= 0)
        text_printf(line, "; alert sent %s", alert_text(failure->alert_sent, alert));
    if (failure->alert_received >= 0)
        text_printf(line, "; alert received %s", alert_text(failure->alert_received, alert));
    text_printf(line, "; %" PRId64 ".%06" PRId64, failure->took_us / 1000000,
                failure->took_us % 1000000);
}

static void print_failure_json(const struct access_failure *failure, const char *client,
                               struct text *line)
{
    char alert[ALERT_SIZE];
    open_json(line, failure->now, "handshake failed", client);
    json_text(line, "reason", failure->reason);
    if (failure->name.len > 0)
        append_member(line, "sni", failure->name, LIMIT_NAME + 1);
    if (failure->alert_sent >= 0)
        json_text(line, "alert_sent", alert_text(failure->alert_sent, alert));
    if (failure->alert_received >= 0)
        json_text(line, "alert_received", alert_text(failure->alert_received, alert));
    close_json(line, failure->took_us);
}

void access_tell_left_out(struct access_rate *rate, int64_t now)
{
    if (now < rate->until)
        return;
    if (rate->left_out > 0)
        log_line(LOG_LEVEL_NOTICE,
                 "%" PRIu64
                 " more failed handshakes have no line: a worker writes at most %d a second",
                 rate->left_out, LIMIT_LOG_HANDSHAKES);
    *rate = (struct access_rate){.until = now + 1000};
}

int64_t access_next(const struct access_rate *rate)
{
    return rate->left_out > 0 ? rate->until : INT64_MAX;
}

void access_log_failure(struct access_rate *rate, const struct access_failure *failure, int64_t now)
{
    char client[CLIENT_ADDRESS_SIZE];
    struct text line = {0};
    if (log_style()->access == LOG_ACCESS_OFF)
        return;
    access_tell_left_out(rate, now);
    if (rate->written == LIMIT_LOG_HANDSHAKES) {
        rate->left_out++;
        return;
    }
    rate->written++;
    client_address_print(failure->client, log_style()->anonymize, client);
    if (log_style()->json)
        print_failure_json(failure, client, &line);
    else
        print_failure_text(failure, client, &line);
    write_line(&line);
}
