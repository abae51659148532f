#include "configuration/settings.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/text.h"
#include "configuration/document.h"
#include "policy/name.h"
#include "site/site.h"

struct reader {
    struct arena *arena;
    struct diag *diag;
    enum diag_level level;
    struct settings *settings;
    const struct node *listeners[LIMIT_LISTENERS]; /* where each is written; NULL for the default */
    struct prefix *proxies;                        /* of the listener that is read */
    struct text rua;                               /* owned while it is built */
};

/* What the node says, borrowed from the arena; NULL without a node. */
static const char *copy(const struct node *node, struct arena *arena)
{
    return node == NULL ? NULL : arena_copy(arena, node->text);
}

static void read_prefix(struct reader *reader, const struct node *node, struct endpoint *endpoint)
{
    switch (prefix_parse(node->text, &reader->proxies[endpoint->proxy_count])) {
    case PREFIX_OK:
        endpoint->proxy_count++;
        break;
    case PREFIX_HOST_BITS:
        diag_add(reader->diag, DIAG_FATAL, node->at,
                 "from \"%s\" has bits set after the length of its range", node->text.data);
        diag_hint(reader->diag, "write the first address of the range, or leave out the length to "
                                "mean this address alone");
        break;
    case PREFIX_MALFORMED:
        diag_add(reader->diag, DIAG_FATAL, node->at,
                 "from \"%s\" is neither an IP address nor a range", node->text.data);
        diag_hint(reader->diag, "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/64");
        break;
    }
}

static void read_proxies(struct reader *reader, const struct node *node, struct endpoint *endpoint)
{
    struct proxy_nodes nodes = {0};
    if (!schema_read(&schema_proxy, node, &nodes, DIAG_FATAL, reader->diag))
        return;
    if (nodes.from == NULL || schema_count(nodes.from) == 0) {
        diag_add(reader->diag, DIAG_FATAL, node->at,
                 "proxy_protocol does not say which proxies to trust");
        diag_reason(reader->diag, "any other client that can connect could claim any address");
        diag_hint(reader->diag, "write {from: [127.0.0.1]}");
        return;
    }
    reader->proxies =
        arena_take(reader->arena, schema_count(nodes.from) * sizeof(*reader->proxies));
    endpoint->proxies = reader->proxies;
    for (size_t i = 0; i < schema_count(nodes.from); i++)
        if (schema_value(nodes.from, i) != NULL)
            read_prefix(reader, schema_value(nodes.from, i), endpoint);
}

static void add_endpoint(struct reader *reader, const struct node *node, struct endpoint endpoint)
{
    struct settings *settings = reader->settings;
    if (!address_parse(node->text, &endpoint.address)) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "%s \"%s\" is not an address with a port",
                 endpoint_key(endpoint.service), node->text.data);
        diag_hint(reader->diag, "%s",
                  endpoint.service == ENDPOINT_METRICS
                      ? "write \"127.0.0.1:9810\" or \"unix:/run/mta-sts/metrics.sock\""
                      : "write \"[::]:443\" for all addresses, \"127.0.0.1:8443\" or "
                        "\"[2001:db8::1]:443\"");
        return;
    }
    if (settings->listener_count == LIMIT_LISTENERS) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "more than %d listeners", LIMIT_LISTENERS);
        return;
    }
    reader->listeners[settings->listener_count] = node;
    settings->listeners[settings->listener_count++] = endpoint;
}

/* "[::]" includes IPv4, unless that is named, too: then each has a socket of its own. */
static void separate_families(struct settings *settings)
{
    for (size_t i = 0; i < settings->listener_count; i++)
        for (size_t k = 0; k < settings->listener_count; k++) {
            struct endpoint *one = &settings->listeners[i];
            const struct endpoint *other = &settings->listeners[k];
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
    const struct endpoint *earlier = &reader->settings->listeners[one],
                          *later = &reader->settings->listeners[other];
    const char *key = endpoint_key(later->service), *before = endpoint_key(earlier->service);
    const char *text = later->address.text;
    struct diag *diag = reader->diag;
    struct position at = reader->listeners[other]->at;
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
    if (reader->listeners[one] != NULL)
        diag_related(diag, reader->listeners[one]->at, "the other one is here");
}

/* What the kernel would refuse at the start is the fault of the file. */
static void judge_overlaps(struct reader *reader)
{
    const struct endpoint *items = reader->settings->listeners;
    for (size_t i = 1; i < reader->settings->listener_count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(items[k].address.text, items[i].address.text) == 0 ||
                address_overlaps(&items[k].address, &items[i].address,
                                 items[k].v6_only || items[i].v6_only) ||
                (takes_the_rest(&items[k]) && takes_the_rest(&items[i]))) {
                report_overlap(reader, k, i);
                break;
            }
}

static void read_listener(struct reader *reader, const struct node *node)
{
    struct listener_nodes nodes = {0};
    if (node->kind == NODE_SCALAR && !node->null) {
        add_endpoint(reader, node, (struct endpoint){0});
        return;
    }
    if (node->kind != NODE_MAPPING) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "listen must be an address or a mapping");
        return;
    }
    const size_t before = diag_count(reader->diag, DIAG_FATAL);
    (void)schema_read(&schema_listener, node, &nodes, DIAG_FATAL, reader->diag); /* counted */
    struct endpoint endpoint = {.freebind = nodes.freebind != 0, .plain = nodes.plain != 0};
    if (nodes.proxy_protocol != NULL)
        read_proxies(reader, nodes.proxy_protocol, &endpoint);
    if (nodes.address != NULL)
        add_endpoint(reader, nodes.address, endpoint);
    else if (diag_count(reader->diag, DIAG_FATAL) == before)
        diag_add(reader->diag, DIAG_FATAL, node->at, "the listener has no address");
}

