#include "http/http.h"

#include <assert.h>

#include "base/address.h"
#include "base/calendar.h"

/* A head while its lines are read. */
struct head {
    struct http_request request;
    char minor; /* version 1.x */
    size_t header_count;
    bool absolute; /* the target named the host; the Host header must still be sound */
    bool host_seen;
    bool length_seen;
    bool coding_seen;
    bool close_asked;
    bool keep_alive_asked;
};

/* RFC 9110 section 5.6.2: what a token may hold beside letters and digits. */
static const char token_punctuation[] = "!#$%&'*+-.^_`|~";

/* Of unreserved and sub-delims (RFC 3986 section 2), what is no letter or digit. */
static const char punctuation[] = "-._~!$&'()*+,;=";

/* RFC 3986 section 3.2.2: unreserved, sub-delims or percent-encoded. */
static bool is_reg_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (ascii_is_alpha(byte) || ascii_is_digit(byte) ||
            memchr(punctuation, byte, sizeof(punctuation) - 1) != NULL)
            continue;
        if (byte != '%' || text.len - i < 3 || ascii_hex_value(text.data[i + 1]) < 0 ||
            ascii_hex_value(text.data[i + 2]) < 0)
            return false;
        i += 2;
    }
    return text.len > 0;
}

/* How many bytes of the text are the host. */
static size_t host_len(struct span text)
{
    char end = text.len > 0 && text.data[0] == '[' ? ']' : ':';
    const char *found = text.len == 0 ? NULL : memchr(text.data, end, text.len);

    if (found == NULL)
        return text.len;
    return (size_t)(found - text.data) + (end == ']' ? 1 : 0);
}

bool host_port_parse(struct span text, struct host_port *ret_host_port)
{
    struct span host = {text.data, host_len(text)};
    struct span rest = span_skip(text, host.len);
    uint64_t number = 0;

    if (host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']') {
        /* A zone is local to the client and IPvFuture has no version yet: it is an address. */
        struct in6_addr address;
        if (!address_number(AF_INET6, (struct span){host.data + 1, host.len - 2}, &address))
            return false;
    } else if (!is_reg_name(host)) {
        return false;
    }
    if (rest.len > 0 && rest.data[0] != ':')
        return false;
    bool has_port = rest.len > 1;
    if (has_port && (!span_number(span_skip(rest, 1), 65535, &number) || number == 0))
        return false;
    *ret_host_port = (struct host_port){host, has_port};
    return true;
}

/* Takes one line off the rest. RFC 9112 section 2.2 lets a recipient end lines
 * at a bare LF; we do not, because others do. Control bytes are refused where
 * they stand, so that the answer does not depend on what follows. */
static enum http_progress take_line(struct span *rest, struct span *ret_line)
{
    for (size_t i = 0; i < rest->len; i++) {
        unsigned char byte = (unsigned char)rest->data[i];
        if (byte == '\r') {
            if (i + 1 == rest->len)
                return HTTP_PARTIAL;
            if (rest->data[i + 1] != '\n')
                return HTTP_REFUSED;
            *ret_line = (struct span){rest->data, i};
            *rest = span_skip(*rest, i + 2);
            return HTTP_COMPLETE;
        }
        if ((byte < ' ' && byte != '\t') || byte == 0x7f)
            return HTTP_REFUSED;
    }
    return HTTP_PARTIAL;
}

static const struct {
    const char *text;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET},
    {"HEAD", HTTP_HEAD},
    {"OPTIONS", HTTP_OPTIONS},
    {"CONNECT", HTTP_CONNECT},
};

static enum http_method method_of(struct span text)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (span_equal(text, span_of(methods[i].text)))
            return methods[i].method;
    return HTTP_OTHER;
}

/* RFC 9110 section 2.5: a higher minor version is understood as the highest
 * that we know. */
static enum http_status read_version(struct span text, struct head *head)
{
    const char *byte = text.data;

