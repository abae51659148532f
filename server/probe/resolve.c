#include "probe/resolve.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/heap.h"

/* resolv.conf(5) takes three; a name has at most 255 bytes on the wire (RFC 1035 section 3.1), an
 * answer over TCP at most 65535 (section 4.2.2). */
enum { SERVERS = 3, WIRE_NAME = 255, ANSWER_MOST = 65535, PORT = 53 };
enum { MESSAGE_HEADER = 12, QUERY_MOST = MESSAGE_HEADER + WIRE_NAME + 4, TCP_PREFIX = 2 };
enum { FLAG_RESPONSE = 0x80, FLAG_CUT = 0x02, LOOKUPS = LIMIT_PROBE_MX };

struct servers {
    struct address items[SERVERS];
    size_t count;
};

/* One question to one name server. */
struct channel {
    int fd; /* -1: it was not asked, or has failed */
    bool has_failed;
    bool is_tcp, is_asked; /* is_asked: over TCP */
    int wanted;            /* bytes of an answer over TCP that are waited for, with the prefix */
};

/* What is asked, and of whom. */
struct lookup {
    struct dns_lookup *asked;                     /* borrowed */
    unsigned char query[TCP_PREFIX + QUERY_MOST]; /* behind its length, as TCP wants it */
    size_t query_len;                             /* without the prefix */
    struct channel channels[SERVERS];
    size_t next;     /* the name server that is asked next */
    int64_t next_us; /* and when */
    bool is_done;
};

struct run {
    struct servers servers;
    struct lookup *lookups; /* owned */
    size_t count;
    int64_t begin_us, deadline_us;
    int64_t retry_us; /* between two name servers, or two attempts at one */
};

/* Calls back for each line of the file, without its comment. */
static void read_lines(const char *path, void (*line)(void *context, char *words), void *context)
{
    char *buf = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "re");
    while (file != NULL && getline(&buf, &size, file) >= 0) {
        buf[strcspn(buf, "#;\n")] = '\0';
        line(context, buf);
    }
    free(buf);
    if (file != NULL)
        (void)fclose(file); /* it was only read */
}

static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t\r");
    size_t len = strcspn(word, " \t\r");
    *rest = word + len + (word[len] == '\0' ? 0 : 1);
    word[len] = '\0';
    return word;
}

/* "192.0.2.1", "2001:db8::1", "fe80::1%eth0". */
static bool parse_number(char *word, uint16_t port, struct address *ret_address)
{
    struct in6_addr number;
    char *scope = strchr(word, '%');
    if (scope != NULL)
        *scope++ = '\0';
    int family = inet_pton(AF_INET, word, &number) == 1 ? AF_INET : AF_INET6;
    if (family == AF_INET6 && inet_pton(AF_INET6, word, &number) != 1)
        return false;
    *ret_address = address_make(family, &number, port);
    if (family == AF_INET6 && scope != NULL)
        ret_address->v6.sin6_scope_id = if_nametoindex(scope);
    return true;
}

static void read_server(void *context, char *words)
{
    struct servers *servers = context;
    if (strcmp(next_word(&words), "nameserver") == 0 && servers->count < SERVERS &&
        parse_number(next_word(&words), PORT, &servers->items[servers->count]))
        servers->count++;
}

/* Without any the machine itself is asked, as the C library does. */
static struct servers read_servers(void)
{
    char own[] = "127.0.0.1";
    struct servers servers = {.count = 0};
    read_lines("/etc/resolv.conf", read_server, &servers);
    if (servers.count == 0 && parse_number(own, PORT, &servers.items[0]))
        servers.count = 1;
    return servers;
}

struct hosts {
    const char *host;
    uint16_t port;
    struct resolve_host *found;
};

static void add_address(struct resolve_host *host, const struct address *address)
{
    for (size_t i = 0; i < host->count; i++)
        if (strcmp(host->addresses[i].text, address->text) == 0)
            return;
    if (host->count < LIMIT_PROBE_ADDRESSES)
        host->addresses[host->count++] = *address;
}

