/*
 * Whether a client's first message, the ClientHello, is there as a whole, so that nothing costly is
 * begun for less. It looks at the headers of records (RFC 8446 section 5.1) and of the message, and
 * leaves what is in it, and every alert, to the TLS library. Pure: judges bytes, owns nothing. Runs
 * in the worker.
 */
#ifndef SERVE_HELLO_H
#define SERVE_HELLO_H

#include <stddef.h>

#include "base/span.h"

enum hello_progress {
    HELLO_PARTIAL, /* sound so far, not yet whole */
    HELLO_WHOLE,   /* ret_len is set */
    HELLO_OTHER,   /* this is no ClientHello, or one that is too long: no more bytes make it one */
};

/* Looks at everything that a client has sent. *ret_len is the length of the message with its header,
 * at most LIMIT_CLIENT_HELLO. */
enum hello_progress hello_look(struct span input, size_t *ret_len);

/* The name that the whole ClientHello at the beginning of the input asks for (SNI, RFC 6066 section 3),
 * as it was sent: at most size bytes of it are copied. Returns its length; 0 when there is none. */
size_t hello_server_name(struct span input, char *name, size_t size);

#endif
