#include "probe/fetch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"

/* The certificates are copied, because they are judged when the connection is gone. */
static bool keep_chain(const struct client *client, struct fetch *fetch)
{
    struct span chain[LIMIT_PROBE_CHAIN];
    size_t count = client_chain(client, chain, LIMIT_PROBE_CHAIN);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += chain[i].len;
    fetch->chain = calloc(1, count * sizeof(*chain) + bytes + 1);
    if (fetch->chain == NULL)
        return false;
    char *place = (char *)(fetch->chain + count);
    for (size_t i = 0; i < count; i++) {
        memcpy(place, chain[i].data, chain[i].len);
        fetch->chain[fetch->chain_len++] = (struct span){place, chain[i].len};
        place += chain[i].len;
    }
    return true;
}

static enum client_result ask(struct client *client, const char *host, const char *target)
{
    struct text text = {0};
    text_printf(&text,
                "GET %s HTTP/1.1\r\n"
                "Host: %s\r\n"
                "User-Agent: mta-sts-httpd/" MTA_STS_HTTPD_VERSION " (probe)\r\n"
                "Accept: text/plain\r\n"
                "Connection: close\r\n\r\n",
                target == NULL ? "/.well-known/mta-sts.txt" : target, host);
    enum client_result result =
        text.failed ? CLIENT_FAILED : client_write(client, (struct span){text.data, text.len});
    text_free(&text);
    return result;
}

/* Reads until the response is whole or broken, which answer->place tells. */
static enum client_result listen_to(struct client *client, struct answer *answer)
{
    char buf[16 * 1024];
    enum answer_progress progress = ANSWER_MORE;
    while (progress == ANSWER_MORE) {
        size_t len = 0;
        enum client_result result = client_read(client, buf, sizeof(buf), &len);
        if (result == CLIENT_CLOSED)
            progress = answer_end(answer);
        else if (result == CLIENT_DONE)
            progress = answer_feed(answer, (struct span){buf, len});
        else
            return result;
    }
    return CLIENT_DONE;
}

static bool run_client(struct client *client, const struct fetch_request *request,
                       struct fetch *fetch)
{
    int64_t begin = clock_monotonic_us();
    fetch->step = FETCH_HANDSHAKE;
    fetch->result = client_handshake(client);
    fetch->alert = fetch->result == CLIENT_ALERT ? client_alert(client) : -1;
    fetch->handshake_us = clock_monotonic_us() - begin;
    if (fetch->result != CLIENT_DONE)
        return true;
    fetch->step = FETCH_ANSWER;
    fetch->tls_version = client_version(client);
    if (!keep_chain(client, fetch))
        return false;
    if (request->versions == CLIENT_TLS_MAIL)
        (void)client_write(client, span_of("QUIT\r\n")); /* all is known by now */
    if (request->handshake_only)
        return true;
    fetch->answer = malloc(sizeof(*fetch->answer));
    if (fetch->answer == NULL)
        return false;
    answer_begin(fetch->answer);
    begin = clock_monotonic_us();
    fetch->result = ask(client, request->host, request->target);
    if (fetch->result == CLIENT_DONE || fetch->result == CLIENT_RESET)
        fetch->result = listen_to(client, fetch->answer); /* who resets may have answered before */
    fetch->answer_us = clock_monotonic_us() - begin;
    if (fetch->result == CLIENT_DONE)
        fetch->step = FETCH_DONE;
    return true;
}

/* A few bytes, for which a new connection has room. */
static bool send_preamble(struct stream *stream, struct span preamble)
{
    while (preamble.len > 0) {
        ssize_t count = stream_write(stream, preamble.data, preamble.len);
        if (count < 0)
            return false;
        preamble = span_skip(preamble, (size_t)count);
    }
    return true;
}

bool fetch_run(const struct fetch_request *request, struct fetch *ret_fetch)
{
    bool good = true;
    struct stream stream;
    struct client *client = NULL;
    int64_t begin = clock_monotonic_us();
    *ret_fetch = (struct fetch){.step = FETCH_CONNECT, .alert = -1};
    bool open = stream_open(&stream, request->address, begin + request->timeout_ms * 1000) &&
                send_preamble(&stream, request->preamble);
    if (open && request->begin != NULL) {
        ret_fetch->step = FETCH_BEGIN;
        open = request->begin(&stream, request->context);
    }
    ret_fetch->connect_us = clock_monotonic_us() - begin;
    if (open) {
        client = client_new(&stream, request->host, request->versions);
        good = client != NULL && run_client(client, request, ret_fetch);
    }
    ret_fetch->error = stream.error;
    ret_fetch->is_late = stream.error == ETIMEDOUT;
    client_free(client);
    stream_close(&stream);
    return good;
}

void fetch_free(struct fetch *fetch)
{
    free(fetch->chain);
    free(fetch->answer);
    *fetch = (struct fetch){0};
}

struct address fetch_address_of(const struct address *listener, bool fall_back)
{
    struct address target = *listener;
    if (listener->any.sa_family == AF_INET && listener->v4.sin_addr.s_addr == htonl(INADDR_ANY))
        target.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener->any.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&listener->v6.sin6_addr))
        return target;
    target.v6.sin6_addr = in6addr_loopback;
    if (fall_back) { /* a machine without IPv6 */
        target = (struct address){.len = sizeof(target.v4)};
        target.v4.sin_family = AF_INET;
        target.v4.sin_port = listener->v6.sin6_port;
        target.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    return target;
}
