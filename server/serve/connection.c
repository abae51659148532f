#include "serve/connection.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "http/http.h"
#include "serve/acme_http.h"
#include "serve/monitor.h"
#include "shared/client_address.h"

enum connection_state {
    STATE_INTRODUCTION, /* a proxy says for whom it connects */
    STATE_HANDSHAKE,
    STATE_REQUEST,
    STATE_RESPONSE,
    STATE_CLOSING,   /* close_notify is on its way */
    STATE_LINGERING, /* all is sent; what still comes is thrown away */
};

/* Reads in one go while lingering, so that a client which never stops sending
 * does not hold up the others. */
enum { DISCARDS_AT_ONCE = 8 };

/* Values that no other memory holds by chance. */
enum connection_tag {
    TAG_OPEN = 0x6e65706f,
    TAG_ENDED = 0x646e652e,
    TAG_FREED = 0x65657266,
};

struct connection {
    enum connection_tag tag;
    const struct connection_setting *setting; /* borrowed */
    struct tls_session *session;              /* owned; NULL before the first byte and at the end */
    struct timer timer;
    struct network_member member;
    const struct endpoint *endpoint; /* borrowed */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } client;
    int fd; /* owned */
    enum connection_state state;
    enum connection_wish wish;
    unsigned requests;        /* answered so far */
    struct response response; /* in STATE_RESPONSE */
    struct text document;     /* the whole of it, if it is no policy and no error; else empty */
    size_t sent;              /* bytes of it */
    size_t received;          /* bytes of requests that are not answered yet */
    int64_t begun_us;         /* the time for the answer: since accept, or since the last one */
    char *held;               /* owned; these bytes while others go on; NULL when there are none */
    struct connection *next;  /* borrowed; in a list of its owner */
};

/* What a state says after it did what it could. */
enum step {
    STEP_ON, /* there is another state to go on with */
    STEP_READ,
    STEP_WRITE,
    STEP_MEMORY,
    STEP_OVER,
};

static void set_client(struct connection *connection, const struct sockaddr *client)
{
    if (client->sa_family == AF_INET)
        memcpy(&connection->client.v4, client, sizeof(connection->client.v4));
    else if (client->sa_family == AF_INET6)
        memcpy(&connection->client.v6, client, sizeof(connection->client.v6));
}

static bool is_believed_proxy(const struct endpoint *endpoint, const struct sockaddr *client)
{
    for (size_t i = 0; i < endpoint->proxy_count; i++)
        if (prefix_contains(&endpoint->proxies[i], client))
            return true;
    return false;
}

struct connection *connection_new(const struct connection_setting *setting, int fd,
                                  const struct endpoint *endpoint, const struct sockaddr *client,
                                  int64_t now)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        return NULL;
    connection->tag = TAG_OPEN;
    connection->setting = setting;
    connection->fd = fd;
    connection->endpoint = endpoint;
    connection->begun_us = clock_monotonic_us();
    set_client(connection, client);
    connection->timer.owner = connection;
    connection->member.owner = connection;
    if (is_believed_proxy(endpoint, client)) {
        timers_start(setting->timers, &connection->timer, TIMER_INTRODUCTION, now);
    } else {
        connection->state = STATE_HANDSHAKE;
        timers_start(setting->timers, &connection->timer, TIMER_UNFINISHED, now);
    }
    return connection;
}

void connection_end(struct connection *connection)
{
    assert(connection->tag == TAG_OPEN && connection->member.network == NULL);
    connection->tag = TAG_ENDED;
    timers_stop(connection->setting->timers, &connection->timer);
    tls_session_free(connection->session);
    connection->session = NULL;
    free(connection->held);
    connection->held = NULL;
    text_free(&connection->document);
    (void)close(connection->fd); /* A failed close has closed too. */
    connection->fd = -1;
}

bool connection_has_ended(const struct connection *connection)
{
    assert(connection->tag == TAG_OPEN || connection->tag == TAG_ENDED);
    return connection->tag == TAG_ENDED;
}

