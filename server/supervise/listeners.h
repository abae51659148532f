/*
 * The listening sockets. They belong to the supervisor, outlive every
 * generation of workers, and are never closed by a reload that still wants
 * them, so that no connection is refused meanwhile.
 */
#ifndef SUPERVISE_LISTENERS_H
#define SUPERVISE_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"
#include "base/text.h"
#include "serve/acceptor.h"
#include "site/endpoint.h"
#include "supervise/inherited.h"

struct listener {
    struct address wanted; /* as configured */
    struct address bound;  /* as the kernel says: differs for port 0 */
    int fd;
    bool is_inherited; /* the descriptor belongs to the list of those */
};

/* Begin with {0}, or with what was inherited; end with listeners_close. */
struct listeners {
    struct listener *items; /* owned, and so are the descriptors */
    size_t count;
    struct inherited inherited; /* owned */
};

/* Opens those of the endpoints that are not open yet. On an error, which it
 * logs, the set is as it was and the result is false. */
bool listeners_open(struct listeners *listeners, const struct endpoint *endpoints, size_t count);

/* Closes those that are not among the endpoints. */
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
