/*
 * Questions to the DNS, by the resolver of the C library: with its cache, its
 * hosts file and its configuration, as senders on this machine would ask. It
 * waits for the answer. Runs in a child of the probe.
 */
#ifndef PROBE_RESOLVE_H
#define PROBE_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/text.h"

enum resolve_result {
    RESOLVE_DONE,
    RESOLVE_NONE,   /* there is no such name, or it has no such record */
    RESOLVE_FAILED, /* the name servers do not answer, or answer with an error */
};

/* Once a process: names are taken as they are, and no name server is waited for
 * much longer than this. Milliseconds. */
void resolve_begin(int64_t timeout_ms);

/* The addresses of the host, with the port. Writes at most most of them. */
enum resolve_result resolve_host(const char *host, uint16_t port, struct address *ret_addresses,
                                 size_t most, size_t *ret_count);

/* The values of the TXT records, each with its strings joined. Writes at most most of them; the
 * caller frees each with text_free. */
enum resolve_result resolve_txt(const char *name, struct text *ret_values, size_t most,
                                size_t *ret_count);

/* The same from a message of the DNS (RFC 1035 section 4.1), of any bytes. Pure. False when it is
 * malformed. */
bool resolve_read_txt(struct span message, struct text *ret_values, size_t most, size_t *ret_count);

#endif
