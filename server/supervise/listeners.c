#include "supervise/supervisor_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"

enum {
    BACKLOG = 4096,       /* the kernel cuts this down to net.core.somaxconn */
    FIRST_DESCRIPTOR = 3, /* SD_LISTEN_FDS_START */
};

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
static bool prepare_ip(int fd, const struct address *address, const struct endpoint *endpoint)
{
    const int on = 1, only = endpoint->v6_only ? 1 : 0;
    return set_bounds(fd) &&
           (!endpoint->freebind || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) == 0) &&
           (!address_is_v6_wildcard(address) ||
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0);
}

/* Whoever may enter the folder may connect, as with other servers: a proxy's
 * workers run as a user of their own. The socket is made with these rights: its folder may belong
 * to another user, who could put another file in its place before they were changed. */
static bool bind_local(int fd, const struct address *address)
{
    mode_t before = umask(S_IXUSR | S_IXGRP | S_IXOTH);
    bool bound = bind(fd, &address->any, address->len) == 0;
    if (!bound && errno == EADDRINUSE) {
        /* A killed server leaves its socket behind; nobody listens there any more. A file that is no socket
         * refuses connections too, but is not ours to remove. */
        struct stat stat;
        bool abandoned = lstat(address->local.sun_path, &stat) == 0 && S_ISSOCK(stat.st_mode) &&
                         connect(fd, &address->any, address->len) != 0 && errno == ECONNREFUSED;
        errno = EADDRINUSE;
        bound = abandoned && unlink(address->local.sun_path) == 0 &&
                bind(fd, &address->any, address->len) == 0;
    }
    (void)umask(before); /* it cannot fail */
    return bound;
}

/* The socket, or -1 with the reason in errno. */
static int open_socket(struct address *address, const struct endpoint *endpoint)
{
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(address->any.sa_family, type, 0);
    if (fd < 0 && errno == EAFNOSUPPORT && address_is_v6_wildcard(address) && !endpoint->v6_only) {
        fall_back_to_v4(address);
        fd = socket(AF_INET, type, 0);
    }
    if (fd < 0)
        return -1;
    bool bound = address->any.sa_family == AF_UNIX ? bind_local(fd, address)
                                                   : prepare_ip(fd, address, endpoint) &&
                                                         bind(fd, &address->any, address->len) == 0;
    if (!bound || listen(fd, BACKLOG) != 0 || getsockname(fd, &address->any, &address->len) != 0)
        descriptor_close(&fd); /* nothing was sent through it */
    else
        address_print(address);
    return fd;
}

static void close_listener(const struct listener *listener)
{
    if (listener->wanted.any.sa_family == AF_UNIX)
        (void)unlink(listener->wanted.local.sun_path); /* else the next start does it */
    (void)close(listener->fd);                         /* it only listened */
}

/* For so many more. */
static bool make_room(struct listeners *listeners, size_t count)
{
    void *items =
        reallocarray(listeners->items, listeners->count + count + 1, sizeof(*listeners->items));
    if (items == NULL) {
        log_line(LOG_LEVEL_ERROR, "out of memory");
        return false;
    }
    listeners->items = items;
    return true;
}

static bool has_option(int fd, int option, int wanted)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

/* Makes a listener of the descriptor. False when it is no listening stream socket of a family that an
 * address can be written for. */
static bool take_passed(struct listener *listener)
{
    int fd = listener->fd, only = 0, flags = fcntl(fd, F_GETFL);
    socklen_t len = sizeof(only);
    bool is_local = has_option(fd, SO_DOMAIN, AF_UNIX), is_v6 = has_option(fd, SO_DOMAIN, AF_INET6);
    listener->bound.len = sizeof(listener->bound.local);
    if ((!is_local && !is_v6 && !has_option(fd, SO_DOMAIN, AF_INET)) ||
        !has_option(fd, SO_TYPE, SOCK_STREAM) || !has_option(fd, SO_ACCEPTCONN, 1) ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        (!is_local && !set_bounds(fd)) ||
        (is_v6 && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) != 0) ||
        getsockname(fd, &listener->bound.any, &listener->bound.len) != 0)
        return false;
    listener->v6_only = only != 0;
    address_print(&listener->bound);
    return true;
}

/* How many descriptors are ours: 0 unless they were meant for this process. */
static size_t count_offered(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    if (pid == NULL || count == NULL || strtoll(pid, NULL, 10) != getpid())
        return 0;
    long long offered = strtoll(count, NULL, 10);
    return offered < 0 ? 0 : offered > LIMIT_LISTENERS ? LIMIT_LISTENERS : (size_t)offered;
}