static void read_listen(struct reader *reader, const struct node *node)
{
    struct settings *settings = reader->settings;
    if (node == NULL) {
        settings->listeners[0].is_default = true;
        settings->listener_count =
            address_parse(span_of("[::]:443"), &settings->listeners[0].address) ? 1 : 0;
    } else if (node->kind != NODE_SEQUENCE) {
        read_listener(reader, node);
    } else if (node->count == 0) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "listen is an empty list");
        diag_hint(reader->diag, "write \"[::]:443\", or leave it out");
    } else {
        for (size_t i = 0; i < node->count; i++)
            read_listener(reader, node->items[i]);
    }
}

static void complain(struct diag *diag, struct position at, const char *problem, const char *hint)
{
    diag_add(diag, DIAG_FATAL, at, "%s", problem);
    diag_hint(diag, "%s", hint);
}

/* Judges what makes sense only together. The folders are as they are written, borrowed from the arena. */
static void read_acme(struct reader *reader, const struct node *node)
{
    struct diag *diag = reader->diag;
    struct acme_nodes nodes = {0};
    const struct node *alpn = document_member(node, "alpn"), *http = document_member(node, "http"),
                      *webroot = document_member(node, "webroot"),
                      *redirect = document_member(node, "redirect");
    (void)schema_read(&schema_acme, node, &nodes, DIAG_FATAL, diag); /* counted in diag */
    if (nodes.http != NULL)
        add_endpoint(reader, nodes.http,
                     (struct endpoint){.service = ENDPOINT_CHALLENGES,
                                       .plain = true,
                                       .redirect = nodes.redirect != 0});
    size_t known = (alpn != NULL ? 1U : 0) + (http != NULL ? 1U : 0) + (webroot != NULL ? 1U : 0) +
                   (redirect != NULL ? 1U : 0);
    if (known < node->count)
        return; /* what is lacking may be there under a wrong name */
    if (http != NULL && webroot == NULL)
        complain(diag, http->at, "acme has http but no webroot",
                 "add \"webroot:\" with the folder that your ACME client writes to");
    else if (http == NULL && webroot != NULL)
        complain(diag, webroot->at, "acme has a webroot but nothing that serves it",
                 "add http: \"[::]:80\"; authorities ask on port 80");
    else if (http == NULL && redirect != NULL)
        complain(diag, redirect->at, "acme has redirect but no http",
                 "delete it: without http there is no request to redirect");
    else if (http == NULL && alpn == NULL)
        complain(diag, node->at, "acme has neither alpn nor http",
                 "write {alpn: DIR} for tls-alpn-01, or {http: \"[::]:80\", webroot: DIR} "
                 "for http-01");
    reader->settings->acme =
        (struct acme){copy(nodes.alpn, reader->arena), copy(nodes.webroot, reader->arena)};
}

/* Where clients of any kind come. */
static void read_endpoints(struct reader *reader, const struct root_nodes *nodes)
{
    reader->settings->listeners =
        arena_take(reader->arena, LIMIT_LISTENERS * sizeof(struct endpoint));
    read_listen(reader, nodes->listen);
    if (nodes->metrics != NULL)
        add_endpoint(reader, nodes->metrics,
                     (struct endpoint){.service = ENDPOINT_METRICS, .plain = true});
    if (nodes->acme != NULL)
        read_acme(reader, nodes->acme);
    separate_families(reader->settings);
    judge_overlaps(reader);
}

