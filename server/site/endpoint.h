/*
 * An endpoint: where the program listens and what it does with those who come.
 * The loader reads it from the configuration, the supervisor binds it, the
 * workers obey it. A value; it borrows its lists from whoever read it.
 */
#ifndef SITE_ENDPOINT_H
#define SITE_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"

/* What those who come are given. */
enum endpoint_service {
    ENDPOINT_POLICIES,
    ENDPOINT_METRICS,    /* for monitors (serve/answer.h); always plain */
    ENDPOINT_CHALLENGES, /* http-01 for authorities (serve/answer.h); always plain */
};

/* The key of the configuration that it is the value of. */
static inline const char *endpoint_key(enum endpoint_service service)
{
    static const char *const keys[] = {"listen", "metrics", "http"};
    return keys[service];
}

struct endpoint {
    enum endpoint_service service;
    struct address address;
    bool freebind; /* listen also while no interface has the address yet (IP_FREEBIND) */
    bool v6_only;  /* of "[::]": the same port of IPv4 has an endpoint of its own */
    bool
        is_default; /* nothing was configured: the service manager's sockets come before the address */
    bool plain;     /* HTTP without TLS, for a proxy that ends it: the host comes from Host */
    /* Whoever comes from one of these says in a PROXY protocol header for whom;
     * from anywhere else a client speaks for itself. */
    const struct prefix *proxies;
    size_t proxy_count;
    bool redirect; /* of challenges: other paths of policy hosts lead to https */
};

/* A listening, non-blocking socket, and what is done with those who come in. */
struct entrance {
    int fd;
    const struct endpoint *endpoint; /* borrowed */
};

/* Whether there are endpoints for policies and a proxy ends TLS before each of them: then it has the
 * certificates of all domains. */
static inline bool endpoint_all_plain(const struct endpoint *endpoints, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (endpoints[i].service == ENDPOINT_POLICIES && !endpoints[i].plain)
            return false;
        any = any || endpoints[i].service == ENDPOINT_POLICIES;
    }
    return any;
}

#endif
