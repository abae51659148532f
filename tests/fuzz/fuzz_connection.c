/*
 * Any bytes as what a client sends through TLS: whatever the portions in which
 * they come and the answers go, a connection ends and has sent exactly the
 * answers that one request after the other gets. The TLS module is replaced by
 * one that hands out the input; the schedule for it is the first bytes of it.
 */
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/text.h"
#include "chance.h"
#include "fuzz.h"
#include "http/http.h"
#include "serve/connection.h"
#include "site/site_builder.h"

/* What the replaced TLS does next is in so many bytes, over and over. */
enum { SCHEDULE = 8 };

/* A client, who is also the context of the replaced TLS. */
struct tls_context {
    struct span unread;
    const uint8_t *schedule; /* NULL: everything at once, and never a wait */
    size_t step;
    const struct site_domain *domain;
    struct text received;
    size_t flushed; /* bytes of it that have left */
    bool ended;     /* the client has been told goodbye */
    bool alive;     /* there is a session */
};

struct tls_session {
    struct tls_context *client;
};

struct tls_session *tls_session_new(struct tls_context *context, int fd)
{
    struct tls_session *session = calloc(1, sizeof(*session));
    assert(session != NULL && !context->alive && fd >= 0);
    session->client = context;
    context->alive = true;
    return session;
}

void tls_session_free(struct tls_session *session)
{
    if (session != NULL)
        session->client->alive = false;
    free(session);
}

/* How much of the next portion; 0: the socket is not ready yet, but at the next step it is. */
static size_t portion(struct tls_context *client, size_t most)
{
    if (client->schedule == NULL || most == 0)
        return most;
    size_t step = client->step++;
    unsigned byte = client->schedule[step / 2 % SCHEDULE];
    bool is_first = step % 2 == 0;
    size_t wanted = is_first ? byte >> 4 : (byte & 15U) + 1;
    return wanted < most ? wanted : most;
}

enum tls_result tls_handshake(struct tls_session *session)
{
    return portion(session->client, 1) == 0 ? TLS_WANT_READ : TLS_DONE;
}

enum tls_result tls_read(struct tls_session *session, char *buf, size_t size, size_t *ret_len)
{
    struct tls_context *client = session->client;
    assert(size > 0 && !client->ended);
    size_t len = portion(client, size < client->unread.len ? size : client->unread.len);
    if (client->unread.len == 0)
        return TLS_CLOSED;
    if (len == 0)
        return TLS_WANT_READ;
    memcpy(buf, client->unread.data, len);
    client->unread = span_skip(client->unread, len);
    *ret_len = len;
    return TLS_DONE;
}

enum tls_result tls_write(struct tls_session *session, const char *data, size_t len,
                          size_t *ret_len)
{
    struct tls_context *client = session->client;
    assert(len > 0 && !client->ended);
    size_t taken = portion(client, len);
    if (taken == 0)
        return TLS_WANT_WRITE;
    text_append(&client->received, (struct span){data, taken});
    *ret_len = taken;
    return TLS_DONE;
}

enum tls_result tls_flush(struct tls_session *session)
{
    struct tls_context *client = session->client;
    if (client->flushed < client->received.len && portion(client, 1) == 0)
        return TLS_WANT_WRITE;
    client->flushed = client->received.len;
    return TLS_DONE;
}

enum tls_result tls_close(struct tls_session *session)
{
    if (portion(session->client, 1) == 0)
        return TLS_WANT_WRITE;
    session->client->flushed = session->client->received.len;
    session->client->ended = true;
    return TLS_DONE;
}

bool tls_leave(struct tls_session *session)
{
    return session->client->alive;
}

void tls_hear_alert(struct tls_session *session)
{
    (void)session;
}

struct tls_facts tls_session_facts(const struct tls_session *session)
{
    return (struct tls_facts){
        .is_13 = true,
        .cipher = "none",
        .domain = session->client->domain,
        .alert_sent = TLS_NO_ALERT,
        .alert_received = TLS_NO_ALERT,
    };
}

