/*
 * The address of a listener, as text and as the kernel wants it: numbers only,
 * because a name would need a resolver at a time when there may be none, or the
 * path of a Unix socket; and ranges of IP addresses. Pure.
 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/span.h"

/* "unix:", the longest path that the kernel takes and the NUL; an IPv6 address is shorter. */
enum { ADDRESS_TEXT_SIZE = 5 + sizeof(((struct sockaddr_un *)0)->sun_path) };

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    };
    socklen_t len;
    char text[ADDRESS_TEXT_SIZE]; /* canonical: equal addresses have equal text */
};

/* Reads "192.0.2.1:443", "[2001:db8::1]:443", "*:443" and ":443" for "[::]:443",
 * "unix:/run/name.sock" with an absolute path, or "systemd" and "systemd:NAME"
 * for sockets that the service manager opens. Port 0 lets the kernel choose.
 * False when it is not of that form. */
bool address_parse(struct span text, struct address *ret_address);

/* True for "systemd", which has no numbers before such a socket was passed on. */
static inline bool address_is_inherited(const struct address *address)
{
    return address->any.sa_family == AF_UNSPEC;
}

/* True for "systemd:NAME". */
static inline bool address_is_named(const struct address *address)
{
    return address_is_inherited(address) && strchr(address->text, ':') != NULL;
}

/* The address of the family (AF_INET, AF_INET6) with this struct in_addr or in6_addr, of any alignment. */
struct address address_make(int family, const void *number, uint16_t port);

/* Reads the text of an address of the family alone, without brackets, port or zone, into a struct in_addr
 * or in6_addr. */
bool address_number(int family, struct span text, void *ret_number);

/* The port, 0 for an address that has none. */
unsigned address_port(const struct address *address);

/* True for "[::]:PORT", which takes IPv4 too unless it is opened for IPv6 alone (IPV6_V6ONLY), and for
 * "0.0.0.0:PORT". */
bool address_is_v6_wildcard(const struct address *address);
bool address_is_v4_wildcard(const struct address *address);

/* Would the kernel refuse to listen on both, because some of what arrives at the one is the other's,
 * too? v6_only tells that IPv4 has a socket of its own beside "[::]". Port 0 is chosen by the kernel and
 * overlaps with nothing. */
bool address_overlaps(const struct address *one, const struct address *other, bool v6_only);

/* Writes address->text from the numbers; for what the kernel told. */
void address_print(struct address *address);

/* A range of IP addresses, "192.0.2.0/24" or "2001:db8::/32". An IPv4 address and the same one mapped into
 * IPv6, as a socket for both reports it, are one. */
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
