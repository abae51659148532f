/*
 * For http and proxy_header. HTTP as bytes: one request head (RFC 9112), read strictly, for
 * whatever two readers could understand differently is refused, so that nothing behind or before us can
 * be made to see another request than we do; one response, rendered whole, the same to the same bytes, so
 * that a partial write is resumed by rendering again; and the header of the PROXY protocol, version 1
 * and 2 (haproxy.org, "The PROXY protocol"), with which a proxy says for whom it connects. Pure: judges
 * bytes, owns nothing, allocates nothing, has no socket and no clock. Runs in the worker.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/limits.h"
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
    HTTP_KEEP_ALIVE, /* an HTTP/1.0 client asked for it and needs our consent */
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
struct host_port {
    struct span host; /* borrowed from the text parsed; an IPv6 address with its brackets */
    bool has_port;    /* 1 to 65535; a colon without a port, which section 3.2.3 allows, is none */
};

/* Reads host [":" port]. False when it is not of that form: an empty host,
 * userinfo, a byte that no reg-name has, brackets around anything but an IPv6
 * address, a port that is no number of 1 to 65535. */
bool host_port_parse(struct span text, struct host_port *ret_host_port);

enum { RESPONSE_SIZE = LIMIT_RESPONSE_HEAD + LIMIT_BODY };

struct response {
    enum http_status status; /* one of the table; not HTTP_NONE */
    int64_t date;            /* seconds since 1970 UTC, for the Date header */
    struct span policy;      /* the body for HTTP_OK, at most LIMIT_BODY bytes; borrowed */
    bool head_only;          /* the answer to HEAD: all headers, no body */
    enum http_persistence persistence;
    bool plain;           /* it goes to a proxy in clear text */
    const char *location; /* for a redirect, else NULL; borrowed */
};

/* Writes status line and headers for a body of that type and so many bytes; returns how many bytes. */
size_t response_render_head(const struct response *response, const char *type, size_t body_len,
                            char out[static LIMIT_RESPONSE_HEAD]);

/* The policy, or the word of another status; borrowed. */
struct span response_body(const struct response *response);

/* Writes status line, headers and the usual body; returns how many bytes. */
size_t response_render(const struct response *response, char out[static RESPONSE_SIZE]);

enum proxy_progress {
    PROXY_PARTIAL,  /* sound so far, not yet whole */
    PROXY_COMPLETE, /* ret_consumed is set, and the client if one was named */
    PROXY_MALFORMED,
};

/* Reads one header at the beginning of the input, of at most LIMIT_PROXY_HEADER
 * bytes. *ret_consumed counts its bytes with its extensions (TLVs), which are
 * skipped. *ret_client is the client's address, or has the family AF_UNSPEC when
 * the proxy speaks for itself (LOCAL, a health check) or names no IP address
 * (UNKNOWN, UNSPEC, a Unix socket): then the connection's own address stands. */
enum proxy_progress proxy_parse(struct span input, size_t *ret_consumed,
                                struct sockaddr_storage *ret_client);

#endif
