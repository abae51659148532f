/*
 * The address of a listener, as text and as the kernel wants it: numbers only,
 * because a name would need a resolver at a time when there may be none, or the
 * path of a Unix socket. Pure.
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

/* Writes address->text from the numbers; for what the kernel told. */
void address_print(struct address *address);

#endif