static void read_host(void *context, char *words)
{
    struct hosts *hosts = context;
    struct address address;
    char *number = next_word(&words);
    for (char *name = next_word(&words); *name != '\0'; name = next_word(&words))
        if (strcasecmp(name, hosts->host) == 0 && parse_number(number, hosts->port, &address))
            add_address(hosts->found, &address);
}

/* A question (RFC 1035 section 4.1.2) with a number that nobody guesses. False when the name cannot
 * be one. */
static bool build_query(struct lookup *lookup)
{
    unsigned char *query = lookup->query + TCP_PREFIX;
    int len = res_mkquery(ns_o_query, lookup->asked->name, ns_c_in, lookup->asked->type, NULL, 0,
                          NULL, query, QUERY_MOST);
    uint16_t id, size = htons((uint16_t)len);
    if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
        id = (uint16_t)clock_monotonic_us();
    memcpy(query, &id, sizeof(id));
    memcpy(lookup->query, &size, sizeof(size));
    lookup->query_len = len < 0 ? 0 : (size_t)len;
    return len > 0;
}

static void finish(const struct run *run, struct lookup *lookup, enum dns_result result)
{
    lookup->is_done = true;
    lookup->asked->outcome.result = result;
    lookup->asked->outcome.took_us = clock_monotonic_us() - run->begin_us;
    for (size_t i = 0; i < SERVERS; i++)
        descriptor_close(&lookup->channels[i].fd); /* what it still says is not wanted */
}

/* This name server is of no use for the question; the others are asked at once. */
static void fail(const struct run *run, struct lookup *lookup, struct channel *channel,
                 enum dns_result result)
{
    descriptor_close(&channel->fd);
    channel->has_failed = true;
    lookup->next_us = 0;
    if (result != DNS_NO_SERVER)
        lookup->asked->outcome.result = result;
    for (size_t i = 0; i < run->servers.count; i++)
        if (!lookup->channels[i].has_failed)
            return;
    finish(run, lookup,
           lookup->asked->outcome.result == DNS_SILENT ? DNS_NO_SERVER
                                                       : lookup->asked->outcome.result);
}

