#include "http/http.h"

#include <assert.h>
#include <stdio.h>

#include "base/calendar.h"

/* A body of an error is one word without a colon: some senders never look at
 * the status, so it must not read as "key: value". */
struct status_line {
    enum http_status status;
    const char *reason;
    const char *caching; /* a policy may be kept if it is asked for anew; an error may not */
    const char *extra;   /* further header lines, each with its line end */
    const char *body;    /* NULL: the policy */
};

static const struct status_line status_lines[] = {
    {HTTP_OK, "OK", "no-cache", "", NULL},
    {HTTP_PERMANENT_REDIRECT, "Permanent Redirect", "no-store", "", "permanent-redirect\n"},
    {HTTP_BAD_REQUEST, "Bad Request", "no-store", "", "bad-request\n"},
    {HTTP_NOT_FOUND, "Not Found", "no-store", "", "not-found\n"},
    {HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed", "no-store", "Allow: GET, HEAD\r\n",
     "method-not-allowed\n"},
    {HTTP_MISDIRECTED, "Misdirected Request", "no-store", "", "misdirected-request\n"},
    {HTTP_HEADERS_TOO_LARGE, "Request Header Fields Too Large", "no-store", "",
     "request-header-too-large\n"},
    /* An hour: somebody has to mend a file first. */
    {HTTP_UNAVAILABLE, "Service Unavailable", "no-store", "Retry-After: 3600\r\n",
     "policy-unavailable\n"},
    {HTTP_VERSION_NOT_SUPPORTED, "HTTP Version Not Supported", "no-store", "",
     "http-version-not-supported\n"},
};

static const struct status_line *status_line_of(enum http_status status)
{
    for (size_t i = 0; i < sizeof(status_lines) / sizeof(status_lines[0]); i++)
        if (status_lines[i].status == status)
            return &status_lines[i];
    return NULL;
}

static const char *connection_line(enum http_persistence persistence)
{
    switch (persistence) {
    case HTTP_CLOSE:
        return "Connection: close\r\n";
    case HTTP_KEEP_ALIVE:
        return "Connection: keep-alive\r\n";
    case HTTP_PERSIST:
        break;
    }
    return "";
}

/* There is nothing here but TLS (RFC 8461 section 3.3), so a browser may keep that in mind, for this
 * host alone and for a year. In clear text it must not be said (RFC 6797 section 7.2). */
static const char strict_transport[] = "Strict-Transport-Security: max-age=31557600\r\n";

size_t response_render_head(const struct response *response, const char *type, size_t body_len,
                            char out[static LIMIT_RESPONSE_HEAD])
{
    const struct status_line *line = status_line_of(response->status);
    assert(line != NULL);
    const char *location = response->location;
    char date[CALENDAR_HTTP_SIZE];

    calendar_http_date(response->date, date);
    int printed = snprintf(out, LIMIT_RESPONSE_HEAD,
                           "HTTP/1.1 %d %s\r\n"
                           "Date: %s\r\n"
                           "Content-Type: %s\r\n"
                           "Content-Length: %zu\r\n"
                           "Cache-Control: %s\r\n"
                           "X-Content-Type-Options: nosniff\r\n"
                           "%s%s%s%s%s%s\r\n",
                           (int)line->status, line->reason, date, type, body_len, line->caching,
                           response->plain ? "" : strict_transport, line->extra,
                           location == NULL ? "" : "Location: ", location == NULL ? "" : location,
                           location == NULL ? "" : "\r\n", connection_line(response->persistence));
    assert(printed > 0 && printed < LIMIT_RESPONSE_HEAD);
    return (size_t)printed;
}

struct span response_body(const struct response *response)
{
    const struct status_line *line = status_line_of(response->status);
    assert(line != NULL);
    return line->body == NULL ? response->policy : span_of(line->body);
}

size_t response_render(const struct response *response, char out[static RESPONSE_SIZE])
{
    struct span body = response_body(response);
    assert(body.len <= LIMIT_BODY);
    size_t len = response_render_head(response, "text/plain", body.len, out);
    if (!response->head_only && body.len > 0) {
        memcpy(out + len, body.data, body.len);
        len += body.len;
    }
    return len;
}