struct connection **connection_next(struct connection *connection)
{
    return &connection->next;
}

void connection_free(struct connection *connection)
{
    if (connection == NULL)
        return;
    if (!connection_has_ended(connection))
        connection_end(connection);
    connection->tag = TAG_FREED;
    free(connection);
}

int connection_fd(const struct connection *connection)
{
    return connection->fd;
}

enum connection_wish connection_wish(const struct connection *connection)
{
    return connection->wish;
}

const struct sockaddr *connection_client(const struct connection *connection)
{
    return &connection->client.any;
}

int64_t connection_deadline(const struct connection *connection)
{
    return connection->timer.deadline;
}

struct network_member *connection_member(struct connection *connection)
{
    return &connection->member;
}

enum network_stage connection_stage(const struct connection *connection)
{
    if (connection->state == STATE_INTRODUCTION || connection->state == STATE_HANDSHAKE)
        return NETWORK_HANDSHAKE;
    switch (connection->timer.kind) {
    case TIMER_LINGERING:
        return NETWORK_LINGERING;
    case TIMER_IDLE:
        return NETWORK_IDLE;
    case TIMER_INTRODUCTION:
    case TIMER_UNFINISHED:
    default:
        return NETWORK_BUSY;
    }
}

/* Ends our half: after this nothing can be sent. */
static enum step hang_up(struct connection *connection, int64_t now)
{
    tls_session_free(connection->session);
    connection->session = NULL;
    connection->received = 0;
    if (connection->timer.kind != TIMER_LINGERING)
        timers_start(connection->setting->timers, &connection->timer, TIMER_LINGERING, now);
    connection->state = STATE_LINGERING;
    return shutdown(connection->fd, SHUT_WR) == 0 ? STEP_READ : STEP_OVER;
}

/* While a response is on its way its deadline stands; one who was idle has a
 * little time to take our last words. */
static enum step begin_close(struct connection *connection, int64_t now)
{
    if (connection->timer.kind == TIMER_IDLE)
        timers_start(connection->setting->timers, &connection->timer, TIMER_LINGERING, now);
    connection->state = STATE_CLOSING;
    return STEP_ON;
}

/* What follows the header belongs to the next state and stays in the kernel: so
 * the bytes are looked at before they are taken. */
static enum step step_proxy_header(struct connection *connection, int64_t now)
{
    char header[LIMIT_PROXY_HEADER];
    struct sockaddr_storage client;
    size_t consumed = connection->received;
    memcpy(header, connection->setting->request, connection->received);
    ssize_t seen = recv(connection->fd, header + connection->received,
                        sizeof(header) - connection->received, MSG_PEEK);
    if (seen < 0 && (errno == EAGAIN || errno == EINTR))
        return STEP_READ;
    if (seen <= 0)
        return STEP_OVER;
    size_t len = connection->received + (size_t)seen;
    enum proxy_progress progress = proxy_parse((struct span){header, len}, &consumed, &client);
    if (progress == PROXY_MALFORMED)
        return STEP_OVER;
    size_t taken = progress == PROXY_PARTIAL ? (size_t)seen : consumed - connection->received;
    if (recv(connection->fd, connection->setting->request + connection->received, taken, 0) !=
        (ssize_t)taken)
        return STEP_OVER;
    connection->received += taken;
    if (progress == PROXY_PARTIAL)
        return STEP_READ;
    connection->received = 0;
    set_client(connection, (const struct sockaddr *)&client);
    connection->state = STATE_HANDSHAKE;
    timers_start(connection->setting->timers, &connection->timer, TIMER_UNFINISHED, now);
    return STEP_ON;
}

static void tell_shortage(const struct connection *connection, const char *what, int64_t now)
{
    shortage_tell(connection->setting->shortage, what, ENOMEM, now);
}

static void count(const struct connection *connection, enum stats_counter counter)
{
    stats_count(connection->setting->stats, counter);
}

