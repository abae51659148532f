/*
 * What serve/tls.h does, without TLS: for an endpoint behind a proxy that ends
 * it. Owns nothing. Runs in the worker.
 */
#ifndef SERVE_PLAIN_H
#define SERVE_PLAIN_H

#include <stddef.h>

#include "serve/tls.h"

/* Reads from the non-blocking socket as tls_read does. */
enum tls_result plain_read(int fd, char *buf, size_t size, size_t *ret_len);

/* Writes to it as tls_write does. */
enum tls_result plain_write(int fd, const char *data, size_t len, size_t *ret_len);

#endif
