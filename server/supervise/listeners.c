#include "supervise/listeners.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

/* The kernel cuts this down to net.core.somaxconn. */
enum { BACKLOG = 4096 };

static const char *bind_hint(int reason)
{
    switch (reason) {
    case EADDRINUSE:
        return ": another program (or another instance of this one) listens there";
    case EACCES:
        return ": a port below 1024 needs root or CAP_NET_BIND_SERVICE";
    case EADDRNOTAVAIL:
        return ": no network interface has this address (yet? then write freebind: true)";
    default:
        return "";
    }
}

/* On a machine without IPv6 the wildcard means IPv4 alone. */
static void fall_back_to_v4(struct address *address)
{
    in_port_t port = address->v6.sin6_port;
    memset(address, 0, sizeof(*address));
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = port;
    address->len = sizeof(address->v4);
    address_print(address);
}

static bool is_v6_wildcard(const struct address *address)
{
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

/* What an accepted connection inherits: bounds for what the kernel keeps for a
 * client, in bytes and in milliseconds. */
static const struct {
    int level;
    int option;
    int value;
} bounds[] = {
    {SOL_SOCKET, SO_REUSEADDR, 1},
    {SOL_SOCKET, SO_SNDBUF, LIMIT_SOCKET_SEND},
    {SOL_SOCKET, SO_RCVBUF, LIMIT_SOCKET_RECEIVE},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, LIMIT_UNFINISHED_MS},
    {IPPROTO_TCP, TCP_NODELAY, 1}, /* what is written is whole, so nothing is gained by waiting */
};

static bool set_bounds(int fd)
{
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
        if (setsockopt(fd, bounds[i].level, bounds[i].option, &bounds[i].value,
                       sizeof(bounds[i].value)) != 0)
            return false;
    return true;
}

/* The first half of open_socket for IP: everything before bind. */
static bool prepare_ip(int fd, const struct address *address, bool freebind)
{
    const int on = 1, off = 0;
    return set_bounds(fd) &&
           (!freebind || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) == 0) &&
           (!is_v6_wildcard(address) ||
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0);
}

/* A killed server leaves its socket behind; nobody listens there any more. A file that
 * is no socket refuses connections too, but is not ours to remove. */
static bool is_abandoned(int fd, const struct address *address)
{
    struct stat stat;
    return lstat(address->local.sun_path, &stat) == 0 && S_ISSOCK(stat.st_mode) &&
           connect(fd, &address->any, address->len) != 0 && errno == ECONNREFUSED;
}

/* Whoever may enter the folder may connect, as with other servers: a proxy's
 * workers run as a user of their own. The socket is made with these rights: its folder may belong
 * to another user, who could put another file in its place before they were changed. */
static bool bind_local(int fd, const struct address *address)
{
    mode_t before = umask(S_IXUSR | S_IXGRP | S_IXOTH);
    bool bound = bind(fd, &address->any, address->len) == 0;
    if (!bound && errno == EADDRINUSE) {
        bool abandoned = is_abandoned(fd, address);
        errno = EADDRINUSE;
        bound = abandoned && unlink(address->local.sun_path) == 0 &&
                bind(fd, &address->any, address->len) == 0;
    }
    (void)umask(before); /* it cannot fail */
    return bound;
}

/* The socket, or -1 with the reason in errno. */
static int open_socket(struct address *address, bool freebind)
{
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(address->any.sa_family, type, 0);
    if (fd < 0 && errno == EAFNOSUPPORT && is_v6_wildcard(address)) {
        fall_back_to_v4(address);
        fd = socket(AF_INET, type, 0);
    }
    if (fd < 0)
        return -1;
    bool bound = address->any.sa_family == AF_UNIX ? bind_local(fd, address)
                                                   : prepare_ip(fd, address, freebind) &&
                                                         bind(fd, &address->any, address->len) == 0;
    if (!bound || listen(fd, BACKLOG) != 0 || getsockname(fd, &address->any, &address->len) != 0)
        goto fail;
    address_print(address);
    return fd;
fail:;
    int reason = errno;
    (void)close(fd); /* nothing was sent through it */
    errno = reason;
    return -1;
}

static void close_listener(const struct listener *listener)
{
    if (listener->is_inherited)
        return; /* a later reload may want it again */
    if (listener->wanted.any.sa_family == AF_UNIX)
        (void)unlink(listener->wanted.local.sun_path); /* else the next start does it */
    (void)close(listener->fd);                         /* it only listened */
}

static bool is_of(const struct listener *listener, const struct endpoint *endpoint)
{
    return strcmp(listener->wanted.text, endpoint->address.text) == 0;
}

static bool is_open(const struct listeners *listeners, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (is_of(&listeners->items[i], endpoint))
            return true;
    return false;
}

