#include "serve/answer.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "serve/connection.h"

static const struct {
    enum http_status status;
    enum stats_counter counter;
} fetches[] = {
    {HTTP_OK, STATS_FETCH_200},          {HTTP_BAD_REQUEST, STATS_FETCH_400},
    {HTTP_NOT_FOUND, STATS_FETCH_404},   {HTTP_METHOD_NOT_ALLOWED, STATS_FETCH_405},
    {HTTP_MISDIRECTED, STATS_FETCH_421}, {HTTP_HEADERS_TOO_LARGE, STATS_FETCH_431},
    {HTTP_UNAVAILABLE, STATS_FETCH_503}, {HTTP_VERSION_NOT_SUPPORTED, STATS_FETCH_505},
};

/* Counts the answer, which is the last one of its connection. */
static void begin(struct connection *connection, enum http_status status, enum http_method method)
{
    connection->answer.response = (struct response){
        .status = status,
        .date = time(NULL),
        .head_only = method == HTTP_HEAD,
        .persistence = HTTP_CLOSE,
        .plain = connection->endpoint->plain,
    };
    for (size_t i = 0; i < sizeof(fetches) / sizeof(fetches[0]); i++)
        if (fetches[i].status == status && connection->endpoint->service == ENDPOINT_POLICIES)
            stats_count(connection->setting->stats, fetches[i].counter);
}

/* "192.0.2.1"; shortened to the network that tells no single person (IPv4 /24, IPv6 /48) "192.0.2.0". An
 * IPv4 address that is written as an IPv6 one is IPv4. "unix" for a client without an IP address. */
static void print_client(const struct connection *connection, bool shortened,
                         char out[static CLIENT_ADDRESS_SIZE])
{
    const unsigned char *number = connection->client.v6.sin6_addr.s6_addr;
    unsigned char bytes[sizeof(struct in6_addr)] = {0};
    int family = connection->client.any.sa_family;
    if (family == AF_INET) {
        number = (const unsigned char *)&connection->client.v4.sin_addr;
    } else if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&connection->client.v6.sin6_addr)) {
        family = AF_INET;
        number += 12;
    } else if (family != AF_INET6) {
        (void)snprintf(out, CLIENT_ADDRESS_SIZE, "unix"); /* it fits */
        return;
    }
    if (family == AF_INET)
        memcpy(bytes, number, shortened ? 3 : 4);
    else
        memcpy(bytes, number, shortened ? 6 : 16);
    (void)inet_ntop(family, bytes, out, CLIENT_ADDRESS_SIZE); /* it fits, and both families exist */
}

/* What a line of the log says of the connection. */
struct access {
    char client[CLIENT_ADDRESS_SIZE];
    struct tls_facts facts; /* of TLS, if it has begun; borrowed from the session */
    int64_t took_us;
    int64_t now; /* seconds since 1970 UTC */
};

static struct access access_of(const struct connection *connection)
{
    struct access access = {
        .facts = {.alert_sent = TLS_NO_ALERT, .alert_received = TLS_NO_ALERT, .is_silent = true},
        .took_us = clock_monotonic_us() - connection->begun_us,
        .now = time(NULL),
    };
    print_client(connection, log_style()->anonymize, access.client);
    if (connection->session != NULL)
        access.facts = tls_session_facts(connection->session);
    return access;
}

/* Whether an answer with the status has a line (as the log is configured). */
static bool is_logged(unsigned status)
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

static const char *version_of(const struct tls_facts *facts)
{
    return facts->is_13 ? "TLSv1.3" : "TLSv1.2";
}

/* Without the head. */
static size_t body_len(const struct response *response)
{
    return response->head_only ? 0 : response_body(response).len;
}

