/*
 * What an authority is answered at the endpoint for challenges: the key
 * authorization of a pending http-01 challenge (RFC 8555 section 8.3), and nothing else.
 * Whoever else comes may be led to https, but never to a policy: no sender may
 * follow a redirect, so none is to be seen (RFC 8461 section 3.3). Runs in the worker.
 */
#ifndef SERVE_ACME_HTTP_H
#define SERVE_ACME_HTTP_H

#include <stdbool.h>

#include "base/text.h"
#include "http/http.h"
#include "shared/challenges.h"
#include "site/site.h"

/* Everything is borrowed. */
struct acme_http {
    const struct challenges *challenges; /* or NULL */
    const struct site *site;
    bool redirect; /* other paths of policy hosts lead to https */
};

/* Judges a well-formed request: 200 with the body in ret_body, 308 with where to go in ret_location,
 * or 404. Memory may be short: the texts tell. */
enum http_status acme_http_answer(const struct acme_http *validation,
                                  const struct http_request *request, struct text *ret_body,
                                  struct text *ret_location);

#endif