static const struct failure {
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
};
static const struct failure timed_out = {STATS_HANDSHAKE_TIMEOUT, "timeout"};

/* Counts the failure, and logs it unless the client left without a byte, as those do that only look
 * whether the port is open. */
static void note_failure(const struct connection *connection, const struct failure *failure,
                         int64_t now)
{
    struct tls_story story = {.alert_sent = TLS_NO_ALERT, .alert_received = TLS_NO_ALERT};
    count(connection, failure->counter);
    if (connection->session != NULL)
        story = tls_session_story(connection->session);
    if (failure == &failures[TLS_FAILURE_CLOSED] &&
        (connection->session == NULL || story.is_silent))
        return;
    const struct access_failure logged = {
        .client = connection_client(connection),
        .reason = failure->reason,
        .name = story.name,
        .alert_sent = story.alert_sent,
        .alert_received = story.alert_received,
        .took_us = clock_monotonic_us() - connection->begun_us,
        .now = time(NULL),
    };
    access_log_failure(connection->setting->rate, &logged, now);
}

static enum step step_handshake(struct connection *connection, int64_t now)
{
    if (connection->endpoint->plain) {
        connection->state = STATE_REQUEST;
        return STEP_ON;
    }
    if (connection->session == NULL)
        connection->session = tls_session_new(connection->setting->tls, connection->fd);
    if (connection->session == NULL)
        return STEP_MEMORY;
    switch (tls_handshake(connection->session)) {
    case TLS_DONE:
        count(connection, tls_session_is_13(connection->session) ? STATS_HANDSHAKE_TLS13
                                                                 : STATS_HANDSHAKE_TLS12);
        if (tls_session_is_challenge(connection->session))
            return begin_close(connection, now);
        connection->state = STATE_REQUEST;
        return STEP_ON;
    case TLS_WANT_READ:
        return STEP_READ;
    case TLS_WANT_WRITE:
        return STEP_WRITE;
    case TLS_UNPREPARED:
        return STEP_MEMORY;
    case TLS_SHORT:
        tell_shortage(connection, "finish a TLS handshake", now);
        break;
    case TLS_CLOSED:
    case TLS_TOO_LONG:
    case TLS_FAILED:
        break;
    }
    note_failure(connection, &failures[tls_session_failure(connection->session)], now);
    return hang_up(connection, now);
}

static const struct {
    enum http_status status;
    enum stats_counter counter;
} fetches[] = {
    {HTTP_OK, STATS_FETCH_200},          {HTTP_BAD_REQUEST, STATS_FETCH_400},
    {HTTP_NOT_FOUND, STATS_FETCH_404},   {HTTP_METHOD_NOT_ALLOWED, STATS_FETCH_405},
    {HTTP_MISDIRECTED, STATS_FETCH_421}, {HTTP_HEADERS_TOO_LARGE, STATS_FETCH_431},
    {HTTP_UNAVAILABLE, STATS_FETCH_503}, {HTTP_VERSION_NOT_SUPPORTED, STATS_FETCH_505},
};

static void count_fetch(const struct connection *connection, enum http_status status)
{
    for (size_t i = 0; i < sizeof(fetches) / sizeof(fetches[0]); i++)
        if (fetches[i].status == status && connection->endpoint->service == ENDPOINT_POLICIES)
            count(connection, fetches[i].counter);
}

/* Has an answer ready, the last one of this connection. */
static void begin_response(struct connection *connection, enum http_status status,
                           enum http_method method)
{
    connection->response = (struct response){
        .status = status,
        .date = time(NULL),
        .head_only = method == HTTP_HEAD,
        .persistence = HTTP_CLOSE,
        .plain = connection->endpoint->plain,
    };
    connection->sent = 0;
    connection->state = STATE_RESPONSE;
    count_fetch(connection, status);
}

static enum http_persistence persistence_of(const struct connection *connection,
                                            const struct http_request *request)
{
    bool last = connection->requests + 1 >= LIMIT_REQUESTS_A_CONNECTION;
    return last || connection->setting->draining ? HTTP_CLOSE : request->persistence;
}

