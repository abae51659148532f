/*
 * A range of IP addresses, "192.0.2.0/24" or "2001:db8::/32", and the question
 * whether an address is in it. An IPv4 address and the same one mapped into
 * IPv6, as a socket for both reports it, are one. Pure.
 */
#ifndef BASE_PREFIX_H
#define BASE_PREFIX_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/span.h"

struct prefix {
    unsigned char bytes[16]; /* of an IPv6 address, network order; zero behind the length */
    unsigned length;         /* bits, 0 to 128; an IPv4 range has 96 more than its text */
};

enum prefix_fault {
    PREFIX_OK,
    PREFIX_MALFORMED,
    PREFIX_HOST_BITS, /* bits behind the length are set: which range is meant? */
};

/* Reads an address with or without "/" and a length. */
enum prefix_fault prefix_parse(struct span text, struct prefix *ret_prefix);

/* Whether the address of a client is in the range; never for one that is not IP. */
bool prefix_contains(const struct prefix *prefix, const struct sockaddr *address);

#endif
