#include "serve/connection.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "http/http.h"

/* Reads in one go while lingering, so that a client which never stops sending
 * does not hold up the others. */
enum { DISCARDS_AT_ONCE = 8 };

static const int64_t durations[TIMER_KINDS] = {
    [TIMER_LINGERING] = LIMIT_LINGER_MS,
    [TIMER_IDLE] = LIMIT_IDLE_MS,
    [TIMER_INTRODUCTION] = LIMIT_INTRODUCTION_MS,
    [TIMER_UNFINISHED] = LIMIT_UNFINISHED_MS,
};

void timers_start(struct timers *timers, struct timer *timer, enum timer_kind kind, int64_t now)
{
    const struct queue_link *newest = timers->queues[kind].newest;
    timers_stop(timers, timer);
    timer->kind = kind;
    timer->running = true;
    timer->deadline = now + durations[kind];
    assert(newest == NULL ||
           ((const struct connection *)newest->owner)->timer.deadline <= timer->deadline);
    queue_enter(&timers->queues[kind], &timer->link);
}

void timers_stop(struct timers *timers, struct timer *timer)
{
    if (timer->running)
        queue_leave(&timers->queues[timer->kind], &timer->link);
    timer->running = false;
}

int64_t timers_begun(const struct timer *timer)
{
    return timer->deadline - durations[timer->kind];
}

struct connection *timers_next(const struct timers *timers)
{
    struct connection *next = NULL;
    for (size_t kind = 0; kind < TIMER_KINDS; kind++) {
        struct connection *oldest = queue_oldest(&timers->queues[kind]);
        if (oldest != NULL && (next == NULL || oldest->timer.deadline < next->timer.deadline))
            next = oldest;
    }
    return next;
}

void shortage_tell(struct shortage *shortage, const char *what, int reason, int64_t now)
{
    shortage->count++;
    if (now < shortage->quiet_until)
        return;
    shortage->quiet_until = now + LIMIT_COMPLAINT_MS;
    log_line(LOG_LEVEL_WARNING, "cannot %s: %s; new clients are refused (logged once a minute)",
             what, strerror(reason));
}

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

static void start_timer(struct connection *connection, enum timer_kind kind, int64_t now)
{
    timers_start(&connection->setting->timers, &connection->timer, kind, now);
}

struct connection *connection_new(struct connection_setting *setting, int fd,
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
    connection->timer.link.owner = connection->member.link.owner = connection;
    if (is_believed_proxy(endpoint, client)) {
        start_timer(connection, TIMER_INTRODUCTION, now);
    } else {
        connection->state = STATE_HANDSHAKE;
        start_timer(connection, TIMER_UNFINISHED, now);
    }
    return connection;
}

void connection_end(struct connection *connection)
{
    assert(connection->tag == TAG_OPEN && connection->member.network == NULL);
    connection->tag = TAG_ENDED;
    timers_stop(&connection->setting->timers, &connection->timer);
    tls_session_free(connection->session);
    connection->session = NULL;
    free(connection->held);
    connection->held = NULL;
    text_free(&connection->answer.document);
    (void)close(connection->fd); /* A failed close has closed too. */
    connection->fd = -1;
}

