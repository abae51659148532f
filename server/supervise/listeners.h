/*
 * The listening sockets. They belong to the supervisor, outlive every
 * generation of workers, and are never closed by a reload that still wants
 * them, so that no connection is refused meanwhile.
 *
 * Which endpoint of the configuration a socket belongs to is decided by one rule, for policies, metrics
 * and challenges alike, at the start as at each reload, whether the server has opened the socket or the
 * service manager has passed it on: the endpoint "systemd:NAME" has the sockets of that name; an
 * address has the socket that is bound to it ("[::]" that of "0.0.0.0" too); the rest of those that
 * were passed on belongs to "systemd", or to "listen" when it is left out. An endpoint without a socket
 * opens one. A socket that was passed on and belongs to none is refused, because its clients would wait
 * for ever.
 */
#ifndef SUPERVISE_LISTENERS_H
#define SUPERVISE_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"
#include "base/text.h"
#include "site/endpoint.h"

struct listener {
    struct address wanted; /* as configured */
    struct address bound;  /* as the kernel says: differs for port 0 */
    bool v6_only;          /* of IPv6: it takes no IPv4 (IPV6_V6ONLY) */
    int fd;
    char *name; /* owned; of one that was passed on, as LISTEN_FDNAMES calls it, or ""; else NULL */
};

/* Begin with {0}; end with listeners_close. */
struct listeners {
    struct listener *items; /* owned, and so are the descriptors; those that were passed on first */
    size_t count;
};

/* To be called once, before others: takes over the sockets that a service manager has opened for us and
 * passed on (sd_listen_fds(3)), as LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say, which it removes from the
 * environment. They stay open until the end, because a reload may stop using one and a later one begin again.
 * What is no listening stream socket is logged, and none of them: who keeps the others closes it. False,
 * logged, when memory is short. */
bool listeners_inherit(struct listeners *listeners);

/* Opens those of the endpoints that are not open yet. On an error (all are logged, with what to do
 * about it) the set is as it was and the result is false. */
bool listeners_open(struct listeners *listeners, const struct endpoint *endpoints, size_t count);

/* Closes those that belong to none of the endpoints. */
void listeners_retain(struct listeners *listeners, const struct endpoint *endpoints, size_t count);

void listeners_close(struct listeners *listeners);

/* What a worker needs of the endpoints, all of which are open; returns how many.
 * They borrow the endpoints. */
size_t listeners_entrances(const struct listeners *listeners, const struct endpoint *endpoints,
                           size_t count, struct entrance ret_entrances[static LIMIT_LISTENERS]);

/* Appends where those of the endpoints with the service really listen: "127.0.0.1:443, [::1]:443",
 * with the word in front if there are any. */
void listeners_print(const struct listeners *listeners, const struct endpoint *endpoints,
                     size_t count, enum endpoint_service service, const char *word,
                     struct text *out);

#endif
