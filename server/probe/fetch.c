/* The bundled TLS library has a client for this file alone (mbedtls_config.h). */
#define MTA_STS_HTTPD_TLS_CLIENT

#include "probe/fetch.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <mbedtls/build_info.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/pk.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/text.h"
#include "base/tls_offer.h"
#include "certificates/key.h"

/* What the handshake ends with when the key of the server is costly; nothing else there is it. */
enum { COSTLY = MBEDTLS_ERR_X509_FILE_IO_ERROR };

#ifdef mbedtls_x509_crt_parse_der
static int take_extension(void *context, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid,
                          int critical, const unsigned char *value, const unsigned char *end)
{
    (void)context, (void)crt, (void)oid, (void)critical, (void)value, (void)end; /* see below */
    return 0;
}

/* What the bundled library's client calls for each certificate that a server sends. Critical
 * extensions that it does not know are judged later. The key of the first is used at once. */
int mbedtls_x509_crt_parse_der(mbedtls_x509_crt *chain, const unsigned char *der, size_t len)
{
    if (chain->raw.p == NULL && public_key_is_costly((struct span){(const char *)der, len}))
        return COSTLY;
    return mbedtls_x509_crt_parse_der_with_ext_cb(chain, der, len, 1, take_extension, NULL);
}
#endif

struct client {
    struct stream *stream; /* borrowed */
    bool plain;
    enum client_result result; /* why reading has ended */
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
};

static const char *protocols[] = {"http/1.1", NULL};

/* Has the kernel wait no longer than there is time. False at the deadline. */
static bool bound_wait(struct stream *stream, int option)
{
    int64_t left_us = stream->deadline_us - clock_monotonic_us();
    const struct timeval left = {.tv_sec = left_us / 1000000, .tv_usec = left_us % 1000000};
    if (left_us > 0 && setsockopt(stream->fd, SOL_SOCKET, option, &left, sizeof(left)) == 0)
        return true;
    stream->error = ETIMEDOUT;
    return false;
}

/* After a call that failed: notes why. */
static bool is_to_be_tried_again(struct stream *stream)
{
    stream->error = errno == EAGAIN || errno == EINPROGRESS ? ETIMEDOUT : errno;
    return errno == EINTR;
}

/* Connects, as all waits here, until the deadline at most. False with the reason in stream->error. */
static bool open_stream(struct stream *stream, const struct address *address, int64_t deadline_us)
{
    const int on = 1; /* else our request waits until the server has confirmed our handshake */
    *stream = (struct stream){.deadline_us = deadline_us};
    stream->fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->fd < 0) {
        stream->error = errno;
        return false;
    }
    (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on,
                     sizeof(on)); /* a Unix socket has none */
    while (bound_wait(stream, SO_SNDTIMEO)) {
        if (connect(stream->fd, &address->any, address->len) == 0)
            return true;
        if (!is_to_be_tried_again(stream))
            return false;
    }
    return false;
}

static void remember(struct stream *stream, const char *data, size_t len)
{
    size_t room = sizeof(stream->opening) - stream->opening_len;
    size_t kept = len < room ? len : room;
    memcpy(stream->opening + stream->opening_len, data, kept);
    stream->opening_len += kept;
}

bool stream_write(struct stream *stream, struct span bytes)
{
    while (bytes.len > 0 && bound_wait(stream, SO_SNDTIMEO)) {
        ssize_t count = send(stream->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (count >= 0)
            bytes = span_skip(bytes, (size_t)count);
        else if (!is_to_be_tried_again(stream))
            return false;
    }
    return bytes.len == 0;
}

ssize_t stream_read(struct stream *stream, void *buf, size_t size)
{
    while (bound_wait(stream, SO_RCVTIMEO)) {
        ssize_t count = recv(stream->fd, buf, size, 0);
        if (count >= 0 || !is_to_be_tried_again(stream))
            return count;
    }
    return -1;
}

static int failure_of(const struct stream *stream)
{
    return stream->error == ETIMEDOUT ? MBEDTLS_ERR_SSL_TIMEOUT : MBEDTLS_ERR_NET_CONN_RESET;
}

static int receive(void *opaque, unsigned char *buf, size_t size)
{
    struct stream *stream = opaque;
    ssize_t count = stream_read(stream, buf, size);
    if (count < 0)
        return failure_of(stream);
    remember(stream, (const char *)buf, (size_t)count);
    return (int)count;
}

static int transmit(void *opaque, const unsigned char *data, size_t len)
{
    bool good = stream_write(opaque, (struct span){(const char *)data, len});
    return good ? (int)len : failure_of(opaque);
}

/* The verdict on the certificate comes later and has more to say, so any is taken here. */
static bool configure(mbedtls_ssl_config *config, enum client_versions versions)
{
    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        (versions != CLIENT_TLS_MAIL && mbedtls_ssl_conf_alpn_protocols(config, protocols) != 0))
        return false;
    mbedtls_ssl_conf_rng(config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, versions == CLIENT_TLS_12_ONLY
                                                 ? MBEDTLS_SSL_VERSION_TLS1_2
                                                 : MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_ciphersuites(config, tls_suites);
    mbedtls_ssl_conf_groups(config, tls_groups);
    mbedtls_ssl_conf_sig_algs(config, tls_signatures);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);
    return true;
}

