#include "supervise/listeners.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
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
} inherited[] = {
    {SOL_SOCKET, SO_REUSEADDR, 1},
    {SOL_SOCKET, SO_SNDBUF, LIMIT_SOCKET_SEND},
    {SOL_SOCKET, SO_RCVBUF, LIMIT_SOCKET_RECEIVE},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, LIMIT_UNFINISHED_MS},
};

static bool set_inherited(int fd)
{
    for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++)
        if (setsockopt(fd, inherited[i].level, inherited[i].option, &inherited[i].value,
                       sizeof(inherited[i].value)) != 0)
            return false;
    return true;
}

/* The socket, or -1 with the reason in errno. */
static int open_socket(struct address *address)
{
    const int on = 1, off = 0;
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(address->any.sa_family, type, 0);
    if (fd < 0 && errno == EAFNOSUPPORT && is_v6_wildcard(address)) {
        fall_back_to_v4(address);
        fd = socket(AF_INET, type, 0);
    }
    if (fd < 0)
        return -1;
    if (!set_inherited(fd))
        goto fail;
    if (address->freebind && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) != 0)
        goto fail;
    if (is_v6_wildcard(address) &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0)
        goto fail;
    if (bind(fd, &address->any, address->len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, &address->any, &address->len) != 0)
        goto fail;
    address_print(address);
    return fd;
fail:;
    int reason = errno;
    (void)close(fd); /* nothing was sent through it */
    errno = reason;
    return -1;
}

static struct listener *find(const struct listeners *listeners, const struct address *address)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (strcmp(listeners->items[i].wanted.text, address->text) == 0)
            return &listeners->items[i];
    return NULL;
}

bool listeners_open(struct listeners *listeners, const struct address *addresses, size_t count)
{
    size_t before = listeners->count;
    void *items = reallocarray(listeners->items, before + count, sizeof(*listeners->items));
    if (items == NULL) {
        log_line(LOG_LEVEL_ERROR, "out of memory");
        return false;
    }
    listeners->items = items;
    for (size_t i = 0; i < count; i++) {
        if (find(listeners, &addresses[i]) != NULL)
            continue;
        struct listener listener = {.wanted = addresses[i], .bound = addresses[i]};
        listener.fd = open_socket(&listener.bound);
        if (listener.fd < 0) {
            log_line(LOG_LEVEL_ERROR, "cannot listen on %s: %s%s", addresses[i].text,
                     strerror(errno), bind_hint(errno));
            goto fail;
        }
        listeners->items[listeners->count++] = listener;
    }
    return true;
fail:
    while (listeners->count > before)
        (void)close(listeners->items[--listeners->count].fd); /* no client came yet */
    return false;
}

void listeners_retain(struct listeners *listeners, const struct address *addresses, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < listeners->count; i++) {
        bool wanted = false;
        for (size_t k = 0; k < count && !wanted; k++)
            wanted = strcmp(listeners->items[i].wanted.text, addresses[k].text) == 0;
        if (wanted)
            listeners->items[kept++] = listeners->items[i];
        else
            (void)close(listeners->items[i].fd); /* it only listened */
    }
    listeners->count = kept;
}

void listeners_close(struct listeners *listeners)
{
    listeners_retain(listeners, NULL, 0);
    free(listeners->items);
    *listeners = (struct listeners){0};
}

void listeners_descriptors(const struct listeners *listeners, const struct address *addresses,
                           size_t count, int *ret_fds)
{
    for (size_t i = 0; i < count; i++) {
        const struct listener *listener = find(listeners, &addresses[i]);
        assert(listener != NULL);
        ret_fds[i] = listener->fd;
    }
}

void listeners_print(const struct listeners *listeners, const struct address *addresses,
                     size_t count, struct text *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct listener *listener = find(listeners, &addresses[i]);
        assert(listener != NULL);
        text_printf(out, "%s%s", i == 0 ? "" : ", ", listener->bound.text);
    }
}
