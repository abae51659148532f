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

/* Why a handshake failed, and what was said in it. Everything is borrowed. */
struct access_failure {
    const struct sockaddr *client;
    const char *reason; /* in words */
    struct span name;   /* SNI as it was sent; empty when there was none */
    int alert_sent;     /* RFC 8446 section 6; negative: none */
    int alert_received;
    int64_t took_us;
    int64_t now; /* seconds since 1970 UTC */
};

/* How many failed handshakes had a line lately. Begin with {0}. */
struct access_rate {
    int64_t until; /* the end of the second; milliseconds of the monotonic clock */
    unsigned written;
    uint64_t left_out;
};

/* Logs a failed handshake, if they have lines (as for status 400 and above) and not
 * LIMIT_LOG_HANDSHAKES had one within the second. now is in milliseconds of the monotonic clock. */
void access_log_failure(struct access_rate *rate, const struct access_failure *failure,
                        int64_t now);

/* Tells how many were left out when the second is over. */
void access_tell_left_out(struct access_rate *rate, int64_t now);

/* When access_tell_left_out has something to tell; INT64_MAX when it has nothing. */
int64_t access_next(const struct access_rate *rate);

#endif