bool listeners_inherit(struct listeners *listeners)
{
    const char *names = getenv("LISTEN_FDNAMES");
    size_t offered = count_offered();
    if (!make_room(listeners, offered))
        return false;
    for (size_t i = 0; i < offered; i++) {
        struct listener listener = {.fd = FIRST_DESCRIPTOR + (int)i};
        size_t len = names == NULL ? 0 : strcspn(names, ":");
        listener.name = names == NULL ? strdup("") : strndup(names, len);
        if (names != NULL)
            names = names[len] == ':' ? names + len + 1 : NULL;
        if (listener.name != NULL && take_passed(&listener)) {
            listeners->items[listeners->count++] = listener;
            continue;
        }
        log_line(LOG_LEVEL_WARNING,
                 "descriptor %d, passed on by the service manager, is no "
                 "listening stream socket of IP or of the file system",
                 listener.fd);
        free(listener.name);
    }
    /* These cannot fail for such names. */
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return true;
}

/* How strongly an endpoint has a socket; see supervisor_inside.h. */
enum claim {
    CLAIM_NONE,
    CLAIM_REST,    /* it has what was passed on and belongs to no other */
    CLAIM_WIDER,   /* it is "[::]", and the socket is IPv4's part of it */
    CLAIM_ADDRESS, /* the socket is bound to its address */
    CLAIM_NAME,    /* it is of that name, or the socket was opened for it */
};

static enum claim claim_of(const struct endpoint *endpoint, const struct listener *listener)
{
    static const char prefix[] = "systemd:";
    const struct address *wanted = &endpoint->address, *bound = &listener->bound;
    /* TLS on the port of HTTP is never meant. */
    bool is_http = endpoint->is_default && address_port(bound) == 80;
    if (listener->name == NULL ? strcmp(listener->wanted.text, wanted->text) == 0
                               : address_is_named(wanted) &&
                                     strcmp(wanted->text + sizeof(prefix) - 1, listener->name) == 0)
        return CLAIM_NAME;
    if (!address_is_inherited(wanted) && strcmp(wanted->text, bound->text) == 0)
        return CLAIM_ADDRESS;
    if (address_is_v6_wildcard(wanted) && !endpoint->v6_only && address_is_v4_wildcard(bound) &&
        address_port(wanted) == address_port(bound))
        return CLAIM_WIDER;
    if (listener->name != NULL && !is_http &&
        (endpoint->is_default || (address_is_inherited(wanted) && !address_is_named(wanted))))
        return CLAIM_REST;
    return CLAIM_NONE;
}

/* The endpoint that the socket belongs to, or NULL. */
static const struct endpoint *owner_of(const struct listener *listener,
                                       const struct endpoint *endpoints, size_t count)
{
    const struct endpoint *owner = NULL;
    enum claim best = CLAIM_NONE;
    for (size_t i = 0; i < count; i++) {
        enum claim claim = claim_of(&endpoints[i], listener);
        if (claim > best) {
            best = claim;
            owner = &endpoints[i];
        }
    }
    return owner;
}

/* "0.0.0.0" needs no socket of its own when that of "[::]" takes IPv4 and is served alike. */
static bool is_open(const struct listeners *listeners, const struct endpoint *endpoints,
                    size_t count, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener *listener = &listeners->items[i];
        const struct endpoint *owner = owner_of(listener, endpoints, count);
        if (owner == endpoint ||
            (owner != NULL && !listener->v6_only && address_is_v4_wildcard(&endpoint->address) &&
             address_is_v6_wildcard(&listener->bound) &&
             address_port(&endpoint->address) == address_port(&listener->bound) &&
             owner->service == endpoint->service && owner->plain == endpoint->plain &&
             owner->proxy_count == 0 && endpoint->proxy_count == 0))
            return true;
    }
    return false;
}

/* The socket unit, as far as its sockets tell: that is their name unless it gives them another. */
static const char *socket_unit(const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        const char *name = listeners->items[i].name;
        if (name != NULL && strlen(name) > 7 && strcmp(name + strlen(name) - 7, ".socket") == 0)
            return name;
    }
    return "mta-sts-httpd.socket";
}

/* They come first. */
static bool is_any_passed(const struct listeners *listeners)
{
    return listeners->count > 0 && listeners->items[0].name != NULL;
}