/* The domain that the request is for; NULL when this connection does not speak for it:
 * behind TLS only for the one whose certificate was shown, and only as https. */
static const struct site_domain *domain_of(const struct connection *connection,
                                           const struct http_request *request)
{
    const struct site *site = connection->setting->site;
    const struct site_domain *named =
        request->has_host ? site_find_host(site, request->host) : NULL;
    if (connection->endpoint->plain)
        return named;
    const struct site_domain *shown = tls_session_domain(connection->session);
    return request->plain_scheme || (request->has_host && named != shown) ? NULL : shown;
}

/* The answer to what was sent is ready. request is NULL when that was no request. */
static void note_answer(struct connection *connection, struct span sent,
                        const struct http_request *request)
{
    const struct response *response = &connection->response;
    const struct tls_session *session = connection->session;
    if (connection->endpoint->service != ENDPOINT_POLICIES || !access_is_logged(response->status))
        return;
    struct access access = {
        .client = connection_client(connection),
        .request = sent,
        .status = response->status,
        .body_len = response_body_len(response),
        .took_us = clock_monotonic_us() - connection->begun_us,
        .now = response->date,
    };
    if (request != NULL) {
        access.referer = request->referer;
        access.agent = request->agent;
    }
    if (!connection->endpoint->plain) {
        access.domain = site_name(tls_session_domain(session));
        access.version = tls_session_is_13(session) ? "TLSv1.3" : "TLSv1.2";
        access.cipher = tls_session_cipher(session);
    }
    access_log(&access);
}

/* Writes the head before the body that is there. */
static void build_document(struct connection *connection, const char *type, struct span body)
{
    const struct response *response = &connection->response;
    char head[LIMIT_RESPONSE_HEAD];
    size_t len = response_render_head(response, type, body.len, head);
    text_append(&connection->document, (struct span){head, len});
    if (!response->head_only)
        text_append(&connection->document, body);
}

/* False when memory is short. */
static bool answer_monitor(struct connection *connection, const struct http_request *request)
{
    const struct connection_setting *setting = connection->setting;
    const struct monitor monitor = {
        .stats = setting->stats,
        .site = setting->site,
        .now = time(NULL),
        .draining = setting->draining,
    };
    struct text body = {0};
    const char *type = NULL;
    begin_response(connection, monitor_answer(&monitor, request, &body, &type), request->method);
    connection->response.persistence = persistence_of(connection, request);
    if (body.len > 0 || connection->response.status == HTTP_OK)
        build_document(connection, type, (struct span){body.data, body.len});
    bool good = !body.failed && !connection->document.failed;
    text_free(&body);
    return good;
}

/* A HEAD brings no policy, and one who is refused got none. */
static void record_fetch(const struct connection *connection, const struct http_request *request,
                         const struct site_domain *domain)
{
    struct fetch_record visit = {.last = clock_real_us()};
    if (connection->response.status != HTTP_OK || request->method != HTTP_GET ||
        !connection->setting->records_fetches)
        return;
    fetch_record_set(visit.domain, sizeof(visit.domain), site_name_span(domain));
    fetch_record_set(visit.agent, sizeof(visit.agent), request->agent);
    fetch_record_set(visit.id, sizeof(visit.id), span_of(policy_id(site_policy(domain))));
    client_address_print_network(connection_client(connection), visit.network);
    stats_record_fetch(connection->setting->stats, &visit);
}