    if (text.len != 8 || memcmp(byte, "HTTP/", 5) != 0 || !ascii_is_digit(byte[5]) ||
        byte[6] != '.' || !ascii_is_digit(byte[7]))
        return HTTP_BAD_REQUEST;
    if (byte[5] != '1')
        return HTTP_VERSION_NOT_SUPPORTED;
    head->minor = byte[7];
    return HTTP_NONE;
}

static enum http_status read_absolute_target(struct span target, struct head *head)
{
    struct span secure = span_of("https://");
    struct span plain = span_of("http://");
    struct host_port authority;
    size_t len = 0;

    head->request.plain_scheme = span_begins_fold(target, plain);
    if (!head->request.plain_scheme && !span_begins_fold(target, secure))
        return HTTP_BAD_REQUEST;
    target = span_skip(target, head->request.plain_scheme ? plain.len : secure.len);
    while (len < target.len && memchr("/?", target.data[len], 2) == NULL)
        len++;
    if (!host_port_parse((struct span){target.data, len}, &authority))
        return HTTP_BAD_REQUEST;
    head->absolute = true;
    head->request.has_host = true;
    head->request.host = authority.host;
    head->request.has_path = true;
    head->request.path = span_skip(target, len);
    return HTTP_NONE;
}

/* RFC 3986 section 2: of what can be printed, these are in no URI, and '#' is in
 * no target (RFC 9112 section 3.2). Some readers mend or cut what holds them. */
static const char no_target[] = "\"#<>\\^`{|}";

static bool is_target(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' ||
            memchr(no_target, text.data[i], sizeof(no_target) - 1) != NULL)
            return false;
    return text.len > 0;
}

/* RFC 9112 section 3.2: the form must fit the method. */
static enum http_status read_target(struct span target, struct head *head)
{
    struct host_port authority;

    if (!is_target(target))
        return HTTP_BAD_REQUEST;
    if (head->request.method == HTTP_CONNECT)
        return host_port_parse(target, &authority) && authority.has_port ? HTTP_NONE
                                                                         : HTTP_BAD_REQUEST;
    if (span_equal(target, span_of("*")))
        return head->request.method == HTTP_OPTIONS ? HTTP_NONE : HTTP_BAD_REQUEST;
    if (target.data[0] != '/')
        return read_absolute_target(target, head);
    head->request.has_path = true;
    head->request.path = target;
    return HTTP_NONE;
}

static enum http_status read_request_line(struct span line, struct head *head)
{
    struct span method;
    struct span target;
    enum http_status status;

    if (!span_take(&line, ' ', &method) || !span_take(&line, ' ', &target) ||
        !span_is_word(method, token_punctuation))
        return HTTP_BAD_REQUEST;
    head->request.method = method_of(method);
    status = read_version(line, head);
    return status != HTTP_NONE ? status : read_target(target, head);
}

/* RFC 9112 section 3.2: two Host headers, or one that is no host, are refused
 * even where the target has the say. */
static enum http_status read_host(struct span value, struct head *head)
{
    struct host_port authority;

    if (head->host_seen || !host_port_parse(value, &authority))
        return HTTP_BAD_REQUEST;
    head->host_seen = true;
    if (!head->absolute) {
        head->request.has_host = true;
        head->request.host = authority.host;
    }
    return HTTP_NONE;
}

/* A body has no meaning with GET and HEAD, and readers disagree about where it
 * ends (RFC 9112 section 11.2). With other methods it only ends the connection. */
static enum http_status found_body(struct head *head)
{
    head->request.has_body = true;
    return head->request.method == HTTP_GET || head->request.method == HTTP_HEAD ? HTTP_BAD_REQUEST
                                                                                 : HTTP_NONE;
}

static enum http_status read_content_length(struct span value, struct head *head)
{
    if (head->length_seen || head->coding_seen || value.len == 0)
        return HTTP_BAD_REQUEST;
    head->length_seen = true;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_digit(value.data[i]))
            return HTTP_BAD_REQUEST;
    return span_equal(value, span_of("0")) ? HTTP_NONE : found_body(head);
}