/* Begins the client over the stream, for the host name, which it sends as SNI. */
static void begin_client(struct client *client, const char *host, enum client_versions versions)
{
    mbedtls_ssl_config_init(&client->config);
    mbedtls_ssl_init(&client->ssl);
    if (client->plain)
        return;
    /* Repeating the first is free; it seeds the generator of this very process. */
    if (psa_crypto_init() == PSA_ERROR_INSUFFICIENT_ENTROPY) {
        log_line(LOG_LEVEL_ERROR, "the kernel gives no random bytes");
        _exit(HEAP_END_STATUS);
    }
    /* What else fails lacks memory. */
    if (psa_crypto_init() != PSA_SUCCESS || !configure(&client->config, versions) ||
        mbedtls_ssl_setup(&client->ssl, &client->config) != 0 ||
        mbedtls_ssl_set_hostname(&client->ssl, host) != 0)
        heap_end();
    mbedtls_ssl_set_bio(&client->ssl, client->stream, transmit, receive, NULL);
}

/* Types of records (RFC 8446 section 5.1), and the length of their headers. */
enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_HEADER = 5, MAJOR_TLS = 3 };

static struct span opening_of(const struct client *client)
{
    return (struct span){client->stream->opening, client->stream->opening_len};
}

/* The description of the alert (RFC 8446 section 6) that the server answered the first message with;
 * -1 when there was none. */
static int alert_of(const struct client *client)
{
    struct span opening = opening_of(client);
    return opening.len > RECORD_HEADER + 1 && opening.data[0] == RECORD_ALERT
               ? (unsigned char)opening.data[RECORD_HEADER + 1]
               : -1;
}

/* Why the handshake ended, from the library's code and from what the server said first. */
static enum client_result reason_of(const struct client *client, int code)
{
    struct span opening = opening_of(client);
    if (opening.len > 0 && span_begins_fold(opening, span_of("HTTP/")))
        return CLIENT_HTTP;
    bool is_record = opening.len > 0 && opening.data[0] >= 20 &&
                     opening.data[0] <= RECORD_HANDSHAKE + 1 &&
                     (opening.len < 2 || opening.data[1] == MAJOR_TLS);
    if (opening.len > 0 && !is_record)
        return CLIENT_NOT_TLS;
    if (code == MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION ||
        alert_of(client) == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION)
        return CLIENT_OLD;
    if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        return CLIENT_ALERT;
    if (code == COSTLY)
        return CLIENT_COSTLY;
    /* The library's answers to a message for which its buffer has no room. */
    if (code == MBEDTLS_ERR_SSL_BAD_INPUT_DATA || code == MBEDTLS_ERR_ERROR_CORRUPTION_DETECTED)
        return CLIENT_LARGE;
    /* mbedTLS' codes are sums of a module's part, here of certificates and keys, and a low one. */
    int high = -code & 0xff80;
    bool is_about_certificate = high == -MBEDTLS_ERR_SSL_BAD_CERTIFICATE ||
                                (high >= 0x1080 && high <= 0x2f80) ||
                                (high >= 0x3880 && high <= 0x3f80);
    return is_about_certificate ? CLIENT_CERTIFICATE : CLIENT_FAILED;
}

/* What reading, writing and shaking hands have in common. */
static enum client_result result_of(const struct client *client, int code)
{
    switch (code) {
    case MBEDTLS_ERR_SSL_TIMEOUT:
        return CLIENT_LATE;
    case MBEDTLS_ERR_NET_CONN_RESET:
        return CLIENT_RESET;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return CLIENT_CLOSED;
    default:
        return code >= 0 ? CLIENT_DONE : reason_of(client, code);
    }
}

/* The stream waits by itself, so that the library asks for patience only between two messages. */
static bool is_patience(int code)
{
    return code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE ||
           code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
}

static enum client_result shake_hands(struct client *client)
{
    int code = 0;
    if (client->plain)
        return CLIENT_DONE;
    do
        code = mbedtls_ssl_handshake(&client->ssl);
    while (is_patience(code));
    return result_of(client, code);
}