/* False when memory is short. */
static bool answer_authority(struct connection *connection, const struct http_request *request)
{
    const struct connection_setting *setting = connection->setting;
    const struct acme_http validation = {
        .challenges = setting->challenges,
        .site = setting->site,
        .redirect = connection->endpoint->redirect,
    };
    struct response *response = &connection->response;
    struct text body = {0}, location = {0};
    begin_response(connection, acme_http_answer(&validation, request, &body, &location),
                   request->method);
    response->persistence = persistence_of(connection, request);
    response->location = location.data;
    if (response->status == HTTP_OK)
        build_document(connection, "application/octet-stream", (struct span){body.data, body.len});
    else if (response->status == HTTP_PERMANENT_REDIRECT)
        build_document(connection, "text/plain", response_body(response));
    bool good = !body.failed && !location.failed && !connection->document.failed;
    response->location = NULL;
    text_free(&body);
    text_free(&location);
    return good;
}

static void answer_sender(struct connection *connection, const struct http_request *request)
{
    const struct site_domain *domain = domain_of(connection, request);
    bool has_policy = domain != NULL && site_policy(domain) != NULL;
    struct response *response = &connection->response;

    begin_response(connection, http_judge(request, domain != NULL, has_policy), request->method);
    if (has_policy)
        response->policy = policy_body(site_policy(domain));
    response->persistence = persistence_of(connection, request);
    if (has_policy)
        record_fetch(connection, request, domain);
}

/* Judges the request and has the answer ready. False when memory is short. */
static bool answer(struct connection *connection, const struct http_request *request)
{
    switch (connection->endpoint->service) {
    case ENDPOINT_METRICS:
        return answer_monitor(connection, request);
    case ENDPOINT_CHALLENGES:
        return answer_authority(connection, request);
    case ENDPOINT_POLICIES:
        break;
    }
    answer_sender(connection, request);
    return true;
}

/* In TLS 1.3 the client's last words of the handshake want no answer. A client
 * with Nagle's algorithm holds its request back until they are acknowledged,
 * and without a word from us the kernel would wait 40 ms with that. */