static void read_workers(struct reader *reader, const struct node *node)
{
    uint64_t workers = 0;
    if (node == NULL || span_equal(node->text, span_of("auto")))
        return;
    if (!span_number(node->text, LIMIT_WORKERS, &workers) || workers == 0) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "workers \"%s\" is neither auto nor 1 to %d",
                 node->text.data, LIMIT_WORKERS);
        diag_hint(reader->diag, "leave it out: one worker a CPU is right nearly always");
    }
    reader->settings->workers = (unsigned)workers;
}

static void read_warning(struct reader *reader, const struct node *node)
{
    uint32_t seconds = 0;
    if (node == NULL || span_equal(node->text, span_of("auto")))
        return;
    if (!calendar_duration(node->text, &seconds)) {
        diag_add(reader->diag, DIAG_FATAL, node->at,
                 "certificate_warning \"%s\" is neither a time nor auto", node->text.data);
        diag_hint(reader->diag, "write a number of seconds, or one with s, m, h, d or w: 21d");
    }
    reader->settings->certificate_warning = seconds;
}

static void add_address(struct reader *reader, const struct node *node)
{
    struct settings *settings = reader->settings;
    unsigned char number[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];
    int family = memchr(node->text.data, ':', node->text.len) == NULL ? AF_INET : AF_INET6;
    if (inet_pton(family, node->text.data, number) != 1 ||
        inet_ntop(family, number, text, sizeof(text)) == NULL) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "\"%s\" is not an IP address",
                 node->text.data);
        diag_hint(reader->diag, "write addresses such as 192.0.2.1 or 2001:db8::1; a host name "
                                "goes under \"target:\"");
        return;
    }
    settings->dns_addresses[settings->dns_address_count++] =
        arena_copy(reader->arena, span_of(text));
}

/* The name of a host or a zone; NULL without one, and after a problem. */
static const char *read_name(struct reader *reader, const char *key, const struct node *node)
{
    struct name name;
    if (node == NULL)
        return NULL;
    enum name_fault fault = name_parse(node->text, NAME_HOST, &name);
    if (fault == NAME_TRAILING_DOT && name_suggest(node->text, NAME_HOST, &name))
        fault = NAME_OK; /* in a zone file a final dot is right, so people write it */
    if (fault == NAME_OK)
        return arena_copy(reader->arena, (struct span){name.text, name.len});
    diag_add(reader->diag, DIAG_FATAL, node->at, "%s \"%s\" %s", key, node->text.data,
             name_faults[fault].text);
    return NULL;
}

static void read_ttl(struct reader *reader, const struct node *node)
{
    uint32_t ttl = 0;
    if (!calendar_duration(node->text, &ttl) || ttl < 1 || ttl > INT32_MAX) {
        diag_add(reader->diag, DIAG_FATAL, node->at,
                 "ttl \"%s\" is not a time from 1 second to 68 years (RFC 2181 section 8)",
                 node->text.data);
        diag_hint(reader->diag, "write a number of seconds, or one with s, m, h, d or w: 1h");
    } else if (ttl > LIMIT_TTL_ADVISED) {
        diag_add(reader->diag, DIAG_WARNING, node->at, "ttl \"%s\" is above one day",
                 diag_word(node->text).text);
        diag_reason(reader->diag, "after a change senders see the former id that long, and go on "
                                  "with the former policy");
        diag_hint(reader->diag, "write 1h");
    }
    reader->settings->dns_ttl = ttl;
}

static void read_dns(struct reader *reader, const struct node *node)
{
    struct dns_nodes nodes = {0};
    struct settings *settings = reader->settings;
    struct diag *diag = reader->diag;
    (void)schema_read(&schema_dns, node, &nodes, DIAG_FATAL, diag); /* counted in diag */
    if (nodes.target != NULL && nodes.addresses != NULL) {
        diag_add(diag, DIAG_FATAL, nodes.addresses->at, "dns has both target and addresses");
        diag_reason(diag, "a name with a CNAME has no other record (RFC 1034 section 3.6.2)");
        diag_hint(diag, "delete one of them");
    }
    settings->dns_target = read_name(reader, "target", nodes.target);
    settings->dns_delegate = read_name(reader, "delegate", nodes.delegate);
    if (settings->dns_delegate != NULL && strlen(settings->dns_delegate) > LIMIT_DELEGATE) {
        diag_add(diag, DIAG_FATAL, nodes.delegate->at, "delegate is longer than %d bytes",
                 LIMIT_DELEGATE);
        diag_reason(diag, "the name of a policy and \"._mta-sts.\" are put in front of it");
    }
    if (nodes.ttl != NULL)
        read_ttl(reader, nodes.ttl);
    const size_t count = nodes.addresses == NULL ? 0 : schema_count(nodes.addresses);
    settings->dns_addresses = arena_take(reader->arena, (count + 1) * sizeof(const char *));
    for (size_t i = 0; i < count; i++)
        if (schema_value(nodes.addresses, i) != NULL)
            add_address(reader, schema_value(nodes.addresses, i));
}