static enum http_status read_transfer_encoding(struct span value, struct head *head)
{
    (void)value; /* Whatever the coding is, we do not read it. */
    if (head->length_seen)
        return HTTP_BAD_REQUEST;
    head->coding_seen = true;
    return found_body(head);
}

static enum http_status read_connection(struct span value, struct head *head)
{
    bool more = true;

    while (more) {
        struct span option;
        more = span_take(&value, ',', &option);
        option = span_trim(option);
        if (span_equal_fold(option, span_of("close")))
            head->close_asked = true;
        else if (span_equal_fold(option, span_of("keep-alive")))
            head->keep_alive_asked = true;
    }
    return HTTP_NONE;
}

/* The headers that we obey; of the others two are logged, and the rest is read and forgotten. */
static const struct {
    const char *name;
    enum http_status (*read)(struct span value, struct head *head);
} headers[] = {
    {"Host", read_host},
    {"Content-Length", read_content_length},
    {"Transfer-Encoding", read_transfer_encoding},
    {"Connection", read_connection},
};

static enum http_status read_header(struct span line, struct head *head)
{
    struct span name;

    if (++head->header_count > LIMIT_REQUEST_HEADERS)
        return HTTP_HEADERS_TOO_LARGE;
    if (!span_take(&line, ':', &name) || !span_is_word(name, token_punctuation))
        return HTTP_BAD_REQUEST;
    line = span_trim(line);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        if (span_equal_fold(name, span_of(headers[i].name)))
            return headers[i].read(line, head);
    if (span_equal_fold(name, span_of("User-Agent")))
        head->request.agent = line;
    else if (span_equal_fold(name, span_of("Referer")))
        head->request.referer = line;
    return HTTP_NONE;
}

static enum http_status finish(struct head *head)
{
    if (!head->host_seen && head->minor != '0')
        return HTTP_BAD_REQUEST;
    /* Who asked for a tunnel may already be speaking to its other end, and who asked for a body to be
     * read sends it: what follows is no request. */
    if (head->close_asked || head->request.has_body || head->request.method == HTTP_CONNECT)
        head->request.persistence = HTTP_CLOSE;
    else if (head->minor != '0')
        head->request.persistence = HTTP_PERSIST;
    else
        head->request.persistence = head->keep_alive_asked ? HTTP_KEEP_ALIVE : HTTP_CLOSE;
    return HTTP_NONE;
}

/* Reads line after line; an error is told at the first line that shows it. */
static enum http_progress read_head(struct span *rest, struct head *head,
                                    enum http_status *ret_status)
{
    bool first = true;     /* the request line is still to come */
    bool forgiven = false; /* RFC 9112 section 2.2: one empty line before it is */
    enum http_status status = HTTP_NONE;

    while (status == HTTP_NONE) {
        struct span line;
        enum http_progress progress = take_line(rest, &line);
        if (progress == HTTP_PARTIAL)
            return HTTP_PARTIAL;
        if (progress == HTTP_REFUSED) {
            status = HTTP_BAD_REQUEST;
        } else if (first && !forgiven && line.len == 0) {
            forgiven = true;
        } else if (first) {
            first = false;
            status = read_request_line(line, head);
        } else if (line.len > 0) {
            status = read_header(line, head);
        } else {
            status = finish(head);
            if (status == HTTP_NONE)
                return HTTP_COMPLETE;
        }
    }
    *ret_status = status;
    return HTTP_REFUSED;
}

enum http_progress http_parse(struct span input, struct http_request *ret_request,
                              size_t *ret_consumed, enum http_status *ret_status)
{
    struct head head = {0};
    bool full = input.len >= LIMIT_REQUEST_HEAD;
    struct span rest = {input.data, full ? LIMIT_REQUEST_HEAD : input.len};
    size_t len = rest.len;
    enum http_progress progress = read_head(&rest, &head, ret_status);

    if (progress == HTTP_PARTIAL && full) {
        *ret_status = HTTP_HEADERS_TOO_LARGE;
        progress = HTTP_REFUSED;
    }
    if (progress == HTTP_COMPLETE) {
        *ret_request = head.request;
        *ret_consumed = len - rest.len;
    } else if (progress == HTTP_REFUSED) {
        *ret_request = (struct http_request){.method = head.request.method};
    }
    return progress;
}

