#include "fetch.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* A policy is at most 10 KB, a head of whatever server far below the rest. */
    RESPONSE_MOST = 32768,
    /* A server that says nothing for so long has failed. Seconds. */
    SILENCE = 10,
};

static const char STATUS[] = "HTTP/1.1 200";

/* One suite for each version and key, so that every server computes the same. In TLS 1.2 the groups
 * must allow an ECDSA key of P-256; which group was agreed on is judged later. */
SSL_CTX *fetch_new_context(int version, int group)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int groups[] = {group, NID_X9_62_prime256v1};
    int count = group == NID_X9_62_prime256v1 ? 1 : 2;

    if (context == NULL || SSL_CTX_set_min_proto_version(context, version) != 1 ||
        SSL_CTX_set_max_proto_version(context, version) != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256:"
                                         "ECDHE-RSA-AES128-GCM-SHA256") != 1 ||
        SSL_CTX_set1_groups(context, groups, count) != 1) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
    return context;
}

void fetch_close(struct fetch_connection *connection)
{
    if (connection->ssl != NULL) {
        /* The server may be gone already, which is no news here. */
        (void)SSL_shutdown(connection->ssl);
        SSL_free(connection->ssl);
    }
    if (connection->fd >= 0) {
        close(connection->fd);
    }
    *connection = (struct fetch_connection){-1, NULL};
}

/* The last failure in OpenSSL's or the kernel's words. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    if (text != NULL) {
        return text;
    }
    if (errno == EAGAIN) {
        return "silent for too long";
    }
    return errno != 0 ? strerrordesc_np(errno) : "closed by the server";
}

static const char *judge_handshake(SSL *ssl, int group, const char *host)
{
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    const char *wrong = NULL;

    if (certificate == NULL || X509_check_host(certificate, host, 0, 0, NULL) != 1) {
        wrong = "the certificate is of another host";
    } else if (SSL_get_negotiated_group(ssl) != group) {
        wrong = "the group is another";
    } else if (SSL_session_reused(ssl) != 0) {
        wrong = "the session was resumed";
    }
    X509_free(certificate);
    return wrong;
}

const char *fetch_open(const struct fetch_plan *plan, char *host,
                       struct fetch_connection *ret_connection)
{
    struct fetch_connection *made = ret_connection;
    struct timeval silence = {SILENCE, 0};
    int on = 1;

    ERR_clear_error();
    errno = 0;
    made->ssl = NULL;
    made->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made->fd < 0 ||
        setsockopt(made->fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) != 0 ||
        setsockopt(made->fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence)) != 0 ||
        setsockopt(made->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        connect(made->fd, (const struct sockaddr *)&plan->address, sizeof(plan->address)) != 0) {
        return reason();
    }
    made->ssl = SSL_new(plan->tls);
    if (made->ssl == NULL || SSL_set_fd(made->ssl, made->fd) != 1 ||
        SSL_set_tlsext_host_name(made->ssl, host) != 1 || SSL_connect(made->ssl) != 1) {
        return reason();
    }
    return judge_handshake(made->ssl, plan->group, host);
}

/* True when the bytes are a whole head and behind it as many as are expected. */
static bool whole(const struct fetch_plan *plan, const char *data, size_t len)
{
    const char *end = memmem(data, len, "\r\n\r\n", 4);

    return end != NULL && (size_t)(data + len - (end + 4)) == plan->body_len;
}

const char *fetch_exchange(const struct fetch_plan *plan, const char *host,
                           const struct fetch_connection *connection, bool keep)
{
    char data[RESPONSE_MOST];
    size_t len = 0, part = 0;
    int request = snprintf(data, sizeof(data),
                           "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: %s\r\n"
                           "User-Agent: mta-sts-bench\r\n%s\r\n",
                           host, keep ? "" : "Connection: close\r\n");

    if (SSL_write(connection->ssl, data, request) != request) {
        return reason();
    }
    while (len < sizeof(data) && !(keep && whole(plan, data, len)) &&
           SSL_read_ex(connection->ssl, data + len, sizeof(data) - len, &part) == 1) {
        len += part;
    }
    if (len == 0) {
        return reason();
    }
    if (len < strlen(STATUS) || memcmp(data, STATUS, strlen(STATUS)) != 0) {
        return "the status is not 200";
    }
    if (!whole(plan, data, len) ||
        memcmp(data + len - plan->body_len, plan->body, plan->body_len) != 0) {
        return "the body is another";
    }
    return NULL;
}

const char *fetch_whole(const struct fetch_plan *plan, char *host)
{
    struct fetch_connection connection = {-1, NULL};
    const char *wrong = fetch_open(plan, host, &connection);

    if (wrong == NULL) {
        wrong = fetch_exchange(plan, host, &connection, false);
    }
    fetch_close(&connection);
    return wrong;
}