/* Appends what was passed on: "[::]:443, [::]:80". */
static void print_passed(const struct listeners *listeners, struct text *out)
{
    const char *between = "";
    for (size_t i = 0; i < listeners->count; i++)
        if (listeners->items[i].name != NULL) {
            text_printf(out, "%s%s", between, listeners->items[i].bound.text);
            between = ", ";
        }
}

/* False. What to do about the fault, which may be nothing, goes into a line of its own, as in diagnostics. */
static bool refuse(struct text *fault, struct text *fix)
{
    log_line(LOG_LEVEL_ERROR, "%s", fault->failed ? "cannot listen: out of memory" : fault->data);
    if (fix->data != NULL && !fix->failed)
        log_line(LOG_LEVEL_ERROR, "    fix: %s", fix->data);
    text_free(fault);
    text_free(fix);
    return false;
}

/* Begins with the key, where that is not the usual one. */
static void begin_fault(const struct endpoint *endpoint, struct text *fault)
{
    if (endpoint->service != ENDPOINT_POLICIES)
        text_printf(fault, "%s: ", endpoint_key(endpoint->service));
    text_printf(fault, "cannot listen on %s: ", endpoint->address.text);
}

static void explain_bind(const struct listeners *listeners, const struct endpoint *endpoint,
                         int reason, struct text *fault, struct text *fix)
{
    const struct address *wanted = &endpoint->address;
    const struct listener *other = NULL; /* that has some of the address */
    for (size_t i = 0; other == NULL && i < listeners->count; i++)
        if (address_overlaps(&listeners->items[i].bound, wanted, listeners->items[i].v6_only))
            other = &listeners->items[i];
    if (reason == EADDRINUSE && other != NULL) {
        text_printf(fault, ": it is part of %s, which %s", other->bound.text,
                    other->name == NULL ? "this server has opened itself"
                                        : "the service manager has passed on");
        text_append(fix, span_of(other->name == NULL
                                     ? "restart the server: a reload closes no listener first"
                                     : "write the same address in both places"));
    } else if (reason == EADDRINUSE) {
        text_append(fault,
                    span_of(": another program (or another instance of this one) listens there"));
    } else if (reason == EACCES) {
        text_append(fault, span_of(": a port below 1024 needs root or CAP_NET_BIND_SERVICE"));
    } else if (reason == EADDRNOTAVAIL) {
        text_append(fault, span_of(": no network interface has this address (yet? then write "
                                   "freebind: true)"));
    } else if (reason == EAFNOSUPPORT) {
        text_append(fault, span_of(": the service may open no such socket itself "
                                   "(RestrictAddressFamilies=), or this machine lacks the family"));
        text_printf(fix,
                    "have systemd open it: \"systemctl edit %s\", below [Socket] "
                    "\"ListenStream=%s\", then \"systemctl restart %s\"",
                    socket_unit(listeners),
                    wanted->any.sa_family == AF_UNIX ? wanted->local.sun_path : wanted->text,
                    socket_unit(listeners));
    }
}

static bool open_own(struct listeners *listeners, const struct endpoint *endpoint)
{
    const struct address *wanted = &endpoint->address;
    struct listener listener = {.wanted = *wanted, .bound = *wanted, .v6_only = endpoint->v6_only};
    listener.fd = open_socket(&listener.bound, endpoint);
    if (listener.fd >= 0) {
        listeners->items[listeners->count++] = listener;
        return true;
    }
    struct text fault = {0}, fix = {0};
    int reason = errno;
    begin_fault(endpoint, &fault);
    text_append(&fault, span_of(strerror(reason)));
    explain_bind(listeners, endpoint, reason, &fault, &fix);
    if (is_any_passed(listeners) && reason != EADDRINUSE) {
        text_append(&fault, span_of("; the service manager has passed on "));
        print_passed(listeners, &fault);
    }
    return refuse(&fault, &fix);
}

static bool report_missing(const struct listeners *listeners, const struct endpoint *endpoint)
{
    struct text fault = {0}, fix = {0};
    begin_fault(endpoint, &fault);
    text_append(&fault, span_of("the service manager has passed on "));
    if (!is_any_passed(listeners)) {
        text_append(&fault, span_of("no such socket (is there a socket unit, and was the program "
                                    "started by it?)"));
    } else {
        text_append(&fault, span_of("no such socket, but "));
        print_passed(listeners, &fault);
        text_append(&fix, span_of("write the address of one of these instead, or give the socket "
                                  "unit FileDescriptorName="));
    }
    return refuse(&fault, &fix);
}

