/*
 * The header of the PROXY protocol, version 1 and 2 (haproxy.org, "The PROXY
 * protocol"), with which a proxy says for whom it connects. Pure: judges bytes,
 * owns nothing, allocates nothing. Runs in the worker.
 */
#ifndef HTTP_PROXY_HEADER_H
#define HTTP_PROXY_HEADER_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/span.h"

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