/* RFC 8460 section 3: these three separate things in the record, so inside of an address they are
 * encoded. */
static void append_encoded(struct text *out, struct span uri)
{
    for (size_t i = 0; i < uri.len; i++)
        if (memchr(",!;", uri.data[i], 3) != NULL)
            text_printf(out, "%%%02X", (unsigned char)uri.data[i]);
        else
            text_append(out, (struct span){uri.data + i, 1});
}

static bool uri_is_sound(struct span uri)
{
    struct span mailto = span_of("mailto:"), https = span_of("https://");
    for (size_t i = 0; i < uri.len; i++)
        if (uri.data[i] <= ' ' || uri.data[i] > '~' || uri.data[i] == '"' || uri.data[i] == '\\')
            return false;
    if (span_begins_fold(uri, mailto)) {
        struct span mailbox = span_skip(uri, mailto.len);
        const char *at = mailbox.len == 0 ? NULL : memchr(mailbox.data, '@', mailbox.len);
        return at != NULL && at != mailbox.data && at + 1 != mailbox.data + mailbox.len;
    }
    return span_begins_fold(uri, https) && uri.len > https.len;
}

static bool add_rua(struct reader *reader, const struct node *node)
{
    if (!uri_is_sound(node->text)) {
        diag_add(reader->diag, reader->level, node->at,
                 "tls_rpt \"%s\" is neither a mailto: nor an https: address",
                 diag_word(node->text).text);
        diag_reason(reader->diag, "senders know no other way to report (RFC 8460 section 3)");
        diag_hint(reader->diag, "write mailto:tls-reports@example.com");
        return false;
    }
    if (reader->rua.len > LIMIT_TLS_RPT)
        return false; /* which was said */
    if (reader->rua.len > 0)
        text_append(&reader->rua, span_of(","));
    append_encoded(&reader->rua, node->text);
    if (reader->rua.len <= LIMIT_TLS_RPT)
        return true;
    diag_add(reader->diag, reader->level, node->at, "tls_rpt is longer than %d bytes",
             LIMIT_TLS_RPT);
    diag_hint(reader->diag, "write one or two addresses");
    return false;
}

const char *settings_tls_rpt(const struct node *node, struct arena *arena, enum diag_level level,
                             struct diag *diag)
{
    struct reader reader = {.arena = arena, .diag = diag, .level = level};
    bool good = schema_count(node) > 0;
    if (!good)
        diag_add(diag, level, node->at, "tls_rpt is an empty list");
    for (size_t i = 0; i < schema_count(node); i++)
        good = schema_value(node, i) != NULL && add_rua(&reader, schema_value(node, i)) && good;
    const char *copy = good ? arena_copy(arena, heap_text(&reader.rua)) : NULL;
    text_free(&reader.rua);
    return copy;
}

bool settings_read(const struct root_nodes *nodes, struct arena *arena, struct diag *diag,
                   struct settings *ret_settings)
{
    const size_t before = diag_count(diag, DIAG_FATAL);
    struct settings settings = {
        .user = copy(nodes->user, arena),
        .strict = nodes->strict != 0,
        .seal_required = nodes->seal_required != 0,
        .certificate_warning = VERDICT_WARNING_DEFAULT,
    };
    struct reader reader = {
        .arena = arena, .diag = diag, .level = DIAG_FATAL, .settings = &settings};
    read_endpoints(&reader, nodes);
    read_workers(&reader, nodes->workers);
    read_warning(&reader, nodes->certificate_warning);
    struct log_nodes log = {0};
    if (nodes->log != NULL)
        (void)schema_read(&schema_log, nodes->log, &log, DIAG_FATAL, diag); /* counted in diag */
    settings.log = (struct log_style){.json = log.json != 0,
                                      .anonymize = log.anonymize != 0,
                                      .access = (enum log_access)log.access};
    if (nodes->dns != NULL)
        read_dns(&reader, nodes->dns);
    if (nodes->tls_rpt != NULL)
        settings.tls_rpt = settings_tls_rpt(nodes->tls_rpt, arena, DIAG_FATAL, diag);
    bool good = diag_count(diag, DIAG_FATAL) == before;
    if (good)
        *ret_settings = settings;
    return good;
}