/* "[::]" stands for both families, so that half of it is not what was configured; a machine without
 * IPv6 has no more to give. */
static bool is_whole(const struct listeners *listeners, const struct endpoint *endpoints,
                     size_t count, const struct endpoint *endpoint)
{
    bool v4 = false, v6 = false, passed = false;
    if (!address_is_v6_wildcard(&endpoint->address) || endpoint->is_default || endpoint->v6_only)
        return true;
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener *listener = &listeners->items[i];
        if (owner_of(listener, endpoints, count) != endpoint)
            continue;
        bool is_v6 = listener->bound.any.sa_family == AF_INET6;
        v6 = v6 || is_v6;
        v4 = v4 || !is_v6 || !listener->v6_only;
        passed = passed || listener->name != NULL;
    }
    if (!passed || (v4 && (v6 || access("/proc/self/net/if_inet6", F_OK) != 0)))
        return true;
    struct text fault = {0}, fix = {0};
    begin_fault(endpoint, &fault);
    text_printf(&fault,
                "it means IPv6 and IPv4, but the service manager has passed on a socket for IPv%c "
                "alone",
                v4 ? '4' : '6');
    text_printf(&fix, "write \"ListenStream=%s\" and \"BindIPv6Only=both\" in %s",
                endpoint->address.text, socket_unit(listeners));
    return refuse(&fault, &fix);
}

/* Clients of a socket that is not served would wait until they give up, also where the others are
 * selected by name. */
static bool is_wanted(const struct listeners *listeners, const struct endpoint *endpoints,
                      size_t count, const struct listener *listener)
{
    struct text fault = {0}, fix = {0};
    if (listener->name == NULL || owner_of(listener, endpoints, count) != NULL)
        return true;
    bool by_name = false;
    for (size_t i = 0; i < count; i++)
        by_name = by_name || address_is_named(&endpoints[i].address);
    text_printf(&fault, "the service manager has passed on a socket for %s", listener->bound.text);
    if (by_name)
        text_printf(&fault, " named \"%s\"", listener->name);
    text_append(&fault, span_of(", which is not configured: "));
    for (size_t i = 0; i < count; i++)
        text_printf(&fault, "%s%s %s", i == 0 ? "" : ", ", endpoint_key(endpoints[i].service),
                    endpoints[i].address.text);
    text_printf(&fix,
                "configure it (listen, metrics, or http of acme), or take its ListenStream= out: "
                "\"systemctl edit %s\", then \"systemctl restart %s\"",
                socket_unit(listeners), socket_unit(listeners));
    return refuse(&fault, &fix);
}

bool listeners_open(struct listeners *listeners, const struct endpoint *endpoints, size_t count)
{
    bool good = make_room(listeners, count);
    size_t before = listeners->count;
    if (!good)
        return false;
    for (size_t i = 0; good && i < before; i++)
        good = is_wanted(listeners, endpoints, count, &listeners->items[i]);
    for (size_t i = 0; i < count; i++)
        good =
            (is_open(listeners, endpoints, count, &endpoints[i]) ||
             (address_is_inherited(&endpoints[i].address) ? report_missing(listeners, &endpoints[i])
                                                          : open_own(listeners, &endpoints[i]))) &&
            is_whole(listeners, endpoints, count, &endpoints[i]) && good;
    while (!good && listeners->count > before)
        close_listener(&listeners->items[--listeners->count]);
    return good;
}

/* What was passed on stays, because a later reload may want it again. */
void listeners_retain(struct listeners *listeners, const struct endpoint *endpoints, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener *listener = &listeners->items[i];
        if (owner_of(listener, endpoints, count) != NULL || listener->name != NULL)
            listeners->items[kept++] = *listener;
        else
            close_listener(listener);
    }
    listeners->count = kept;
}

void listeners_close(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        close_listener(&listeners->items[i]);
        free(listeners->items[i].name);
    }
    free(listeners->items);
    *listeners = (struct listeners){0};
}

size_t listeners_entrances(const struct listeners *listeners, const struct endpoint *endpoints,
                           size_t count, struct entrance ret_entrances[static LIMIT_LISTENERS])
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < listeners->count && found < LIMIT_LISTENERS; k++)
            if (owner_of(&listeners->items[k], endpoints, count) == &endpoints[i])
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
            if (endpoints[i].service == service &&
                owner_of(&listeners->items[k], endpoints, count) == &endpoints[i]) {
                text_printf(out, "%s%s", between, listeners->items[k].bound.text);
                between = ", ";
            }
}
