#include "configuration/settings.h"

#include <arpa/inet.h>

#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/text.h"
#include "configuration/document.h"
#include "configuration/endpoints.h"
#include "policy/name.h"
#include "site/verdict.h"

/* What is there of a pair that makes sense only together. */
static bool complain(struct diag *diag, struct position at, const char *problem, const char *hint)
{
    diag_add(diag, DIAG_FATAL, at, "%s", problem);
    diag_hint(diag, "%s", hint);
    return false;
}

static bool judge_acme(const struct acme_nodes *nodes, struct position at, struct diag *diag)
{
    if (nodes->http != NULL && nodes->webroot == NULL)
        return complain(diag, nodes->http->at, "acme has http but no webroot",
                        "add \"webroot:\" with the folder that your ACME client writes to");
    if (nodes->http == NULL && nodes->webroot != NULL)
        return complain(diag, nodes->webroot->at, "acme has a webroot but nothing that serves it",
                        "add http: \"[::]:80\"; authorities ask on port 80");
    if (nodes->http == NULL && nodes->redirect != NULL)
        return complain(diag, nodes->redirect->at, "acme has redirect but no http",
                        "delete it: without http there is no request to redirect");
    if (nodes->http == NULL && nodes->alpn == NULL)
        return complain(diag, at, "acme has neither alpn nor http",
                        "write {alpn: DIR} for tls-alpn-01, or {http: \"[::]:80\", webroot: DIR} "
                        "for http-01");
    return true;
}

/* What the node says, borrowed from the arena; NULL without a node. */
static const char *copy(const struct node *node, struct arena *arena)
{
    return node == NULL ? NULL : arena_copy(arena, node->text);
}

/* Judges the node, which may be NULL. The folders are as they are written, borrowed from the arena.
 * ret_http is the address for http-01, or NULL, and ret_redirect whether other paths are redirected.
 * False after a problem, added to diag. */
static bool read_acme(const struct node *node, struct arena *arena, struct diag *diag,
                      struct acme *ret_acme, const struct node **ret_http, bool *ret_redirect)
{
    struct acme_nodes nodes = {0};
    if (node == NULL)
        return true;
    bool good = schema_read(&schema_acme, node, &nodes, DIAG_FATAL, diag);
    good = good && judge_acme(&nodes, node->at, diag);
    good = schema_boolean("redirect", nodes.redirect, ret_redirect, DIAG_FATAL, diag) && good;
    *ret_http = nodes.http;
    *ret_acme = (struct acme){copy(nodes.alpn, arena), copy(nodes.webroot, arena)};
    return good;
}

struct reader {
    struct arena *arena;
    struct diag *diag;
    enum diag_level level;
    struct settings *settings;
    struct text rua; /* owned while it is built */
};

/* How many values a key has: one, or those of its list. */
static size_t value_count(const struct node *node)
{
    return node->kind == NODE_SEQUENCE ? node->count : 1;
}

static bool read_workers(struct reader *reader, const struct node *node)
{
    uint64_t workers = 0;
    if (node == NULL || span_equal(node->text, span_of("auto")))
        return true;
    if (!span_number(node->text, LIMIT_WORKERS, &workers) || workers == 0) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "workers \"%s\" is neither auto nor 1 to %d",
                 node->text.data, LIMIT_WORKERS);
        diag_hint(reader->diag, "leave it out: one worker a CPU is right nearly always");
        return false;
    }
    reader->settings->workers = (unsigned)workers;
    return true;
}

static bool read_watch(struct reader *reader, const struct node *node)
{
    struct settings *settings = reader->settings;
    settings->watch_certificates = true;
    if (node == NULL)
        return true;
    settings->watch_files = span_equal(node->text, span_of("true"));
    settings->watch_certificates = settings->watch_files;
    if (settings->watch_files || span_equal(node->text, span_of("false")))
        return true;
    diag_add(reader->diag, DIAG_FATAL, node->at, "watch \"%s\" is neither true nor false",
             node->text.data);
    if (!schema_hint_boolean(node, reader->diag))
        diag_hint(reader->diag, "leave it out to watch the certificates only");
    return false;
}

