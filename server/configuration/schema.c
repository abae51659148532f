#include "configuration/schema.h"

#include <assert.h>
#include <string.h>

#include "base/suggest.h"
#include "policy/name.h"

/* The kinds of node that a key may have. */
enum {
    SCALAR = 1U << NODE_SCALAR,
    SEQUENCE = 1U << NODE_SEQUENCE,
    MAPPING = 1U << NODE_MAPPING,
    NOTHING = 1U << 8, /* a key without a value */
};

struct schema_key {
    const char *name;
    unsigned kinds;
    const char *expects; /* ends the sentence "KEY must be ..." */
    size_t offset;       /* of the pointer in the struct of nodes */
};

struct schema {
    const char *where; /* ends the sentence "unknown key KEY ..." */
    const struct schema_key *keys;
    size_t key_count;
};

enum { KEYS_MOST = 24 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROOT(key)    offsetof(struct root_nodes, key)
#define DOMAIN(key)  offsetof(struct domain_nodes, key)

static const struct schema_key root_keys[] = {
    {"listen", SCALAR | SEQUENCE | MAPPING, "an address such as \"[::]:443\", or a list of them",
     ROOT(listen)},
    {"metrics", SCALAR, "an address such as \"127.0.0.1:9810\"", ROOT(metrics)},
    {"log", MAPPING, "a mapping such as {access: on}", ROOT(log)},
    {"user", SCALAR, "the name or number of a user", ROOT(user)},
    {"workers", SCALAR, "a number or auto", ROOT(workers)},
    {"certificates", SCALAR | SEQUENCE, "a file or folder, or a list of them", ROOT(certificates)},
    {"certificate_warning", SCALAR, "a time such as 21d", ROOT(certificate_warning)},
    {"include", SCALAR | SEQUENCE, "a file name or pattern, or a list of them", ROOT(include)},
    {"state", SCALAR, "a folder", ROOT(state)},
    {"strict", SCALAR, "true or false", ROOT(strict)},
    {"seal", SCALAR, "required or best", ROOT(seal)},
    {"acme", MAPPING, "a mapping with alpn, or with http and webroot", ROOT(acme)},
    {"dns", MAPPING, "a mapping with target, addresses, delegate or ttl", ROOT(dns)},
    {"tls_rpt", SCALAR | SEQUENCE, "a mailto: or https: address, or a list of them", ROOT(tls_rpt)},
    {"watch", SCALAR, "true or false", ROOT(watch)},
    {"policies", MAPPING | NOTHING, "a mapping from names to policies", ROOT(policies)},
    {"domains", MAPPING | NOTHING, "a mapping from domain names to policies", ROOT(domains)},
};
const struct schema schema_root = {"at the top of the configuration", root_keys, COUNT(root_keys)};

static const struct schema_key dropin_keys[] = {
    {"policies", MAPPING | NOTHING, "a mapping from names to policies",
     offsetof(struct dropin_nodes, policies)},
    {"domains", MAPPING | NOTHING, "a mapping from domain names to policies",
     offsetof(struct dropin_nodes, domains)},
};
const struct schema schema_dropin = {"in an included file", dropin_keys, COUNT(dropin_keys)};

static const struct schema_key listener_keys[] = {
    {"address", SCALAR, "an address such as \"[::]:443\"",
     offsetof(struct listener_nodes, address)},
    {"freebind", SCALAR, "true or false", offsetof(struct listener_nodes, freebind)},
    {"tls", SCALAR, "true or false", offsetof(struct listener_nodes, tls)},
    {"proxy_protocol", MAPPING, "a mapping such as {from: [192.0.2.1]}",
     offsetof(struct listener_nodes, proxy_protocol)},
};
const struct schema schema_listener = {"in listen", listener_keys, COUNT(listener_keys)};

static const struct schema_key proxy_keys[] = {
    {"from", SCALAR | SEQUENCE, "the address or range of a proxy, or a list of them",
     offsetof(struct proxy_nodes, from)},
};
const struct schema schema_proxy = {"in proxy_protocol", proxy_keys, COUNT(proxy_keys)};

static const struct schema_key log_keys[] = {
    {"format", SCALAR, "text or json", offsetof(struct log_nodes, format)},
    {"access", SCALAR, "on, off or errors", offsetof(struct log_nodes, access)},
    {"anonymize", SCALAR, "true or false", offsetof(struct log_nodes, anonymize)},
};
const struct schema schema_log = {"in log", log_keys, COUNT(log_keys)};

static const struct schema_key acme_keys[] = {
    {"alpn", SCALAR, "a folder", offsetof(struct acme_nodes, alpn)},
    {"http", SCALAR, "an address such as \"[::]:80\"", offsetof(struct acme_nodes, http)},
    {"webroot", SCALAR, "a folder", offsetof(struct acme_nodes, webroot)},
    {"redirect", SCALAR, "true or false", offsetof(struct acme_nodes, redirect)},
};
const struct schema schema_acme = {"in acme", acme_keys, COUNT(acme_keys)};

static const struct schema_key dns_keys[] = {
    {"target", SCALAR, "a host name", offsetof(struct dns_nodes, target)},
    {"addresses", SCALAR | SEQUENCE, "an IP address, or a list of them",
     offsetof(struct dns_nodes, addresses)},
    {"delegate", SCALAR, "a host name", offsetof(struct dns_nodes, delegate)},
    {"ttl", SCALAR, "a time such as 1h", offsetof(struct dns_nodes, ttl)},
};
const struct schema schema_dns = {"in dns", dns_keys, COUNT(dns_keys)};

static const struct schema_key policy_keys[] = {
    {"mode", SCALAR, "enforce, testing or none", offsetof(struct policy_nodes, mode)},
    {"max_age", SCALAR, "a number of seconds, or with a unit such as 2w",
     offsetof(struct policy_nodes, max_age)},
    {"mx", SCALAR | SEQUENCE, "a host name or a list of them", offsetof(struct policy_nodes, mx)},
    {"id", SCALAR, "1 to 32 letters and digits", offsetof(struct policy_nodes, id)},
};
const struct schema schema_policy = {"in a policy", policy_keys, COUNT(policy_keys)};

static const struct schema_key domain_keys[] = {
    {"policy", SCALAR, "the name of a policy", DOMAIN(policy)},
    {"mode", SCALAR, "enforce, testing or none", DOMAIN(changes.mode)},
    {"max_age", SCALAR, "a number of seconds, or with a unit such as 2w", DOMAIN(changes.max_age)},
    {"mx", SCALAR | SEQUENCE, "a host name or a list of them", DOMAIN(changes.mx)},
    {"id", SCALAR, "1 to 32 letters and digits", DOMAIN(changes.id)},
    {"tls_rpt", SCALAR | SEQUENCE, "a mailto: or https: address, or a list of them",
     DOMAIN(tls_rpt)},
    {"certificate", SCALAR, "own or proxy", DOMAIN(certificate)},
};
const struct schema schema_domain = {"in a domain", domain_keys, COUNT(domain_keys)};

static const char *kind_text(const struct node *node)
{
    if (node->null)
        return "nothing";
    switch (node->kind) {
    case NODE_SEQUENCE:
        return "a list";
    case NODE_MAPPING:
        return "a mapping";
    case NODE_SCALAR:
        break;
    }
    return "a single value";
}

static const struct schema_key *find_key(const struct schema *schema, struct span name)
{
    assert(schema->keys != NULL);
    for (size_t i = 0; i < schema->key_count; i++)
        if (span_equal(span_of(schema->keys[i].name), name))
            return &schema->keys[i];
    return NULL;
}

bool schema_has_key(const struct schema *schema, struct span name)
{
    return find_key(schema, name) != NULL;
}

static bool is_domain_name(struct span text)
{
    struct name name;
    return name_parse(text, NAME_HOST, &name) == NAME_OK;
}

/* Where a key is meant to be that stands at the top; NULL when it is not known. */
static const char *meant_place(const struct node_pair *pair)
{
    const struct node *value = pair->value;
    if (is_domain_name(pair->key->text))
        return "\"domains:\"";
    if (find_key(&schema_policy, pair->key->text) != NULL)
        return "the name of a policy, and that below \"policies:\"";
    for (size_t i = 0; value->kind == NODE_MAPPING && i < value->count; i++)
        if (find_key(&schema_policy, value->pairs[i].key->text) != NULL)
            return "\"policies:\"";
    return NULL;
}

/* "mx:a.example" is one word in YAML. */
static const struct schema_key *find_key_without_space(const struct schema *schema,
                                                       struct span text)
{
    const char *colon = memchr(text.data, ':', text.len);
    return colon == NULL ? NULL
                         : find_key(schema, (struct span){text.data, (size_t)(colon - text.data)});
}

static void report_unknown(const struct schema *schema, const struct node_pair *pair,
                           enum diag_level level, struct diag *diag)
{
    const struct node *key = pair->key;
    bool is_top = schema == &schema_root || schema == &schema_dropin;
    const char *names[KEYS_MOST];
    diag_add(diag, level, key->at, "unknown key \"%s\" %s", diag_key(key->text).text,
             schema->where);
    if (!diag_is_kept(diag))
        return;
    assert(schema->key_count <= KEYS_MOST);
    for (size_t i = 0; i < schema->key_count; i++)
        names[i] = schema->keys[i].name;
    size_t nearest = suggest_nearest(key->text, names, schema->key_count);
    const char *place = is_top ? meant_place(pair) : NULL;
    const struct schema_key *glued = find_key_without_space(schema, key->text);
    if (glued != NULL)
        diag_hint(diag, "put a space after the colon: \"%s: ...\"", glued->name);
    else if (place != NULL)
        diag_hint(diag, "indent it below %s", place);
    else if (span_equal(key->text, span_of("<<")))
        diag_hint(diag, "merge keys are not supported: name a policy under \"policies:\" and write "
                        "{policy: NAME, ...}");
    else if (nearest < schema->key_count)
        diag_hint(diag, "did you mean \"%s\"?", names[nearest]);
    else if (schema == &schema_dropin && find_key(&schema_root, key->text) != NULL)
        diag_hint(diag,
                  "move it to the main file: an included file holds only policies and domains");
}

static bool read_pair(const struct schema *schema, const struct node_pair *pair, void *nodes,
                      enum diag_level level, struct diag *diag)
{
    const struct schema_key *key = find_key(schema, pair->key->text);
    const struct node *value = pair->value;
    if (key == NULL) {
        report_unknown(schema, pair, level, diag);
        return false;
    }
    if (pair->first != NULL) {
        diag_add(diag, level, pair->key->at, "key \"%s\" is written twice", key->name);
        diag_reason(diag, "it is not known which of them is meant");
        diag_hint(diag, "delete one of them");
        diag_related(diag, pair->first->at, "the first one is here");
        return false;
    }
    unsigned kind = value->null ? (unsigned)NOTHING : 1U << value->kind;
    if ((key->kinds & kind) == 0) {
        diag_add(diag, level, value->null ? pair->key->at : value->at, "%s must be %s, not %s",
                 key->name, key->expects, kind_text(value));
        if (span_equal(pair->key->text, span_of("domains")) && !value->null)
            diag_hint(diag,
                      "write each domain in a line of its own, indented, without a dash before "
                      "it and with a colon after it: \"example.com:\"");
        return false;
    }
    memcpy((char *)nodes + key->offset, &value, sizeof(value));
    return true;
}

bool schema_read(const struct schema *schema, const struct node *mapping, void *ret_nodes,
                 enum diag_level level, struct diag *diag)
{
    bool good = true;
    for (size_t i = 0; i < mapping->count; i++)
        good = read_pair(schema, &mapping->pairs[i], ret_nodes, level, diag) && good;
    return good;
}

bool schema_hint_boolean(const struct node *node, struct diag *diag)
{
    static const struct {
        const char *word, *meant;
    } words[] = {{"true", "true"}, {"yes", "true"},    {"on", "true"},  {"y", "true"},
                 {"1", "true"},    {"false", "false"}, {"no", "false"}, {"off", "false"},
                 {"n", "false"},   {"0", "false"}};
    for (size_t i = 0; i < COUNT(words); i++)
        if (span_equal_fold(node->text, span_of(words[i].word))) {
            diag_hint(diag, "write %s", words[i].meant);
            return true;
        }
    return false;
}

bool schema_boolean(const char *key, const struct node *node, bool *ret_value,
                    enum diag_level level, struct diag *diag)
{
    if (node == NULL)
        return true;
    bool value = span_equal(node->text, span_of("true"));
    if (!value && !span_equal(node->text, span_of("false"))) {
        diag_add(diag, level, node->at, "%s \"%s\" is neither true nor false", key,
                 node->text.data);
        if (!schema_hint_boolean(node, diag))
            diag_hint(diag, "write true or false");
        return false;
    }
    *ret_value = value;
    return true;
}

bool schema_each_scalar(const struct node *node, const char *what, enum diag_level level,
                        struct diag *diag, schema_visit *visit, void *context)
{
    if (node->kind == NODE_SCALAR)
        return visit(context, node);
    bool good = true;
    for (size_t i = 0; i < node->count; i++) {
        const struct node *item = node->items[i];
        if (item->kind == NODE_SCALAR && !item->null) {
            good = visit(context, item) && good;
            continue;
        }
        diag_add(diag, level, item->at, "%s must be a single value, not %s", what, kind_text(item));
        good = false;
    }
    return good;
}