static void connect_channel(const struct run *run, struct lookup *lookup, struct channel *channel)
{
    const struct address *server = &run->servers.items[channel - lookup->channels];
    int kind = channel->is_tcp ? SOCK_STREAM : SOCK_DGRAM;
    channel->fd = socket(server->any.sa_family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (channel->fd < 0 ||
        (connect(channel->fd, &server->any, server->len) != 0 && errno != EINPROGRESS))
        fail(run, lookup, channel, channel->is_tcp ? DNS_CUT : DNS_NO_SERVER);
}

/* Asks the name server whose turn it is. */
static void ask_next(const struct run *run, struct lookup *lookup, int64_t now)
{
    struct channel *channel = &lookup->channels[lookup->next];
    lookup->next = (lookup->next + 1) % run->servers.count;
    if (channel->has_failed)
        return;
    lookup->next_us = now + run->retry_us;
    if (channel->is_tcp)
        return;
    if (channel->fd < 0)
        connect_channel(run, lookup, channel);
    if (channel->fd >= 0 &&
        send(channel->fd, lookup->query + TCP_PREFIX, lookup->query_len, MSG_NOSIGNAL) < 0 &&
        errno != EAGAIN)
        fail(run, lookup, channel, DNS_NO_SERVER);
}

/* Whether the bytes answer this question: its number, and its name and type where they are told. */
static bool is_answer(const struct lookup *lookup, struct span message)
{
    struct dns_message read;
    const unsigned char *bytes = (const unsigned char *)message.data;
    if (message.len < MESSAGE_HEADER || memcmp(bytes, lookup->query + TCP_PREFIX, 2) != 0 ||
        (bytes[2] & FLAG_RESPONSE) == 0)
        return false;
    if (!dns_read_question(message, &read) || read.name[0] == '\0')
        return true; /* malformed, or an error without the question: what follows tells */
    return strcasecmp(read.name, lookup->asked->name) == 0 && (int)read.type == lookup->asked->type;
}

static void take_message(const struct run *run, struct lookup *lookup, struct channel *channel,
                         struct span message)
{
    unsigned rcode = message.data[3] & 0x0f;
    bool is_cut = (message.data[2] & FLAG_CUT) != 0;
    if (is_cut && channel->is_tcp) {
        fail(run, lookup, channel, DNS_MALFORMED);
    } else if (is_cut) {
        descriptor_close(&channel->fd);
        lookup->asked->outcome.result = DNS_CUT; /* until it comes over TCP */
        channel->is_tcp = true;
        connect_channel(run, lookup, channel);
    } else if (rcode != ns_r_noerror && rcode != ns_r_nxdomain) {
        lookup->asked->outcome.rcode = rcode;
        fail(run, lookup, channel, DNS_ERROR);
    } else {
        finish(run, lookup, dns_read(message, lookup->asked));
    }
}

/* Over TCP an answer stays with the kernel until the whole of it is there. */
static void hear(const struct run *run, struct lookup *lookup, struct channel *channel)
{
    char buf[TCP_PREFIX + ANSWER_MOST];
    const unsigned char *bytes = (const unsigned char *)buf;
    ssize_t len = recv(channel->fd, buf, sizeof(buf), channel->is_tcp ? MSG_PEEK : 0);
    int wanted = len < TCP_PREFIX ? TCP_PREFIX : TCP_PREFIX + (bytes[0] << 8 | bytes[1]);
    struct span message = {buf, len < 0 ? 0 : (size_t)len};
    if (len < 0) {
        if (errno != EAGAIN && errno != EINTR)
            fail(run, lookup, channel, channel->is_tcp ? DNS_CUT : DNS_NO_SERVER);
        return;
    }
    if (channel->is_tcp && len < wanted) { /* or it ends before */
        if (channel->wanted == wanted ||
            setsockopt(channel->fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof(wanted)) != 0)
            fail(run, lookup, channel, DNS_CUT);
        channel->wanted = wanted;
        return;
    }
    if (channel->is_tcp)
        message = (struct span){buf + TCP_PREFIX, (size_t)(wanted - TCP_PREFIX)};
    if (is_answer(lookup, message))
        take_message(run, lookup, channel, message);
    else if (channel->is_tcp) /* else it is somebody else's */
        fail(run, lookup, channel, DNS_MALFORMED);
}

/* A new connection has room for the question. */
static void ask_over_tcp(const struct run *run, struct lookup *lookup, struct channel *channel)
{
    ssize_t len = (ssize_t)(TCP_PREFIX + lookup->query_len);
    channel->is_asked = send(channel->fd, lookup->query, (size_t)len, MSG_NOSIGNAL) == len;
    if (!channel->is_asked)
        fail(run, lookup, channel, DNS_CUT);
}

/* Waits until a name server says something, or until the next one is to be asked. */
static void wait_for_some(const struct run *run, struct lookup *lookups, int64_t now)
{
    struct pollfd polled[LOOKUPS * SERVERS];
    int64_t until = run->deadline_us;
    for (size_t i = 0; i < run->count; i++) {
        if (!lookups[i].is_done && lookups[i].next_us < until)
            until = lookups[i].next_us;
        for (size_t k = 0; k < SERVERS; k++) {
            const struct channel *channel = &lookups[i].channels[k];
            bool sends = channel->is_tcp && !channel->is_asked;
            polled[i * SERVERS + k] =
                (struct pollfd){.fd = channel->fd, .events = sends ? POLLOUT : POLLIN};
        }
    }
    int64_t left_ms = until <= now ? 0 : (until - now + 999) / 1000;
    if (poll(polled, run->count * SERVERS, left_ms > INT_MAX ? INT_MAX : (int)left_ms) <= 0)
        return;
    for (size_t i = 0; i < run->count * SERVERS; i++) {
        struct lookup *lookup = &lookups[i / SERVERS];
        struct channel *channel = &lookup->channels[i % SERVERS];
        /* What came before may have closed it, or opened another in its place. */
        if (polled[i].revents == 0 || lookup->is_done || channel->fd != polled[i].fd)
            continue;
        if (channel->is_tcp && !channel->is_asked)
            ask_over_tcp(run, lookup, channel);
        else
            hear(run, lookup, channel);
    }
}

static void run_all(struct run *run)
{
    for (;;) {
        size_t waiting = 0;
        int64_t now = clock_monotonic_us();
        for (size_t i = 0; i < run->count; i++) {
            struct lookup *lookup = &run->lookups[i];
            for (size_t k = 0; k < run->servers.count && !lookup->is_done && lookup->next_us <= now;
                 k++)
                ask_next(run, lookup, now);
            if (!lookup->is_done && now >= run->deadline_us)
                finish(run, lookup, lookup->asked->outcome.result);
            waiting += lookup->is_done ? 0 : 1;
        }
        if (waiting == 0)
            return;
        wait_for_some(run, run->lookups, now);
    }
}

void resolve_ask(struct dns_lookup *lookups, size_t count, int64_t deadline_us)
{
    assert(count <= LOOKUPS);
    struct run run = {
        .servers = read_servers(),
        .lookups = heap_take(count, sizeof(*run.lookups)),
        .count = count,
        .begin_us = clock_monotonic_us(),
        .deadline_us = deadline_us,
    };
    run.retry_us = (deadline_us - run.begin_us) / 3;
    if (run.retry_us > LIMIT_DNS_RETRY_MS * 1000)
        run.retry_us = LIMIT_DNS_RETRY_MS * 1000;
    for (size_t i = 0; i < count; i++) {
        run.lookups[i].asked = &lookups[i];
        lookups[i].outcome = (struct dns_outcome){.result = DNS_SILENT};
        for (size_t k = 0; k < SERVERS; k++)
            run.lookups[i].channels[k].fd = -1;
        if (lookups[i].name == NULL || !build_query(&run.lookups[i]))
            finish(&run, &run.lookups[i], DNS_NONE);
    }
    run_all(&run);
    free(run.lookups);
}

void resolve_host(const char *host, uint16_t port, struct dns_lookup *lookups, size_t count,
                  int64_t deadline_us, struct resolve_host *ret_host)
{
    static const struct {
        int type, family;
    } kinds[] = {{ns_t_a, AF_INET}, {ns_t_aaaa, AF_INET6}};
    struct hosts hosts = {host, port, ret_host};
    ret_host->count = 0;
    read_lines("/etc/hosts", read_host, &hosts);
    for (size_t k = 0; k < 2 && ret_host->count == 0; k++)
        lookups[k] = (struct dns_lookup){.name = host, .type = kinds[k].type};
    resolve_ask(lookups, count, deadline_us);
    for (size_t k = 0; k < 2; k++)
        ret_host->outcomes[k] = lookups[k].outcome;
    /* Both families in turn, so that many of one leave room for the other. */
    for (size_t i = 0; i < LIMIT_PROBE_ADDRESSES; i++)
        for (size_t k = 0; k < 2; k++)
            if (lookups[k].outcome.result == DNS_DONE && i < lookups[k].count) {
                struct address address =
                    address_make(kinds[k].family, lookups[k].values[i].data, port);
                add_address(ret_host, &address);
            }
}

void resolve_servers_text(char *out, size_t size)
{
    struct servers servers = read_servers();
    struct text text = {0};
    for (size_t i = 0; i < servers.count; i++) {
        const char *number = servers.items[i].text;
        const char *end = strrchr(number, ':'); /* the port is always the same */
        text_printf(&text, "%s%.*s", i == 0 ? "" : ", ", (int)(end - number), number);
    }
    (void)snprintf(out, size, "%s", text.data == NULL ? "" : text.data); /* it fits */
    text_free(&text);
}