static bool read_seal(struct reader *reader, const struct node *node)
{
    if (node == NULL || span_equal(node->text, span_of("best")))
        return true;
    reader->settings->seal_required = span_equal(node->text, span_of("required"));
    if (reader->settings->seal_required)
        return true;
    diag_add(reader->diag, DIAG_FATAL, node->at, "seal \"%s\" is neither required nor best",
             node->text.data);
    diag_hint(reader->diag, "\"mta-sts-httpd seal\" shows what this machine can do");
    return false;
}

static bool read_warning(struct reader *reader, const struct node *node)
{
    uint32_t seconds;
    if (node == NULL || span_equal(node->text, span_of("auto")))
        return true; /* as at the beginning */
    if (calendar_duration(node->text, &seconds)) {
        reader->settings->certificate_warning = seconds;
        return true;
    }
    diag_add(reader->diag, DIAG_FATAL, node->at,
             "certificate_warning \"%s\" is neither a time nor auto", node->text.data);
    diag_hint(reader->diag, "write a number of seconds, or one with s, m, h, d or w: 21d");
    return false;
}

static bool add_address(void *context, const struct node *node)
{
    struct reader *reader = context;
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
        return false;
    }
    settings->dns_addresses[settings->dns_address_count++] =
        arena_copy(reader->arena, span_of(text));
    return true;
}

/* The name of a host or a zone; ret_name stays as it is where the node is NULL. */
static bool read_name(struct reader *reader, const char *key, const struct node *node,
                      const char **ret_name)
{
    struct name name;
    if (node == NULL)
        return true;
    enum name_fault fault = name_parse(node->text, NAME_HOST, &name);
    if (fault == NAME_TRAILING_DOT && name_suggest(node->text, NAME_HOST, &name))
        fault = NAME_OK; /* in a zone file a final dot is right, so people write it */
    if (fault != NAME_OK) {
        diag_add(reader->diag, DIAG_FATAL, node->at, "%s \"%s\" %s", key, node->text.data,
                 name_fault_text(fault));
        return false;
    }
    *ret_name = arena_copy(reader->arena, (struct span){name.text, name.len});
    return true;
}

static bool read_delegate(struct reader *reader, const struct node *node)
{
    const char **delegate = &reader->settings->dns_delegate;
    if (!read_name(reader, "delegate", node, delegate))
        return false;
    if (*delegate == NULL || strlen(*delegate) <= LIMIT_DELEGATE)
        return true;
    diag_add(reader->diag, DIAG_FATAL, node->at, "delegate is longer than %d bytes",
             LIMIT_DELEGATE);
    diag_reason(reader->diag, "the name of a policy and \"._mta-sts.\" are put in front of it");
    return false;
}

static bool read_ttl(struct reader *reader, const struct node *node)
{
    uint32_t *ttl = &reader->settings->dns_ttl;
    if (node == NULL)
        return true;
    if (calendar_duration(node->text, ttl) && *ttl >= 1 && *ttl <= INT32_MAX) {
        if (*ttl <= LIMIT_TTL_ADVISED)
            return true;
        diag_add(reader->diag, DIAG_WARNING, node->at, "ttl \"%s\" is above one day",
                 diag_word(node->text).text);
        diag_reason(reader->diag, "after a change senders see the former id that long, and go on "
                                  "with the former policy");
        diag_hint(reader->diag, "write 1h");
        return true;
    }
    diag_add(reader->diag, DIAG_FATAL, node->at,
             "ttl \"%s\" is not a time from 1 second to 68 years (RFC 2181 section 8)",
             node->text.data);
    diag_hint(reader->diag, "write a number of seconds, or one with s, m, h, d or w: 1h");
    return false;
}

