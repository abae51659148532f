/*
 * One fetch of the load generator, which is what a sender does: a new connection, a full handshake
 * with SNI, a named group and AES-128-GCM, one GET, the whole response, the end. It owns the connection
 * and what is right about an answer: the certificate names the host, the body is the expected one.
 * It never resumes a session, and does not verify the chain, which would cost only this side.
 */
#ifndef BENCH_FETCH_H
#define BENCH_FETCH_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* What all fetches of a run have in common. */
struct fetch_plan {
    struct sockaddr_in address;
    SSL_CTX *tls;     /* owned; see fetch_new_context() */
    int group;        /* of the key exchange: NID_X25519 or NID_X9_62_prime256v1 */
    const char *body; /* borrowed */
    size_t body_len;
};

struct fetch_connection {
    int fd;
    SSL *ssl;
};

/* For TLS 1.2 or 1.3, and for a group that the server is to agree on. NULL when OpenSSL refuses, which has then been told on standard error. */
SSL_CTX *fetch_new_context(int version, int group);

/* One fetch, from nothing to the end. Returns NULL or in words what went wrong. The host is only
 * read; OpenSSL's interface has it so. */
const char *fetch_whole(const struct fetch_plan *plan, char *host);

/* The steps of it: each returns NULL or what went wrong, and the caller closes in either case. */
const char *fetch_open(const struct fetch_plan *plan, char *host,
                       struct fetch_connection *ret_connection);
/* keep: leaves the connection open for more. */
const char *fetch_exchange(const struct fetch_plan *plan, const char *host,
                           const struct fetch_connection *connection, bool keep);
void fetch_close(struct fetch_connection *connection);

#endif