enum http_status http_judge(const struct http_request *request, bool at_home, bool has_policy)
{
    if (!at_home)
        return HTTP_MISDIRECTED;
    if (request->has_path && !span_equal(request->path, span_of("/.well-known/mta-sts.txt")))
        return HTTP_NOT_FOUND;
    if (request->method != HTTP_GET && request->method != HTTP_HEAD)
        return HTTP_METHOD_NOT_ALLOWED;
    return has_policy ? HTTP_OK : HTTP_UNAVAILABLE;
}

/* A body of an error is one word without a colon: some senders never look at
 * the status, so it must not read as "key: value". */
struct status_line {
    enum http_status status;
    const char *text;
    const char *extra; /* further header lines, each with its line end */
    const char *body;  /* NULL: the policy */
};

static const struct status_line status_lines[] = {
    {HTTP_OK, "200 OK", "", NULL},
    {HTTP_PERMANENT_REDIRECT, "308 Permanent Redirect", "", "permanent-redirect\n"},
    {HTTP_BAD_REQUEST, "400 Bad Request", "", "bad-request\n"},
    {HTTP_NOT_FOUND, "404 Not Found", "", "not-found\n"},
    {HTTP_METHOD_NOT_ALLOWED, "405 Method Not Allowed", "Allow: GET, HEAD\r\n",
     "method-not-allowed\n"},
    {HTTP_MISDIRECTED, "421 Misdirected Request", "", "misdirected-request\n"},
    {HTTP_HEADERS_TOO_LARGE, "431 Request Header Fields Too Large", "",
     "request-header-too-large\n"},
    /* An hour: somebody has to mend a file first. */
    {HTTP_UNAVAILABLE, "503 Service Unavailable", "Retry-After: 3600\r\n", "policy-unavailable\n"},
    {HTTP_VERSION_NOT_SUPPORTED, "505 HTTP Version Not Supported", "",
     "http-version-not-supported\n"},
};

static const struct status_line *status_line_of(enum http_status status)
{
    size_t i = 0;
    for (; status_lines[i].status != status; i++)
        assert(i + 1 < sizeof(status_lines) / sizeof(status_lines[0]));
    return &status_lines[i];
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

/* Every response has a head, so that printf, which reads a format each time, would be dear. */
size_t response_render_head(const struct response *response, const char *type, size_t body_len,
                            char out[static LIMIT_RESPONSE_HEAD])
{
    const struct status_line *line = status_line_of(response->status);
    const char *location = response->location;
    char date[CALENDAR_HTTP_SIZE], digits[24] = "", *length = digits + sizeof(digits) - 1;

    calendar_http_date(response->date, date);
    do
        *--length = (char)('0' + body_len % 10);
    while ((body_len /= 10) > 0);
    const char *const parts[] = {
        "HTTP/1.1 ", line->text, "\r\nDate: ", date, "\r\nContent-Type: ", type,
        "\r\nContent-Length: ", length, "\r\nCache-Control: ",
        /* A policy may be kept if it is asked for again; an error may not. */
        line->body == NULL ? "no-cache" : "no-store", "\r\nX-Content-Type-Options: nosniff\r\n",
        response->plain ? "" : strict_transport, line->extra,
        location == NULL ? "" : "Location: ", location == NULL ? "" : location,
        location == NULL ? "" : "\r\n", connection_line(response->persistence), "\r\n"};
    size_t len = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t part = strlen(parts[i]);
        assert(part < LIMIT_RESPONSE_HEAD - len);
        memcpy(out + len, parts[i], part);
        len += part;
    }
    return len;
}

struct span response_body(const struct response *response)
{
    const struct status_line *line = status_line_of(response->status);
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