static enum client_result write_all(struct client *client, struct span bytes)
{
    while (bytes.len > 0) {
        const unsigned char *data = (const unsigned char *)bytes.data;
        int code = client->plain ? transmit(client->stream, data, bytes.len)
                                 : mbedtls_ssl_write(&client->ssl, data, bytes.len);
        if (code > 0)
            bytes = span_skip(bytes, (size_t)code);
        else if (!is_patience(code))
            return code == 0 ? CLIENT_FAILED : result_of(client, code);
    }
    return CLIENT_DONE;
}

/* The answer_more of the client, whose result says why it has failed. */
static ssize_t read_some(void *context, char *buf, size_t size)
{
    struct client *client = context;
    int code;
    do
        code = client->plain ? receive(client->stream, (unsigned char *)buf, size)
                             : mbedtls_ssl_read(&client->ssl, (unsigned char *)buf, size);
    while (is_patience(code));
    if (code > 0)
        return code;
    client->result = code == 0 ? CLIENT_CLOSED /* without close_notify */ : result_of(client, code);
    return client->result == CLIENT_CLOSED ? 0 : -1;
}

/* The certificates are copied, because they are judged when the connection is gone. */
static void keep_chain(const struct client *client, struct fetch *fetch)
{
    const mbedtls_x509_crt *crt,
        *first = client->plain ? NULL : mbedtls_ssl_get_peer_cert(&client->ssl);
    size_t count = 0, bytes = 0;
    for (crt = first; crt != NULL && count < LIMIT_PROBE_CHAIN; crt = crt->next, count++)
        bytes += crt->raw.len;
    fetch->chain = heap_take(1, count * sizeof(*fetch->chain) + bytes + 1);
    char *place = (char *)(fetch->chain + count);
    for (crt = first; crt != NULL && fetch->chain_len < count; crt = crt->next) {
        memcpy(place, crt->raw.p, crt->raw.len);
        fetch->chain[fetch->chain_len++] = (struct span){place, crt->raw.len};
        place += crt->raw.len;
    }
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
    enum client_result result = write_all(client, heap_text(&text));
    text_free(&text);
    return result;
}

static void run_client(struct client *client, const struct fetch_request *request,
                       struct fetch *fetch)
{
    int64_t begin = clock_monotonic_us();
    fetch->step = FETCH_HANDSHAKE;
    fetch->result = shake_hands(client);
    fetch->alert = fetch->result == CLIENT_ALERT ? alert_of(client) : -1;
    fetch->handshake_us = clock_monotonic_us() - begin;
    if (fetch->result != CLIENT_DONE)
        return;
    fetch->step = FETCH_ANSWER;
    fetch->tls_version =
        client->plain                                                                ? "none"
        : mbedtls_ssl_get_version_number(&client->ssl) == MBEDTLS_SSL_VERSION_TLS1_3 ? "1.3"
                                                                                     : "1.2";
    keep_chain(client, fetch);
    if (request->versions == CLIENT_TLS_MAIL)
        (void)write_all(client, span_of("QUIT\r\n")); /* all is known by now */
    if (request->handshake_only)
        return;
    fetch->answer = heap_take(1, sizeof(*fetch->answer));
    begin = clock_monotonic_us();
    fetch->result = ask(client, request->host, request->target);
    if (fetch->result == CLIENT_DONE || fetch->result == CLIENT_RESET)
        fetch->result = answer_read(fetch->answer, read_some, client)
                            ? CLIENT_DONE
                            : client->result; /* who resets may have answered before */
    fetch->answer_us = clock_monotonic_us() - begin;
    if (fetch->result == CLIENT_DONE)
        fetch->step = FETCH_DONE;
}

void fetch_run(const struct fetch_request *request, struct fetch *ret_fetch)
{
    struct stream stream;
    int64_t begin = clock_monotonic_us();
    *ret_fetch = (struct fetch){.step = FETCH_CONNECT, .alert = -1};
    bool open = open_stream(&stream, request->address, begin + request->timeout_ms * 1000) &&
                stream_write(&stream, request->preamble);
    if (open && request->begin != NULL) {
        ret_fetch->step = FETCH_BEGIN;
        open = request->begin(&stream, request->context);
    }
    ret_fetch->connect_us = clock_monotonic_us() - begin;
    if (open) {
        struct client client = {.stream = &stream, .plain = request->versions == CLIENT_PLAIN};
        begin_client(&client, request->host, request->versions);
        run_client(&client, request, ret_fetch);
        mbedtls_ssl_free(&client.ssl);
        mbedtls_ssl_config_free(&client.config);
    }
    ret_fetch->error = stream.error;
    descriptor_close(&stream.fd); /* what was to be told was told by TLS */
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
    const struct in_addr loopback = {htonl(INADDR_LOOPBACK)}; /* for a machine without IPv6 */
    return fall_back ? address_make(AF_INET, &loopback, ntohs(listener->v6.sin6_port)) : target;
}