static bool read_dns(struct reader *reader, const struct node *node)
{
    struct dns_nodes nodes = {0};
    if (node == NULL)
        return true;
    bool good = schema_read(&schema_dns, node, &nodes, DIAG_FATAL, reader->diag);
    if (nodes.target != NULL && nodes.addresses != NULL) {
        diag_add(reader->diag, DIAG_FATAL, nodes.addresses->at,
                 "dns has both target and addresses");
        diag_reason(reader->diag,
                    "a name with a CNAME has no other record (RFC 1034 section 3.6.2)");
        diag_hint(reader->diag, "delete one of them");
        return false;
    }
    good = read_ttl(reader, nodes.ttl) && good;
    good = read_name(reader, "target", nodes.target, &reader->settings->dns_target) && good;
    good = read_delegate(reader, nodes.delegate) && good;
    if (nodes.addresses == NULL)
        return good;
    reader->settings->dns_addresses =
        arena_take(reader->arena,
                   (value_count(nodes.addresses) + 1) * sizeof(*reader->settings->dns_addresses));
    return schema_each_scalar(nodes.addresses, "addresses", DIAG_FATAL, reader->diag, add_address,
                              reader) &&
           good;
}

static bool read_access(struct reader *reader, const struct node *node)
{
    static const struct {
        const char *word;
        enum log_access access;
    } words[] = {{"off", LOG_ACCESS_OFF}, {"on", LOG_ACCESS_ON}, {"errors", LOG_ACCESS_ERRORS}};
    for (size_t i = 0; node != NULL && i < sizeof(words) / sizeof(words[0]); i++)
        if (span_equal(node->text, span_of(words[i].word))) {
            reader->settings->log.access = words[i].access;
            return true;
        }
    if (node != NULL)
        diag_add(reader->diag, DIAG_FATAL, node->at, "access \"%s\" is neither on, off nor errors",
                 node->text.data);
    return node == NULL;
}

static bool read_log(struct reader *reader, const struct node *node)
{
    struct log_nodes nodes = {0};
    struct log_style *log = &reader->settings->log;
    if (node == NULL)
        return true;
    bool good = schema_read(&schema_log, node, &nodes, DIAG_FATAL, reader->diag);
    good = read_access(reader, nodes.access) && good;
    good =
        schema_boolean("anonymize", nodes.anonymize, &log->anonymize, DIAG_FATAL, reader->diag) &&
        good;
    if (nodes.format == NULL || span_equal(nodes.format->text, span_of("text")))
        return good;
    log->json = span_equal(nodes.format->text, span_of("json"));
    if (!log->json)
        diag_add(reader->diag, DIAG_FATAL, nodes.format->at,
                 "format \"%s\" is neither text nor json", nodes.format->text.data);
    return log->json && good;
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

static bool add_rua(void *context, const struct node *node)
{
    struct reader *reader = context;
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
    const char *copy = NULL;
    if (node->kind == NODE_SEQUENCE && node->count == 0) {
        diag_add(diag, level, node->at, "tls_rpt is an empty list");
    } else if (schema_each_scalar(node, "tls_rpt", level, diag, add_rua, &reader)) {
        copy = arena_copy(arena, heap_text(&reader.rua));
    }
    text_free(&reader.rua);
    return copy;
}

bool settings_read(const struct root_nodes *nodes, struct arena *arena, struct diag *diag,
                   struct settings *ret_settings)
{
    struct settings settings = {.certificate_warning = VERDICT_WARNING_DEFAULT};
    struct reader reader = {
        .arena = arena, .diag = diag, .level = DIAG_FATAL, .settings = &settings};
    const struct node *http = NULL;
    bool redirect = false;
    bool good = read_acme(nodes->acme, arena, diag, &settings.acme, &http, &redirect);
    const struct endpoint_nodes endpoints = {nodes->listen, nodes->metrics, http, redirect};
    good = endpoints_read(&endpoints, arena, diag, &settings.listeners, &settings.listener_count) &&
           good;
    good = read_workers(&reader, nodes->workers) && good;
    good = schema_boolean("strict", nodes->strict, &settings.strict, DIAG_FATAL, diag) && good;
    good = read_watch(&reader, nodes->watch) && good;
    good = read_log(&reader, nodes->log) && good;
    good = read_seal(&reader, nodes->seal) && good;
    good = read_warning(&reader, nodes->certificate_warning) && good;
    good = read_dns(&reader, nodes->dns) && good;
    settings.user = copy(nodes->user, arena);
    if (nodes->tls_rpt != NULL) {
        settings.tls_rpt = settings_tls_rpt(nodes->tls_rpt, arena, DIAG_FATAL, diag);
        good = settings.tls_rpt != NULL && good;
    }
    if (good)
        *ret_settings = settings;
    return good;
}