static void print_text(const struct access *access, const struct response *response,
                       struct span sent, const struct http_request *request, struct text *line)
{
    const struct tls_facts *facts = &access->facts;
    text_printf(line, "%s - - [", access->client);
    append_clf_time(line, access->now);
    text_append(line, span_of("]"));
    append_quoted(line, first_line(sent), LIMIT_LOG_REQUEST);
    text_printf(line, " %u %zu", response->status, body_len(response));
    append_quoted(line, request->referer, LIMIT_LOG_REFERER);
    append_quoted(line, request->agent, LIMIT_LOG_AGENT);
    if (response->plain)
        text_append(line, span_of(" - - -"));
    else
        text_printf(line, " mta-sts.%s %s %s", site_name(facts->domain), version_of(facts),
                    facts->cipher);
    text_printf(line, " %" PRId64 ".%06" PRId64, access->took_us / 1000000,
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

static void open_json(struct text *line, const struct access *access, const char *message)
{
    json_open(line, NULL, '{');
    json_text(line, "time", calendar_iso_time(access->now).text);
    json_text(line, "level", "info");
    if (message != NULL)
        json_text(line, "message", message);
    json_text(line, "client", access->client);
}

static void close_json(struct text *line, const struct access *access)
{
    json_printf(line, "seconds", "%" PRId64 ".%06" PRId64, access->took_us / 1000000,
                access->took_us % 1000000);
    json_close(line, '}');
}

static void print_json(const struct access *access, const struct response *response,
                       struct span sent, const struct http_request *request, struct text *line)
{
    open_json(line, access, NULL);
    append_member(line, "request", first_line(sent), LIMIT_LOG_REQUEST);
    json_number(line, "status", response->status);
    json_number(line, "bytes", (int64_t)body_len(response));
    append_member(line, "referer", request->referer, LIMIT_LOG_REFERER);
    append_member(line, "user_agent", request->agent, LIMIT_LOG_AGENT);
    if (!response->plain) {
        json_printf(line, "sni", "\"mta-sts.%s\"", site_name(access->facts.domain));
        json_text(line, "tls_version", version_of(&access->facts));
        json_text(line, "tls_cipher", access->facts.cipher);
    }
    close_json(line, access);
}

static void write_line(struct text *line)
{
    if (line->failed)
        log_lose(); /* memory is short, which is told elsewhere */
    else
        log_record(LOG_LEVEL_INFO, (struct span){line->data, line->len});
    text_free(line);
}

/* Of what is no request that we read the names are empty. */
static void log_answer(const struct connection *connection, struct span sent,
                       const struct http_request *request)
{
    const struct response *response = &connection->answer.response;
    struct text line = {0};
    if (connection->endpoint->service != ENDPOINT_POLICIES || !is_logged(response->status))
        return;
    const struct access access = access_of(connection);
    (log_style()->json ? print_json : print_text)(&access, response, sent, request, &line);
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

static const struct {
    enum stats_counter counter;
    const char *reason;
} failures[] = {
    [TLS_FAILURE_PROTOCOL] = {STATS_HANDSHAKE_PROTOCOL, "the client violates the TLS protocol"},
    [TLS_FAILURE_NO_NAME] = {STATS_HANDSHAKE_NO_NAME, "the client named no host"},
    [TLS_FAILURE_UNKNOWN_NAME] = {STATS_HANDSHAKE_UNKNOWN_NAME,
                                  "there is no certificate for that host"},
    [TLS_FAILURE_VERSION] = {STATS_HANDSHAKE_VERSION,
                             "the client supports no TLS version above 1.1"},
    [TLS_FAILURE_NOTHING_IN_COMMON] = {STATS_HANDSHAKE_IN_COMMON,
                                       "no cipher, group, signature or protocol in common"},
    [TLS_FAILURE_REFUSED] = {STATS_HANDSHAKE_REFUSED, "the client refused"},
    [TLS_FAILURE_CLOSED] = {STATS_HANDSHAKE_CLOSED, "the client closed the connection"},
    [TLS_FAILURE_MEMORY] = {STATS_HANDSHAKE_MEMORY, "out of memory"},
    [TLS_FAILURE_TIMEOUT] = {STATS_HANDSHAKE_TIMEOUT, "timeout"},
};

static void print_failure_text(const struct access *access, const char *reason, struct text *line)
{
    const struct tls_facts *facts = &access->facts;
    char alert[ALERT_SIZE];
    text_printf(line, "%s [", access->client);
    append_clf_time(line, access->now);
    text_printf(line, "] handshake failed: %s; SNI", reason);
    append_quoted(line, facts->name, LIMIT_NAME + 1);
    if (facts->alert_sent >= 0)
        text_printf(line, "; alert sent %s", alert_text(facts->alert_sent, alert));
    if (facts->alert_received >= 0)
        text_printf(line, "; alert received %s", alert_text(facts->alert_received, alert));
    text_printf(line, "; %" PRId64 ".%06" PRId64, access->took_us / 1000000,
                access->took_us % 1000000);
}

static void print_failure_json(const struct access *access, const char *reason, struct text *line)
{
    const struct tls_facts *facts = &access->facts;
    char alert[ALERT_SIZE];
    open_json(line, access, "handshake failed");
    json_text(line, "reason", reason);
    if (facts->name.len > 0)
        append_member(line, "sni", facts->name, LIMIT_NAME + 1);
    if (facts->alert_sent >= 0)
        json_text(line, "alert_sent", alert_text(facts->alert_sent, alert));
    if (facts->alert_received >= 0)
        json_text(line, "alert_received", alert_text(facts->alert_received, alert));
    close_json(line, access);
}

void answer_tell_left_out(struct answer_rate *rate, int64_t now)
{
    if (now < rate->until)
        return;
    if (rate->left_out > 0)
        log_line(LOG_LEVEL_NOTICE,
                 "%" PRIu64
                 " more failed handshakes have no line: a worker writes at most %d a second",
                 rate->left_out, LIMIT_LOG_HANDSHAKES);
    *rate = (struct answer_rate){.until = now + 1000};
}

int64_t answer_next(const struct answer_rate *rate)
{
    return rate->left_out > 0 ? rate->until : INT64_MAX;
}

/* A client that left without a byte, as a port scan does, has no line. */
void answer_failed_handshake(const struct connection *connection, enum tls_failure failure,
                             int64_t now)
{
    struct answer_rate *rate = &connection->setting->rate;
    struct text line = {0};
    stats_count(connection->setting->stats, failures[failure].counter);
    if (log_style()->access == LOG_ACCESS_OFF)
        return;
    if (failure == TLS_FAILURE_CLOSED &&
        (connection->session == NULL || tls_session_facts(connection->session).is_silent))
        return;
    answer_tell_left_out(rate, now);
    if (rate->written == LIMIT_LOG_HANDSHAKES) {
        rate->left_out++;
        return;
    }
    rate->written++;
    const struct access access = access_of(connection);
    (log_style()->json ? print_failure_json : print_failure_text)(&access, failures[failure].reason,
                                                                  &line);
    write_line(&line);
}

void answer_refusal(struct connection *connection, struct span sent, enum http_status status,
                    enum http_method method)
{
    static const struct http_request none;
    begin(connection, status, method);
    log_answer(connection, sent, &none);
}

/* The domain that the request is for; NULL when this connection does not speak for it:
 * behind TLS only for the one whose certificate was shown, and only as https. */
static const struct site_domain *domain_of(const struct connection *connection,
                                           const struct http_request *request)
{
    const struct site_domain *named =
        request->has_host ? site_find_host(connection->setting->site, request->host) : NULL;
    if (connection->endpoint->plain)
        return named;
    const struct site_domain *shown = tls_session_facts(connection->session).domain;
    return request->plain_scheme || (request->has_host && named != shown) ? NULL : shown;
}

/* The host is written as we know it, not as the client did. */
static enum http_status lead_to_https(const struct connection *connection,
                                      const struct http_request *request, struct text *ret_location)
{
    const struct site_domain *domain =
        request->has_host ? site_find_host(connection->setting->site, request->host) : NULL;
    struct span path = request->path, rest = path, file;

    /* A policy with a query is the same file, so that is no way around the rule either. */
    (void)span_take(&rest, '?', &file); /* most have no query */
    if (domain == NULL || span_equal(file, span_of("/.well-known/mta-sts.txt")) ||
        path.len > LIMIT_REDIRECT_PATH)
        return HTTP_NOT_FOUND;
    text_printf(ret_location, "https://mta-sts.%s", site_name(domain));
    text_append(ret_location, path.len == 0 || path.data[0] != '/' ? span_of("/") : span_of(""));
    text_append(ret_location, path);
    return HTTP_PERMANENT_REDIRECT;
}

/* 200 with the body in ret_body, 308 with where to go in ret_location, or 404. */
static enum http_status answer_authority(const struct connection *connection,
                                         const struct http_request *request, struct text *ret_body,
                                         struct text *ret_location)
{
    static const char folder[] = "/.well-known/acme-challenge/";
    struct challenge_answer answer;

    if (!request->has_path || (request->method != HTTP_GET && request->method != HTTP_HEAD))
        return HTTP_NOT_FOUND;
    if (!span_begins_fold(request->path, span_of(folder)))
        return connection->endpoint->redirect ? lead_to_https(connection, request, ret_location)
                                              : HTTP_NOT_FOUND;
    if (memcmp(request->path.data, folder, sizeof(folder) - 1) != 0 ||
        !challenges_find(connection->setting->challenges, CHALLENGE_HTTP,
                         span_skip(request->path, sizeof(folder) - 1), &answer))
        return HTTP_NOT_FOUND;
    text_append(ret_body, (struct span){(const char *)answer.bytes, answer.answer_len});
    return HTTP_OK;
}

/* A HEAD brings no policy, and one who is refused got none. */
static void record_fetch(const struct connection *connection, const struct http_request *request,
                         const struct site_domain *domain)
{
    struct fetch_record record = {.last = clock_real_us()};
    if (request->method != HTTP_GET || !connection->setting->records_fetches)
        return;
    fetch_record_set(record.domain, sizeof(record.domain), site_name_span(domain));
    fetch_record_set(record.agent, sizeof(record.agent), request->agent);
    fetch_record_set(record.id, sizeof(record.id), span_of(policy_id(site_policy(domain))));
    print_client(connection, true, record.network);
    size_t len = strlen(record.network);
    if (strcmp(record.network, "unix") != 0)
        (void)snprintf(record.network + len, sizeof(record.network) - len,
                       strchr(record.network, ':') == NULL ? "/24" : "/48"); /* it fits */
    stats_record_fetch(connection->setting->stats, &record);
}

/* Writes the head before the body. */
static void build_document(struct answer *answer, const char *type, struct span body)
{
    char head[LIMIT_RESPONSE_HEAD];
    size_t len = response_render_head(&answer->response, type, body.len, head);
    text_append(&answer->document, (struct span){head, len});
    if (!answer->response.head_only)
        text_append(&answer->document, body);
}

bool answer_request(struct connection *connection, struct span sent,
                    const struct http_request *request)
{
    struct answer *answer = &connection->answer;
    struct response *response = &answer->response;
    const struct site_domain *domain = NULL;
    struct text body = {0}, location = {0};
    const char *type = "application/octet-stream";
    struct span policy = {NULL, 0};
    enum http_status status = HTTP_NONE;

    switch (connection->endpoint->service) {
    case ENDPOINT_METRICS:
        status = monitor_answer(connection, request, &body, &type);
        break;
    case ENDPOINT_CHALLENGES:
        status = answer_authority(connection, request, &body, &location);
        break;
    case ENDPOINT_POLICIES:
        domain = domain_of(connection, request);
        if (domain != NULL && site_policy(domain) != NULL)
            policy = policy_body(site_policy(domain));
        status = http_judge(request, domain != NULL, policy.len > 0);
    }
    begin(connection, status, request->method);
    if (!connection->setting->draining && connection->requests + 1 < LIMIT_REQUESTS_A_CONNECTION)
        response->persistence = request->persistence;
    response->policy = policy;
    response->location = location.data;
    if (status == HTTP_PERMANENT_REDIRECT)
        build_document(answer, "text/plain", response_body(response));
    else if (body.len > 0 || (status == HTTP_OK && domain == NULL))
        build_document(answer, type, (struct span){body.data, body.len});
    else if (status == HTTP_OK)
        record_fetch(connection, request, domain);
    bool good = !body.failed && !location.failed && !answer->document.failed;
    response->location = NULL;
    if (good)
        log_answer(connection, sent, request);
    text_free(&body);
    text_free(&location);
    return good;
}