static void acknowledge_handshake(const struct connection *connection)
{
    const int on = 1;

    if (connection->requests == 0 && connection->received == 0)
        /* Without it the request comes later, but it comes. */
        (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

/* Behind a proxy that ends TLS the results mean the same. */
static enum tls_result plain_result(ssize_t done, enum tls_result again, size_t *ret_len)
{
    if (done < 0)
        return errno == EAGAIN || errno == EINTR ? again : TLS_FAILED;
    *ret_len = (size_t)done;
    return TLS_DONE;
}

static enum tls_result conn_read(struct connection *connection, char *buf, size_t size,
                                 size_t *ret_len)
{
    if (!connection->endpoint->plain)
        return tls_read(connection->session, buf, size, ret_len);
    ssize_t got = recv(connection->fd, buf, size, 0);
    return got == 0 ? TLS_CLOSED : plain_result(got, TLS_WANT_READ, ret_len);
}

static enum tls_result conn_write(struct connection *connection, const char *data, size_t len,
                                  size_t *ret_len)
{
    if (!connection->endpoint->plain)
        return tls_write(connection->session, data, len, ret_len);
    return plain_result(send(connection->fd, data, len, MSG_NOSIGNAL), TLS_WANT_WRITE, ret_len);
}

static enum step read_request(struct connection *connection, int64_t now)
{
    bool between = connection->received == 0 && connection->requests > 0;
    size_t len;

    switch (conn_read(connection, connection->setting->request + connection->received,
                      LIMIT_REQUEST_HEAD - connection->received, &len)) {
    case TLS_DONE:
        connection->received += len;
        if (between)
            connection->begun_us = clock_monotonic_us();
        if (between)
            timers_start(connection->setting->timers, &connection->timer, TIMER_UNFINISHED, now);
        return STEP_ON;
    case TLS_WANT_READ:
        acknowledge_handshake(connection);
        return between && connection->setting->draining ? begin_close(connection, now) : STEP_READ;
    case TLS_WANT_WRITE:
        return STEP_WRITE;
    case TLS_CLOSED:
        return begin_close(connection, now);
    case TLS_TOO_LONG:
        begin_response(connection, HTTP_HEADERS_TOO_LARGE, HTTP_GET);
        note_answer(connection, (struct span){connection->setting->request, connection->received},
                    NULL);
        return STEP_ON;
    case TLS_UNPREPARED:
    case TLS_SHORT:
    case TLS_FAILED:
        break;
    }
    return hang_up(connection, now);
}

/* What the buffer holds comes first: a client that has already sent close_notify
 * still waits for its answers. */
static enum step step_request(struct connection *connection, int64_t now)
{
    struct span input = {connection->setting->request, connection->received};
    struct http_request request;
    enum http_status status;
    size_t consumed = connection->received;
    enum http_progress progress = http_parse(input, &request, &consumed, &status);

    if (progress == HTTP_PARTIAL)
        return read_request(connection, now);
    if (progress == HTTP_COMPLETE) {
        if (!answer(connection, &request)) {
            tell_shortage(connection, "answer a request", now);
            return STEP_OVER;
        }
    } else
        begin_response(connection, status, request.method);
    note_answer(connection, input, progress == HTTP_COMPLETE ? &request : NULL);
    connection->received -= consumed;
    memmove(connection->setting->request, connection->setting->request + consumed,
            connection->received);
    return STEP_ON;
}

/* A response leaves with what follows it: with close_notify, or with the next
 * one when its request is here already. */
static enum step finish_response(struct connection *connection, int64_t now)
{
    text_free(&connection->document);
    if (connection->response.persistence == HTTP_CLOSE)
        return begin_close(connection, now);
    if (connection->received == 0) {
        enum tls_result result =
            connection->endpoint->plain ? TLS_DONE : tls_flush(connection->session);
        if (result != TLS_DONE)
            return result == TLS_WANT_WRITE ? STEP_WRITE : hang_up(connection, now);
    }
    connection->requests++;
    connection->begun_us = clock_monotonic_us();
    timers_start(connection->setting->timers, &connection->timer,
                 connection->received == 0 ? TIMER_IDLE : TIMER_UNFINISHED, now);
    connection->state = STATE_REQUEST;
    return STEP_ON;
}

/* The response is rendered anew for every write: that costs less than keeping
 * ten kilobytes in every connection for the rare one that needs two. */
static enum step step_response(struct connection *connection, int64_t now)
{
    char bytes[RESPONSE_SIZE];
    const struct text *document = &connection->document;
    const char *all = document->len > 0 ? document->data : bytes;
    size_t len = document->len > 0 ? document->len : response_render(&connection->response, bytes);

    while (connection->sent < len) {
        size_t written;
        switch (conn_write(connection, all + connection->sent, len - connection->sent, &written)) {
        case TLS_DONE:
            connection->sent += written;
            break;
        case TLS_WANT_READ:
            return STEP_READ;
        case TLS_WANT_WRITE:
            return STEP_WRITE;
        case TLS_CLOSED:
        case TLS_TOO_LONG:
        case TLS_UNPREPARED:
        case TLS_SHORT:
        case TLS_FAILED:
            return hang_up(connection, now);
        }
    }
    return finish_response(connection, now);
}

static enum step step_closing(struct connection *connection, int64_t now)
{
    switch (connection->endpoint->plain ? TLS_DONE : tls_close(connection->session)) {
    case TLS_WANT_READ:
        return STEP_READ;
    case TLS_WANT_WRITE:
        return STEP_WRITE;
    case TLS_DONE:
    case TLS_CLOSED:
    case TLS_TOO_LONG:
    case TLS_UNPREPARED:
    case TLS_SHORT:
    case TLS_FAILED:
        break;
    }
    return hang_up(connection, now);
}

/* True for one record that can be the client's close_notify. TLS 1.3 says only inside the seal that it is
 * an alert, so there its length has to tell (RFC 8446 section 5.2). */
static bool is_close_notify(const char *bytes, size_t len)
{
    enum { HEADER = 5, SEALED_ALERT = 2 + 1 + 16, ALERT = 21, APPLICATION_DATA = 23 };
    const unsigned char *header = (const unsigned char *)bytes;
    if (len < HEADER || len != HEADER + (size_t)(header[3] << 8 | header[4]))
        return false;
    return header[0] == ALERT || (header[0] == APPLICATION_DATA && len == HEADER + SEALED_ALERT);
}

/* Closing a socket with unread bytes resets it, and a reset may overtake what
 * we sent last. So we read until the client says that nothing more comes, hangs up, or
 * the time is over. */
static enum step step_lingering(struct connection *connection, int64_t now)
{
    char discarded[4096];
    (void)now; /* The timer was started when our half ended. */
    for (int i = 0; i < DISCARDS_AT_ONCE; i++) {
        ssize_t got = recv(connection->fd, discarded, sizeof(discarded), 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return STEP_READ;
        if (got <= 0 || is_close_notify(discarded, (size_t)got))
            return STEP_OVER;
        if ((size_t)got < sizeof(discarded))
            break; /* most likely the end is still to come */
    }
    return STEP_READ;
}

static enum step (*const states[])(struct connection *, int64_t) = {
    [STATE_INTRODUCTION] = step_proxy_header, [STATE_HANDSHAKE] = step_handshake,
    [STATE_REQUEST] = step_request,           [STATE_RESPONSE] = step_response,
    [STATE_CLOSING] = step_closing,           [STATE_LINGERING] = step_lingering,
};

static const enum connection_wish wishes[] = {
    [STEP_READ] = CONNECTION_READ,
    [STEP_WRITE] = CONNECTION_WRITE,
    [STEP_MEMORY] = CONNECTION_MEMORY,
    [STEP_OVER] = CONNECTION_OVER,
};

/* All connections of a worker read into the same place. */
static void restore_partial_request(struct connection *connection)
{
    if (connection->held == NULL)
        return;
    memcpy(connection->setting->request, connection->held, connection->received);
    free(connection->held);
    connection->held = NULL;
}

/* Makes way for another connection; most have nothing to keep. */
static bool save_partial_request(struct connection *connection)
{
    if (connection->received > 0) {
        connection->held = malloc(connection->received);
        if (connection->held == NULL)
            return false;
        memcpy(connection->held, connection->setting->request, connection->received);
    }
    return connection->session == NULL || tls_leave(connection->session);
}

void connection_advance(struct connection *connection, int64_t now)
{
    enum step step;

    assert(connection->tag == TAG_OPEN);
    restore_partial_request(connection);
    do
        step = states[connection->state](connection, now);
    while (step == STEP_ON);
    /* A connection that waits for memory goes on at once, and has none to save what it read. */
    if (step != STEP_MEMORY && !save_partial_request(connection)) {
        tell_shortage(connection, "keep a part of a request", now);
        step = STEP_OVER;
    }
    connection->wish = wishes[step];
}

void connection_break(struct connection *connection, int64_t now)
{
    enum tls_failure failure = TLS_FAILURE_CLOSED;
    assert(connection->tag == TAG_OPEN);
    connection->wish = CONNECTION_OVER;
    if (connection->state != STATE_HANDSHAKE || connection->endpoint->plain)
        return;
    if (connection->session != NULL) {
        tls_hear_alert(connection->session);
        failure = tls_session_failure(connection->session);
    }
    note_failure(connection, &failures[failure], now);
}

void connection_give_up(struct connection *connection, int64_t now)
{
    tell_shortage(connection, "begin a TLS session", now);
    note_failure(connection, &failures[TLS_FAILURE_MEMORY], now);
    connection->wish = CONNECTION_OVER;
}

void connection_expire(struct connection *connection, int64_t now)
{
    assert(connection->tag == TAG_OPEN);
    if (connection->timer.kind == TIMER_IDLE) {
        (void)begin_close(connection, now); /* It always goes on. */
        connection_advance(connection, now);
    } else {
        if (connection->state == STATE_HANDSHAKE)
            note_failure(connection, &timed_out, now);
        connection->wish = CONNECTION_OVER;
    }
}
