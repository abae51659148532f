/*
 * One request head (RFC 9112), read strictly: whatever two readers could
 * understand differently is refused, so that nothing behind or before us can
 * be made to see another request than we do. Pure: judges bytes, owns nothing,
 * has no socket and no clock. Runs in the worker.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

enum http_status {
    HTTP_NONE = 0, /* no answer yet */
    HTTP_OK = 200,
    HTTP_PERMANENT_REDIRECT = 308,
    HTTP_BAD_REQUEST = 400,
    HTTP_NOT_FOUND = 404,
    HTTP_METHOD_NOT_ALLOWED = 405,
    HTTP_MISDIRECTED = 421,
    HTTP_HEADERS_TOO_LARGE = 431,
    HTTP_UNAVAILABLE = 503,
    HTTP_VERSION_NOT_SUPPORTED = 505,
};

enum http_method {
    HTTP_GET, /* also while nothing is known */
    HTTP_HEAD,
    HTTP_OPTIONS,
    HTTP_CONNECT,
    HTTP_OTHER,
};

/* What becomes of the connection, as far as the client is concerned. */
enum http_persistence {
    HTTP_PERSIST,    /* it stays open; HTTP/1.1 needs no word for that */
    HTTP_KEEP_ALIVE, /* an HTTP/1.0 client asked for it and waits for our word */
    HTTP_CLOSE,
};

/* Spans are borrowed from the input. */
struct http_request {
    enum http_method method;
    bool has_path;       /* false for "*" and for the authority-form of CONNECT */
    struct span path;    /* with its query, byte for byte as sent */
    bool plain_scheme;   /* the target is in absolute-form and says http: */
    bool has_host;       /* HTTP/1.0 may leave it out; then SNI alone decides */
    struct span host;    /* without its port */
    struct span agent;   /* of User-Agent; empty without */
    struct span referer; /* of Referer */
    bool has_body;       /* we never read one, so the connection ends after the answer */
    enum http_persistence persistence;
};

enum http_progress {
    HTTP_PARTIAL,  /* more bytes are needed */
    HTTP_COMPLETE, /* one request head */
    HTTP_REFUSED,  /* answer with the status and close */
};

/* Reads the first request head of the input; looks at no more than
 * LIMIT_REQUEST_HEAD bytes. An answer other than HTTP_PARTIAL is final: it is
 * the same for every longer input. Complete: sets ret_request and ret_consumed
 * (bytes of the head). Refused: sets ret_status to 400, 431 or 505, and of
 * ret_request the method alone: HTTP_HEAD forbids a body even with this answer. */
enum http_progress http_parse(struct span input, struct http_request *ret_request,
                              size_t *ret_consumed, enum http_status *ret_status);

/* The status for a well-formed request: 421 before 404 before 405 before 200
 * or 503. at_home: its host is one that this connection speaks for. has_policy:
 * that host has a policy to serve. */
enum http_status http_judge(const struct http_request *request, bool at_home, bool has_policy);

/* Host and port as a Host header or an absolute-form target carries them (RFC 3986 section 3.2). */
enum host_port_kind {
    HOST_PORT_NONE,  /* "host" */
    HOST_PORT_EMPTY, /* "host:", which RFC 3986 section 3.2.3 allows */
    HOST_PORT_GIVEN, /* "host:443", 1 to 65535 */
};

struct host_port {
    struct span host; /* borrowed from the text parsed; an IPv6 address with its brackets */
    enum host_port_kind port;
};

/* Reads host [":" port]. False when it is not of that form: an empty host,
 * userinfo, a byte that no reg-name has, brackets around anything but an IPv6
 * address, a port that is no number of 1 to 65535. */
bool host_port_parse(struct span text, struct host_port *ret_host_port);

#endif
