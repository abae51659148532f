/*
 * One line of the log for one answer: in the combined format of web servers, with
 * SNI, TLS version, cipher and time behind it, or the same as JSON. Whatever a
 * client chose is bounded and escaped, so that it can neither end a line nor forge
 * one. Runs in the worker.
 */
#ifndef SERVE_ACCESS_H
#define SERVE_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"

/* Everything is borrowed. Spans are what the client sent; empty when there is none. */
struct access {
    const struct sockaddr *client;
    struct span request; /* of which the first line is shown */
    struct span referer;
    struct span agent;
    unsigned status;
    size_t body_len;     /* bytes of the answer without its head */
    const char *domain;  /* whose host was named by SNI; NULL without TLS */
    const char *version; /* of TLS, or NULL */
    const char *cipher;  /* or NULL */
    int64_t took_us;
    int64_t now; /* seconds since 1970 UTC */
};

/* Whether an answer with the status has a line (as the log is configured). */
bool access_is_logged(unsigned status);

void access_log(const struct access *access);

#endif