/* What the client is to receive: the requests one after the other, out of one piece. */
static void answer_all(const struct site *site, const struct site_domain *domain, struct span input,
                       struct text *ret_answers)
{
    for (int count = 1; count <= LIMIT_REQUESTS_A_CONNECTION; count++) {
        static char bytes[RESPONSE_SIZE];
        struct http_request request;
        size_t consumed = 0;
        struct response response = {.date = time(NULL), .persistence = HTTP_CLOSE};
        enum http_progress progress = http_parse(input, &request, &consumed, &response.status);
        if (progress == HTTP_PARTIAL)
            return;
        response.head_only = request.method == HTTP_HEAD;
        if (progress == HTTP_COMPLETE) {
            bool matches = !request.plain_scheme &&
                           (!request.has_host || site_find_host(site, request.host) == domain);
            response.status = http_judge(&request, matches, site_policy(domain) != NULL);
            response.policy = policy_body(site_policy(domain));
            if (count < LIMIT_REQUESTS_A_CONNECTION)
                response.persistence = request.persistence;
        }
        size_t len = response_render(&response, bytes);
        text_append(ret_answers, (struct span){bytes, len});
        if (response.persistence == HTTP_CLOSE)
            return;
        input = span_skip(input, consumed);
    }
}

/* Runs a connection to its end. It may wait as often as the schedule lets it, and while it does
 * others use the place where requests are read. */
static void run(const struct site *site, struct tls_context *client)
{
    int pair[2];
    char request[LIMIT_REQUEST_HEAD];
    const struct endpoint endpoint = {0};
    const struct sockaddr_in address = {.sin_family = AF_INET};
    struct connection_setting setting = {
        .tls = client,
        .site = site,
        .request = request,
    };
    size_t most = 1000 + 20 * client->unread.len;
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    assert(shutdown(pair[1], SHUT_WR) == 0);
    struct connection *connection =
        connection_new(&setting, pair[0], &endpoint, (const struct sockaddr *)&address, 0);
    assert(connection != NULL);
    for (int64_t now = 1; connection->wish != CONNECTION_OVER; now++) {
        assert((size_t)now < most);
        memset(request, 'x', sizeof(request));
        connection_advance(connection, now);
    }
    connection_free(connection);
    assert(close(pair[1]) == 0);
    assert(timers_next(&setting.timers) == NULL);
}

static void check_end(const struct tls_context *client, struct span expected)
{
    struct span received = {client->received.data, client->received.len};
    assert(!client->alive && client->ended && !client->received.failed);
    assert(client->flushed == client->received.len);
    assert(span_equal(received, expected));
}

static struct policy *make_policy(void)
{
    const struct field mx = {.text = span_of("mail.example.com")};
    struct diag *diag = diag_new();
    assert(diag != NULL);
    struct policy *policy = policy_new(
        &(struct policy_fields){
            .mode = {.text = span_of("enforce")},
            .max_age = {.text = span_of("2w")},
            .mx = &mx,
            .mx_count = 1,
        },
        diag);
    assert(policy != NULL);
    diag_free(diag);
    return policy;
}

static struct site *make_site(void)
{
    struct policy *policy = make_policy();
    struct site_builder *builder = site_builder_new(-1);
    assert(builder != NULL && policy != NULL);
    for (int i = 0; i < 2; i++) {
        const struct site_fields domain = {
            .name = span_of(i == 0 ? "example.com" : "example.net"),
            .state = SITE_SERVED,
            .policy = policy,
            .at = {.file = "any"},
        };
        site_builder_add(builder, &domain);
    }
    struct site *site = site_builder_finish(builder);
    assert(site != NULL);
    policy_free(policy);
    return site;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text expected = {0};
    if (size < SCHEDULE)
        return 0;
    struct span input = {(const char *)data + SCHEDULE, size - SCHEDULE};
    struct site *site = make_site();
    const struct site_domain *domain = site_at(site, 0);
    struct tls_context at_once = {.unread = input, .domain = domain};
    struct tls_context slow = {.unread = input, .domain = domain, .schedule = data};
    chance_begin();
    answer_all(site, domain, input, &expected);
    run(site, &at_once);
    run(site, &slow);
    chance_end();
    check_end(&at_once, (struct span){expected.data, expected.len});
    check_end(&slow, (struct span){expected.data, expected.len});
    text_free(&expected);
    text_free(&at_once.received);
    text_free(&slow.received);
    site_free(site);
    return 0;
}
