#include "configuration/endpoints.h"

#include <string.h>

#include "base/limits.h"
#include "configuration/schema.h"

struct reader {
    struct arena *arena;
    struct diag *diag;
    struct endpoint *items;
    const struct node **nodes; /* where each of them is written; NULL for the default */
    size_t count;
    /* While the ranges of one endpoint are read. */
    struct prefix *proxies;
    size_t proxy_count;
};

static bool add_proxy(void *context, const struct node *node)
{
    struct reader *reader = context;
    switch (prefix_parse(node->text, &reader->proxies[reader->proxy_count])) {
    case PREFIX_OK:
        reader->proxy_count++;
        return true;
    case PREFIX_HOST_BITS:
        diag_add(reader->diag, DIAG_FATAL, node->at,
                 "from \"%s\" has bits set after the length of its range", node->text.data);
        diag_hint(reader->diag, "write the first address of the range, or leave out the length to "
                                "mean this address alone");
        return false;
    case PREFIX_MALFORMED:
        break;
    }
    diag_add(reader->diag, DIAG_FATAL, node->at, "from \"%s\" is neither an IP address nor a range",
             node->text.data);
    diag_hint(reader->diag, "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/64");
    return false;
}

static bool read_proxies(struct reader *reader, const struct node *node, struct endpoint *endpoint)
{
    struct proxy_nodes nodes = {0};
    if (node == NULL)
        return true;
    bool good = schema_read(&schema_proxy, node, &nodes, DIAG_FATAL, reader->diag);
    const struct node *from = nodes.from;
    if (from == NULL || (from->kind == NODE_SEQUENCE && from->count == 0)) {
        if (good) {
            diag_add(reader->diag, DIAG_FATAL, node->at,
                     "proxy_protocol does not say which proxies to trust");
            diag_reason(reader->diag, "any other client that can connect could claim any address");
            diag_hint(reader->diag, "write {from: [127.0.0.1]}");
        }
        return false;
    }
    size_t most = from->kind == NODE_SEQUENCE ? from->count : 1;
    reader->proxies = arena_take(reader->arena, most * sizeof(*reader->proxies));
    reader->proxy_count = 0;
    good = schema_each_scalar(from, "from", DIAG_FATAL, reader->diag, add_proxy, reader) && good;
    endpoint->proxies = reader->proxies;
    endpoint->proxy_count = reader->proxy_count;
    return good;
}

static bool add(struct reader *reader, const struct node *node, const struct endpoint *wanted)
{
    struct endpoint endpoint = *wanted;
    const char *key = endpoint_key(endpoint.service);
    if (!address_parse(node->text, &endpoint.address)) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "%s \"%s\" is not an address with a port", key,
                 node->text.data);
        diag_hint(reader->diag, "%s",
                  endpoint.service == ENDPOINT_METRICS
                      ? "write \"127.0.0.1:9810\" or \"unix:/run/mta-sts/metrics.sock\""
                      : "write \"[::]:443\" for all addresses, \"127.0.0.1:8443\" or "
                        "\"[2001:db8::1]:443\"");
        return false;
    }
    if (reader->count == LIMIT_LISTENERS) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "more than %d listeners", LIMIT_LISTENERS);
        return false;
    }
    reader->nodes[reader->count] = node;
    reader->items[reader->count++] = endpoint;
    return true;
}

/* "[::]" includes IPv4, unless that is named, too: then each has a socket of its own. */
static void separate_families(struct reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        for (size_t k = 0; k < reader->count; k++) {
            struct endpoint *one = &reader->items[i];
            const struct endpoint *other = &reader->items[k];
            if (address_is_v6_wildcard(&one->address) && address_is_v4_wildcard(&other->address) &&
                address_port(&one->address) == address_port(&other->address) &&
                one->service == other->service)
                one->v6_only = true;
        }
}

/* Both take what the service manager passes on and no other endpoint names. */
static bool takes_the_rest(const struct endpoint *endpoint)
{
    return endpoint->is_default ||
           (address_is_inherited(&endpoint->address) && !address_is_named(&endpoint->address));
}

