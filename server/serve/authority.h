/*
 * The authority of a request: host and port as a Host header or an
 * absolute-form target carries them (RFC 3986 section 3.2). Pure: judges bytes,
 * owns nothing. Runs in the worker.
 */
#ifndef SERVE_AUTHORITY_H
#define SERVE_AUTHORITY_H

#include <stdbool.h>

#include "base/span.h"

enum authority_port {
    AUTHORITY_PORT_NONE,  /* "host" */
    AUTHORITY_PORT_EMPTY, /* "host:", which RFC 3986 section 3.2.3 allows */
    AUTHORITY_PORT_GIVEN, /* "host:443", 1 to 65535 */
};

struct authority {
    struct span host; /* borrowed from the text parsed; an IPv6 address with its brackets */
    enum authority_port port;
};

/* Reads host [":" port]. False when it is not of that form: an empty host,
 * userinfo, a byte that no reg-name has, brackets around anything but an IPv6
 * address, a port that is no number of 1 to 65535. */
bool authority_parse(struct span text, struct authority *ret_authority);

#endif
