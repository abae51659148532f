/*
 * The address of a listener, as text and as the kernel wants it. Numbers only:
 * a name would need a resolver at a time when there may be none. Pure.
 */
#ifndef LOAD_ADDRESS_H
#define LOAD_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/span.h"

/* "[", an IPv6 address with a scope, "]:65535" and the NUL. */
enum { ADDRESS_TEXT_SIZE = INET6_ADDRSTRLEN + 24 };

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
    char text[ADDRESS_TEXT_SIZE]; /* canonical: equal addresses have equal text */
    bool freebind; /* listen also while no interface has the address yet (IP_FREEBIND) */
};

/* Reads "192.0.2.1:443", "[2001:db8::1]:443", or "*:443" and ":443" for
 * "[::]:443". Port 0 lets the kernel choose. False when it is not of that form. */
bool address_parse(struct span text, struct address *ret_address);

/* Writes address->text from the numbers; for what the kernel told. */
void address_print(struct address *address);

#endif
