/*
 * For answer and monitor. What a request is answered, which depends on the endpoint that it came to: a
 * policy for a sender; metrics, the health of this worker and who has fetched a policy for a monitor,
 * who is told nothing that is secret; for an authority the key authorization of a pending http-01
 * challenge (RFC 8555 section 8.3). Whoever else comes there may be led to https, but never to a policy:
 * no sender may follow a redirect, so none is to be seen (RFC 8461 section 3.3). It counts, records and
 * logs what is answered, and sends nothing.
 * A line of the log for one answer is in the combined format of web servers, with
 * SNI, TLS version, cipher and time behind it, or the same as JSON; a handshake that failed has one too.
 * Whatever a client chose is bounded and escaped, so that it can neither end a line nor forge
 * one. Runs in the worker.
 */
#ifndef SERVE_ANSWER_H
#define SERVE_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "http/http.h"
#include "serve/tls.h"

struct connection; /* serve/connection.h */

struct answer {
    struct response response; /* borrows from the site */
    struct text document; /* owned; the whole answer, if it is no policy and no error; else empty */
};

/* Has the answer of the connection ready to a well-formed request, which is a part of what was sent. False
 * when memory is short; then there is none. */
bool answer_request(struct connection *connection, struct span sent,
                    const struct http_request *request);

/* The same for what is no request that we read; the last answer of its connection. */
void answer_refusal(struct connection *connection, struct span sent, enum http_status status,
                    enum http_method method);

/* How many failed handshakes had a line lately. Begin with {0}. */
struct answer_rate {
    int64_t until; /* the end of the second; milliseconds of the monotonic clock */
    unsigned written;
    uint64_t left_out;
};

/* Counts a failed handshake, and logs it if they have lines (as for status 400 and above) and not
 * LIMIT_LOG_HANDSHAKES had one within the second. now is in milliseconds of the monotonic clock. */
void answer_failed_handshake(const struct connection *connection, enum tls_failure failure,
                             int64_t now);

/* Tells how many were left out when the second is over. */
void answer_tell_left_out(struct answer_rate *rate, int64_t now);

/* When answer_tell_left_out has something to tell; INT64_MAX when it has nothing. */
int64_t answer_next(const struct answer_rate *rate);

/* Of a monitor. With an answer of its own it appends that to ret_body, sets its type (static) and
 * returns its status; otherwise ret_body stays empty and the status has its usual body. Memory may be
 * short: the text tells. */
enum http_status monitor_answer(const struct connection *connection,
                                const struct http_request *request, struct text *ret_body,
                                const char **ret_type);

#endif