bool connection_has_ended(const struct connection *connection)
{
    assert(connection->tag == TAG_OPEN || connection->tag == TAG_ENDED);
    return connection->tag == TAG_ENDED;
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

enum network_stage connection_stage(const struct connection *connection)
{
    if (connection->state == STATE_INTRODUCTION || connection->state == STATE_HANDSHAKE)
        return NETWORK_HANDSHAKE;
    if (connection->timer.kind == TIMER_LINGERING)
        return NETWORK_LINGERING;
    return connection->timer.kind == TIMER_IDLE ? NETWORK_IDLE : NETWORK_BUSY;
}

/* Ends our half: after this nothing can be sent. */
static enum connection_wish hang_up(struct connection *connection, int64_t now)
{
    tls_session_free(connection->session);
    connection->session = NULL;
    connection->received = 0;
    if (connection->timer.kind != TIMER_LINGERING)
        start_timer(connection, TIMER_LINGERING, now);
    connection->state = STATE_LINGERING;
    return shutdown(connection->fd, SHUT_WR) == 0 ? CONNECTION_READ : CONNECTION_OVER;
}

/* After a call that did not do all that it should. */
static enum connection_wish wait_or_hang_up(struct connection *connection, enum tls_result result,
                                            int64_t now)
{
    return result == TLS_WANT_READ    ? CONNECTION_READ
           : result == TLS_WANT_WRITE ? CONNECTION_WRITE
                                      : hang_up(connection, now);
}

/* While a response is on its way its deadline stands; one who was idle has a
 * little time to take our last words. */
static enum connection_wish begin_close(struct connection *connection, int64_t now)
{
    if (connection->timer.kind == TIMER_IDLE)
        start_timer(connection, TIMER_LINGERING, now);
    connection->state = STATE_CLOSING;
    return CONNECTION_GO_ON;
}

/* What follows the header belongs to the next state and stays in the kernel: so
 * the bytes are looked at before they are taken. */
static enum connection_wish step_proxy_header(struct connection *connection, int64_t now)
{
    char header[LIMIT_PROXY_HEADER];
    struct sockaddr_storage client;
    size_t consumed = connection->received;
    memcpy(header, connection->setting->request, connection->received);
    ssize_t seen = recv(connection->fd, header + connection->received,
                        sizeof(header) - connection->received, MSG_PEEK);
    if (seen < 0 && (errno == EAGAIN || errno == EINTR))
        return CONNECTION_READ;
    if (seen <= 0)
        return CONNECTION_OVER;
    size_t len = connection->received + (size_t)seen;
    enum proxy_progress progress = proxy_parse((struct span){header, len}, &consumed, &client);
    if (progress == PROXY_MALFORMED)
        return CONNECTION_OVER;
    size_t taken = progress == PROXY_PARTIAL ? (size_t)seen : consumed - connection->received;
    if (recv(connection->fd, connection->setting->request + connection->received, taken, 0) !=
        (ssize_t)taken)
        return CONNECTION_OVER;
    connection->received += taken;
    if (progress == PROXY_PARTIAL)
        return CONNECTION_READ;
    connection->received = 0;
    set_client(connection, (const struct sockaddr *)&client);
    connection->state = STATE_HANDSHAKE;
    start_timer(connection, TIMER_UNFINISHED, now);
    return CONNECTION_GO_ON;
}

static void tell_shortage(const struct connection *connection, const char *what, int64_t now)
{
    shortage_tell(&connection->setting->shortage, what, ENOMEM, now);
}

static enum connection_wish step_handshake(struct connection *connection, int64_t now)
{
    if (connection->endpoint->plain) {
        connection->state = STATE_REQUEST;
        return CONNECTION_GO_ON;
    }
    if (connection->session == NULL)
        connection->session = tls_session_new(connection->setting->tls, connection->fd);
    if (connection->session == NULL)
        return CONNECTION_MEMORY;
    enum tls_result result = tls_handshake(connection->session);
    if (result == TLS_DONE) {
        const struct tls_facts facts = tls_session_facts(connection->session);
        stats_count(connection->setting->stats,
                    facts.is_13 ? STATS_HANDSHAKE_TLS13 : STATS_HANDSHAKE_TLS12);
        if (facts.is_challenge)
            return begin_close(connection, now);
        connection->state = STATE_REQUEST;
        return CONNECTION_GO_ON;
    }
    if (result == TLS_UNPREPARED)
        return CONNECTION_MEMORY;
    if (result == TLS_SHORT)
        tell_shortage(connection, "finish a TLS handshake", now);
    if (result != TLS_WANT_READ && result != TLS_WANT_WRITE)
        answer_failed_handshake(connection, tls_session_facts(connection->session).failure, now);
    return wait_or_hang_up(connection, result, now);
}

/* In TLS 1.3 the client's last words of the handshake want no answer. A client
 * with Nagle's algorithm holds its request back until they are acknowledged,
 * and without a word from us the kernel would wait 40 ms with that. In TLS 1.2 our own last words do it. */
static void acknowledge_handshake(const struct connection *connection)
{
    const int on = 1;

    if (connection->requests == 0 && connection->received == 0 && connection->session != NULL &&
        tls_session_facts(connection->session).is_13)
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

static enum connection_wish read_request(struct connection *connection, int64_t now)
{
    struct span sent = {connection->setting->request, connection->received};
    bool between = connection->received == 0 && connection->requests > 0;
    size_t len;

    enum tls_result result =
        conn_read(connection, connection->setting->request + connection->received,
                  LIMIT_REQUEST_HEAD - connection->received, &len);
    if (result == TLS_DONE) {
        connection->received += len;
        if (between) {
            connection->begun_us = clock_monotonic_us();
            start_timer(connection, TIMER_UNFINISHED, now);
        }
        return CONNECTION_GO_ON;
    }
    if (result == TLS_WANT_READ)
        acknowledge_handshake(connection);
    if (result == TLS_CLOSED ||
        (result == TLS_WANT_READ && between && connection->setting->draining))
        return begin_close(connection, now);
    if (result == TLS_TOO_LONG) {
        answer_refusal(connection, sent, HTTP_HEADERS_TOO_LARGE, HTTP_GET);
        connection->state = STATE_RESPONSE;
        return CONNECTION_GO_ON;
    }
    return wait_or_hang_up(connection, result, now);
}

/* What the buffer holds comes first: a client that has already sent close_notify
 * still waits for its answers. */
static enum connection_wish step_request(struct connection *connection, int64_t now)
{
    struct span input = {connection->setting->request, connection->received};
    struct http_request request;
    enum http_status status;
    size_t consumed = connection->received;
    enum http_progress progress = http_parse(input, &request, &consumed, &status);

    if (progress == HTTP_PARTIAL)
        return read_request(connection, now);
    if (progress != HTTP_COMPLETE) {
        answer_refusal(connection, input, status, request.method);
    } else if (!answer_request(connection, input, &request)) {
        tell_shortage(connection, "answer a request", now);
        return CONNECTION_OVER;
    }
    connection->state = STATE_RESPONSE;
    connection->received -= consumed;
    memmove(connection->setting->request, connection->setting->request + consumed,
            connection->received);
    return CONNECTION_GO_ON;
}

/* A response leaves with what follows it: with close_notify, or with the next
 * one when its request is here already. */
static enum connection_wish finish_response(struct connection *connection, int64_t now)
{
    text_free(&connection->answer.document);
    if (connection->answer.response.persistence == HTTP_CLOSE)
        return begin_close(connection, now);
    if (connection->received == 0) {
        enum tls_result result =
            connection->endpoint->plain ? TLS_DONE : tls_flush(connection->session);
        if (result != TLS_DONE)
            return wait_or_hang_up(connection, result, now);
    }
    connection->sent = 0;
    connection->requests++;
    connection->begun_us = clock_monotonic_us();
    start_timer(connection, connection->received == 0 ? TIMER_IDLE : TIMER_UNFINISHED, now);
    connection->state = STATE_REQUEST;
    return CONNECTION_GO_ON;
}

/* The response is rendered anew for every write: that costs less than keeping
 * ten kilobytes in every connection for the rare one that needs two. */
static enum connection_wish step_response(struct connection *connection, int64_t now)
{
    __attribute__((uninitialized)) char bytes[RESPONSE_SIZE]; /* to clear it all would take time */
    const struct text *document = &connection->answer.document;
    const char *all = document->len > 0 ? document->data : bytes;
    size_t len =
        document->len > 0 ? document->len : response_render(&connection->answer.response, bytes);

    while (connection->sent < len) {
        size_t written;
        const char *rest = all + connection->sent;
        size_t rest_len = len - connection->sent;
        enum tls_result result =
            connection->endpoint->plain
                ? plain_result(send(connection->fd, rest, rest_len, MSG_NOSIGNAL), TLS_WANT_WRITE,
                               &written)
                : tls_write(connection->session, rest, rest_len, &written);
        if (result != TLS_DONE)
            return wait_or_hang_up(connection, result, now);
        connection->sent += written;
    }
    return finish_response(connection, now);
}

static enum connection_wish step_closing(struct connection *connection, int64_t now)
{
    enum tls_result result =
        connection->endpoint->plain ? TLS_DONE : tls_close(connection->session);
    return wait_or_hang_up(connection, result, now);
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
static enum connection_wish step_lingering(struct connection *connection, int64_t now)
{
    char *discarded = connection->setting->request;
    (void)now; /* The timer was started when our half ended. */
    for (int i = 0; i < DISCARDS_AT_ONCE; i++) {
        ssize_t got = recv(connection->fd, discarded, LIMIT_REQUEST_HEAD, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return CONNECTION_READ;
        if (got <= 0 || is_close_notify(discarded, (size_t)got))
            return CONNECTION_OVER;
        if (got < LIMIT_REQUEST_HEAD)
            break; /* most likely the end is still to come */
    }
    return CONNECTION_READ;
}

static enum connection_wish (*const states[])(struct connection *, int64_t) = {
    [STATE_INTRODUCTION] = step_proxy_header, [STATE_HANDSHAKE] = step_handshake,
    [STATE_REQUEST] = step_request,           [STATE_RESPONSE] = step_response,
    [STATE_CLOSING] = step_closing,           [STATE_LINGERING] = step_lingering,
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
    assert(connection->tag == TAG_OPEN);
    restore_partial_request(connection);
    do
        connection->wish = states[connection->state](connection, now);
    while (connection->wish == CONNECTION_GO_ON);
    /* A connection that waits for memory goes on at once, and has none to save what it read. */
    if (connection->wish != CONNECTION_MEMORY && !save_partial_request(connection)) {
        tell_shortage(connection, "keep a part of a request", now);
        connection->wish = CONNECTION_OVER;
    }
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
        failure = tls_session_facts(connection->session).failure;
    }
    answer_failed_handshake(connection, failure, now);
}

void connection_give_up(struct connection *connection, int64_t now)
{
    tell_shortage(connection, "begin a TLS session", now);
    answer_failed_handshake(connection, TLS_FAILURE_MEMORY, now);
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
            answer_failed_handshake(connection, TLS_FAILURE_TIMEOUT, now);
        connection->wish = CONNECTION_OVER;
    }
}
