/*
 * One response, rendered whole into a buffer of the caller: the same response
 * renders to the same bytes, so that a partial write is resumed by rendering
 * again and nothing is kept in between. Pure: no socket, no clock, allocates
 * nothing. Runs in the worker.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"
#include "http/request.h"

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

/* How many bytes of it come behind the headers. */
size_t response_body_len(const struct response *response);

/* Writes status line, headers and the usual body; returns how many bytes. */
size_t response_render(const struct response *response, char out[static RESPONSE_SIZE]);

#endif