static void report_overlap(struct reader *reader, size_t one, size_t other)
{
    const struct endpoint *earlier = &reader->items[one], *later = &reader->items[other];
    const char *key = endpoint_key(later->service), *before = endpoint_key(earlier->service);
    const char *text = later->address.text;
    struct diag *diag = reader->diag;
    struct position at = reader->nodes[other]->at;
    if (address_is_inherited(&later->address) && later->service != earlier->service) {
        diag_add(diag, DIAG_FATAL, at,
                 "%s \"%s\" would take the same sockets of the service manager as %s \"%s\"%s", key,
                 text, before, earlier->address.text, earlier->is_default ? ", the default" : "");
        diag_hint(diag,
                  "write the address of the socket (ListenStream=) as in %s, or \"systemd:NAME\" "
                  "with its FileDescriptorName=",
                  later->service == ENDPOINT_METRICS ? "\"127.0.0.1:9810\"" : "\"[::]:80\"");
    } else if (strcmp(earlier->address.text, text) == 0 && !earlier->is_default) {
        diag_add(diag, DIAG_FATAL, at, "%s \"%s\" is listed twice", key, text);
        diag_hint(diag, "delete one of them");
        return;
    } else {
        diag_add(diag, DIAG_FATAL, at, "%s \"%s\" overlaps with %s \"%s\"%s", key, text, before,
                 earlier->address.text, earlier->is_default ? ", the default" : "");
        diag_reason(diag, "the kernel gives an address and port to one listener only");
        diag_hint(diag,
                  later->service == earlier->service
                      ? "keep the one that includes the other, or name the addresses one by one"
                      : "give one of them another port");
    }
    if (reader->nodes[one] != NULL)
        diag_related(diag, reader->nodes[one]->at, "the other one is here");
}

/* What the kernel would refuse at the start is the fault of the file. */
static bool judge_overlaps(struct reader *reader)
{
    bool good = true;
    for (size_t i = 1; i < reader->count; i++)
        for (size_t k = 0; k < i; k++) {
            const struct endpoint *one = &reader->items[k], *other = &reader->items[i];
            if (strcmp(one->address.text, other->address.text) != 0 &&
                !address_overlaps(&one->address, &other->address, one->v6_only || other->v6_only) &&
                !(takes_the_rest(one) && takes_the_rest(other)))
                continue;
            report_overlap(reader, k, i);
            good = false;
            break;
        }
    return good;
}

static bool read_mapping(struct reader *reader, const struct node *node)
{
    struct listener_nodes nodes = {0};
    struct endpoint endpoint = {0};
    bool tls = true;
    bool good = schema_read(&schema_listener, node, &nodes, DIAG_FATAL, reader->diag);
    good =
        schema_boolean("freebind", nodes.freebind, &endpoint.freebind, DIAG_FATAL, reader->diag) &&
        good;
    good = schema_boolean("tls", nodes.tls, &tls, DIAG_FATAL, reader->diag) && good;
    endpoint.plain = !tls;
    good = read_proxies(reader, nodes.proxy_protocol, &endpoint) && good;
    if (nodes.address == NULL) {
        if (good)
            diag_add(reader->diag, DIAG_FATAL, node->at, "the listener has no address");
        return false;
    }
    return add(reader, nodes.address, &endpoint) && good;
}

static bool read_one(struct reader *reader, const struct node *node)
{
    struct endpoint endpoint = {0};
    if (node->kind == NODE_SCALAR && !node->null)
        return add(reader, node, &endpoint);
    if (node->kind == NODE_MAPPING)
        return read_mapping(reader, node);
    diag_add(reader->diag, DIAG_FATAL, node->at, "listen must be an address or a mapping");
    return false;
}

static bool read_list(struct reader *reader, const struct node *node)
{
    bool good = true;
    if (node->kind != NODE_SEQUENCE)
        return read_one(reader, node);
    if (node->count == 0) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "listen is an empty list");
        diag_hint(reader->diag, "write \"[::]:443\", or leave it out");
        return false;
    }
    for (size_t i = 0; i < node->count; i++)
        good = read_one(reader, node->items[i]) && good;
    return good;
}

bool endpoints_read(const struct endpoint_nodes *nodes, struct arena *arena, struct diag *diag,
                    struct endpoint **ret_items, size_t *ret_count)
{
    const struct node *listen = nodes->listen;
    struct reader reader = {.arena = arena, .diag = diag};
    size_t most = listen == NULL || listen->kind != NODE_SEQUENCE ? 3 : listen->count + 3;
    bool good = true;
    reader.items = arena_take(arena, most * sizeof(*reader.items));
    reader.nodes = arena_take(arena, most * sizeof(const struct node *));
    reader.nodes[0] = NULL;
    if (listen == NULL) {
        reader.items[0] = (struct endpoint){.is_default = true};
        reader.count = address_parse(span_of("[::]:443"), &reader.items[0].address) ? 1 : 0;
    } else {
        good = read_list(&reader, listen);
    }
    if (nodes->metrics != NULL) {
        struct endpoint endpoint = {.service = ENDPOINT_METRICS, .plain = true};
        good = add(&reader, nodes->metrics, &endpoint) && good;
    }
    if (nodes->challenges != NULL) {
        const struct endpoint endpoint = {
            .service = ENDPOINT_CHALLENGES,
            .plain = true,
            .redirect = nodes->redirect,
        };
        good = add(&reader, nodes->challenges, &endpoint) && good;
    }
    separate_families(&reader);
    good = judge_overlaps(&reader) && good;
    *ret_items = reader.items;
    *ret_count = reader.count;
    return good;
}
