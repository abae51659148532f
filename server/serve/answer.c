#include "serve/answer.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "serve/access.h"
#include "serve/connection.h"
#include "shared/client_address.h"

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

/* request is NULL when what was sent is none. */
static void log_answer(const struct connection *connection, struct span sent,
                       const struct http_request *request)
{
    const struct response *response = &connection->answer.response;
    if (connection->endpoint->service != ENDPOINT_POLICIES || !access_is_logged(response->status))
        return;
    struct access access = {
        .client = &connection->client.any,
        .request = sent,
        .status = response->status,
        .body_len = response->head_only ? 0 : response_body(response).len,
        .took_us = clock_monotonic_us() - connection->begun_us,
        .now = response->date,
    };
    if (request != NULL) {
        access.referer = request->referer;
        access.agent = request->agent;
    }
    if (!connection->endpoint->plain) {
        const struct tls_facts facts = tls_session_facts(connection->session);
        access.domain = site_name(facts.domain);
        access.version = facts.is_13 ? "TLSv1.3" : "TLSv1.2";
        access.cipher = facts.cipher;
    }
    access_log(&access);
}

void answer_refusal(struct connection *connection, struct span sent, enum http_status status,
                    enum http_method method)
{
    begin(connection, status, method);
    log_answer(connection, sent, NULL);
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
    client_address_print_network(&connection->client.any, record.network);
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