static bool open_own(struct listeners *listeners, const struct endpoint *endpoint)
{
    const struct address *wanted = &endpoint->address;
    struct listener listener = {.wanted = *wanted, .bound = *wanted};
    listener.fd = open_socket(&listener.bound, endpoint->freebind);
    if (listener.fd < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot listen on %s: %s%s", wanted->text, strerror(errno),
                 bind_hint(errno));
        return false;
    }
    listeners->items[listeners->count++] = listener;
    return true;
}

/* Takes the sockets of the service manager that are meant for the endpoint: those of its
 * name, or without one those whose name no other endpoint has. */
static bool adopt(struct listeners *listeners, const struct endpoint *endpoints, size_t count,
                  const struct endpoint *endpoint)
{
    const struct inherited *passed = &listeners->inherited;
    for (size_t i = 0; i < passed->count; i++) {
        struct listener listener = {.wanted = endpoint->address,
                                    .bound.len = sizeof(listener.bound.local),
                                    .fd = passed->items[i].fd,
                                    .is_inherited = true};
        bool named = false;
        for (size_t k = 0; k < count; k++)
            named = named || inherited_is_named(passed, i, endpoints[k].address.text);
        if (named != address_is_named(&endpoint->address) ||
            (named && !inherited_is_named(passed, i, endpoint->address.text)))
            continue;
        if (getsockname(listener.fd, &listener.bound.any, &listener.bound.len) != 0 ||
            (listener.bound.any.sa_family != AF_UNIX && !set_bounds(listener.fd))) {
            log_line(LOG_LEVEL_ERROR, "cannot listen on %s: %s", endpoint->address.text,
                     strerror(errno));
            return false;
        }
        address_print(&listener.bound);
        listeners->items[listeners->count++] = listener;
    }
    return true;
}

/* What the endpoint listens on, whoever opens it. */
static bool open_endpoint(struct listeners *listeners, const struct endpoint *endpoints,
                          size_t count, const struct endpoint *endpoint)
{
    size_t before = listeners->count;
    bool inherits = address_is_inherited(&endpoint->address);
    if ((inherits || endpoint->is_default) && !adopt(listeners, endpoints, count, endpoint))
        return false;
    if (listeners->count > before)
        return true;
    if (!inherits)
        return open_own(listeners, endpoint);
    log_line(LOG_LEVEL_ERROR,
             "cannot listen on %s: the service manager has passed on no such socket (is there a "
             "socket unit, and was the program started by it?)",
             endpoint->address.text);
    return false;
}

bool listeners_open(struct listeners *listeners, const struct endpoint *endpoints, size_t count)
{
    size_t before = listeners->count;
    size_t most = before + count * (listeners->inherited.count + 1);
    void *items = reallocarray(listeners->items, most, sizeof(*listeners->items));
    if (items == NULL) {
        log_line(LOG_LEVEL_ERROR, "out of memory");
        return false;
    }
    listeners->items = items;
    for (size_t i = 0; i < count; i++) {
        if (!is_open(listeners, &endpoints[i]) &&
            !open_endpoint(listeners, endpoints, count, &endpoints[i]))
            goto fail;
    }
    return true;
fail:
    while (listeners->count > before)
        close_listener(&listeners->items[--listeners->count]);
    return false;
}

void listeners_retain(struct listeners *listeners, const struct endpoint *endpoints, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < listeners->count; i++) {
        bool wanted = false;
        for (size_t k = 0; k < count && !wanted; k++)
            wanted = is_of(&listeners->items[i], &endpoints[k]);
        if (wanted)
            listeners->items[kept++] = listeners->items[i];
        else
            close_listener(&listeners->items[i]);
    }
    listeners->count = kept;
}

void listeners_close(struct listeners *listeners)
{
    listeners_retain(listeners, NULL, 0);
    inherited_close(&listeners->inherited);
    free(listeners->items);
    *listeners = (struct listeners){0};
}

size_t listeners_entrances(const struct listeners *listeners, const struct endpoint *endpoints,
                           size_t count, struct entrance ret_entrances[static LIMIT_LISTENERS])
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < listeners->count && found < LIMIT_LISTENERS; k++)
            if (is_of(&listeners->items[k], &endpoints[i]))
                ret_entrances[found++] = (struct entrance){listeners->items[k].fd, &endpoints[i]};
    return found;
}

void listeners_print(const struct listeners *listeners, const struct endpoint *endpoints,
                     size_t count, enum endpoint_service service, const char *word,
                     struct text *out)
{
    const char *between = word;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < listeners->count; k++)
            if (endpoints[i].service == service && is_of(&listeners->items[k], &endpoints[i])) {
                text_printf(out, "%s%s", between, listeners->items[k].bound.text);
                between = ", ";
            }
}
