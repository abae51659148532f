#include "configuration/schema.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/suggest.h"
#include "policy/name.h"

/* The kinds of node that a key may have. */
enum {
    SCALAR = 1U << NODE_SCALAR,
    SEQUENCE = 1U << NODE_SEQUENCE,
    MAPPING = 1U << NODE_MAPPING,
    NOTHING = 1U << 8, /* a key without a value */
    FULL = 1U << 9,    /* no value may be an empty text, where nothing else would refuse it */
};

struct schema_key {
    const char *name;
    unsigned kinds;
    const char *expects;  /* ends the sentence "KEY must be ..." */
    size_t offset;        /* of the pointer, or the number of the word, in the struct of nodes */
    const char *words[3]; /* the first, or none, stands for a key that is not there */
    const char *hint;     /* about another word; or NULL */
};

struct schema {
    const char *where; /* ends the sentence "unknown key KEY ..." */
    const struct schema_key *keys;
    size_t key_count;
};

enum { KEYS_MOST = 24 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The rest of a row: a node, a choice of words before a hint, or a switch. */
#define NODE(in, key)       WORDS(in, key, NULL), NULL
#define WORDS(in, key, ...) offsetof(struct in, key), .words = {__VA_ARGS__}
#define SWITCH(in, key)     WORDS(in, key, "false", "true"), WRITE_ONE
#define BOOLEAN             "true or false"
#define WRITE_ONE           "write true or false"

static const struct schema_key root_keys[] = {
    {"listen", SCALAR | SEQUENCE | MAPPING, "an address such as \"[::]:443\", or a list of them",
     NODE(root_nodes, listen)},
    {"metrics", SCALAR, "an address such as \"127.0.0.1:9810\"", NODE(root_nodes, metrics)},
    {"log", MAPPING, "a mapping such as {access: on}", NODE(root_nodes, log)},
    {"user", SCALAR | FULL, "the name or number of a user", NODE(root_nodes, user)},
    {"workers", SCALAR, "a number or auto", NODE(root_nodes, workers)},
    {"certificates", SCALAR | SEQUENCE | FULL, "a file or folder, or a list of them",
     NODE(root_nodes, certificates)},
    {"certificate_warning", SCALAR, "a time such as 21d", NODE(root_nodes, certificate_warning)},
    {"include", SCALAR | SEQUENCE | FULL, "a file name or pattern, or a list of them",
     NODE(root_nodes, include)},
    {"state", SCALAR | FULL, "a folder", NODE(root_nodes, state)},
    {"strict", SCALAR, BOOLEAN, SWITCH(root_nodes, strict)},
    {"seal", SCALAR, "required or best", WORDS(root_nodes, seal_required, "best", "required"),
     "\"mta-sts-httpd seal\" shows what this machine can do"},
    {"acme", MAPPING, "a mapping with alpn, or with http and webroot", NODE(root_nodes, acme)},
    {"dns", MAPPING, "a mapping with target, addresses, delegate or ttl", NODE(root_nodes, dns)},
    {"tls_rpt", SCALAR | SEQUENCE, "a mailto: or https: address, or a list of them",
     NODE(root_nodes, tls_rpt)},
    {"watch", SCALAR, BOOLEAN, WORDS(root_nodes, watch, NULL, "false", "true"),
     "leave it out to watch the certificates only"},
    {"policies", MAPPING | NOTHING, "a mapping from names to policies", NODE(root_nodes, policies)},
    {"domains", MAPPING | NOTHING, "a mapping from domain names to policies",
     NODE(root_nodes, domains)},
};
const struct schema schema_root = {"at the top of the configuration", root_keys, COUNT(root_keys)};

static const struct schema_key dropin_keys[] = {
    {"policies", MAPPING | NOTHING, "a mapping from names to policies", NODE(root_nodes, policies)},
    {"domains", MAPPING | NOTHING, "a mapping from domain names to policies",
     NODE(root_nodes, domains)},
};
const struct schema schema_dropin = {"in an included file", dropin_keys, COUNT(dropin_keys)};

static const struct schema_key listener_keys[] = {
    {"address", SCALAR, "an address such as \"[::]:443\"", NODE(listener_nodes, address)},
    {"freebind", SCALAR, BOOLEAN, SWITCH(listener_nodes, freebind)},
    {"tls", SCALAR, BOOLEAN, WORDS(listener_nodes, plain, "true", "false"), "write true or false"},
    {"proxy_protocol", MAPPING, "a mapping such as {from: [192.0.2.1]}",
     NODE(listener_nodes, proxy_protocol)},
};
const struct schema schema_listener = {"in listen", listener_keys, COUNT(listener_keys)};

static const struct schema_key proxy_keys[] = {
    {"from", SCALAR | SEQUENCE, "the address or range of a proxy, or a list of them",
     NODE(proxy_nodes, from)},
};
const struct schema schema_proxy = {"in proxy_protocol", proxy_keys, COUNT(proxy_keys)};

static const struct schema_key log_keys[] = {
    {"format", SCALAR, "text or json", WORDS(log_nodes, json, "text", "json"), NULL},
    {"access", SCALAR, "on, off or errors", WORDS(log_nodes, access, "off", "on", "errors"), NULL},
    {"anonymize", SCALAR, BOOLEAN, SWITCH(log_nodes, anonymize)},
};
static_assert(LOG_ACCESS_OFF == 0 && LOG_ACCESS_ON == 1 && LOG_ACCESS_ERRORS == 2, "as the words");
const struct schema schema_log = {"in log", log_keys, COUNT(log_keys)};

static const struct schema_key acme_keys[] = {
    {"alpn", SCALAR | FULL, "a folder", NODE(acme_nodes, alpn)},
    {"http", SCALAR, "an address such as \"[::]:80\"", NODE(acme_nodes, http)},
    {"webroot", SCALAR | FULL, "a folder", NODE(acme_nodes, webroot)},
    {"redirect", SCALAR, BOOLEAN, SWITCH(acme_nodes, redirect)},
};
const struct schema schema_acme = {"in acme", acme_keys, COUNT(acme_keys)};

static const struct schema_key dns_keys[] = {
    {"target", SCALAR, "a host name", NODE(dns_nodes, target)},
    {"addresses", SCALAR | SEQUENCE, "an IP address, or a list of them",
     NODE(dns_nodes, addresses)},
    {"delegate", SCALAR, "a host name", NODE(dns_nodes, delegate)},
    {"ttl", SCALAR, "a time such as 1h", NODE(dns_nodes, ttl)},
};
const struct schema schema_dns = {"in dns", dns_keys, COUNT(dns_keys)};

static const struct schema_key policy_keys[] = {
    {"mode", SCALAR, "enforce, testing or none", NODE(policy_nodes, mode)},
    {"max_age", SCALAR, "a number of seconds, or with a unit such as 2w",
     NODE(policy_nodes, max_age)},
    {"mx", SCALAR | SEQUENCE, "a host name or a list of them", NODE(policy_nodes, mx)},
    {"id", SCALAR, "1 to 32 letters and digits", NODE(policy_nodes, id)},
};
const struct schema schema_policy = {"in a policy", policy_keys, COUNT(policy_keys)};

static const struct schema_key domain_keys[] = {
    {"policy", SCALAR, "the name of a policy", NODE(domain_nodes, policy)},
    {"mode", SCALAR, "enforce, testing or none", NODE(domain_nodes, changes.mode)},
    {"max_age", SCALAR, "a number of seconds, or with a unit such as 2w",
     NODE(domain_nodes, changes.max_age)},
    {"mx", SCALAR | SEQUENCE, "a host name or a list of them", NODE(domain_nodes, changes.mx)},
    {"id", SCALAR, "1 to 32 letters and digits", NODE(domain_nodes, changes.id)},
    {"tls_rpt", SCALAR | SEQUENCE, "a mailto: or https: address, or a list of them",
     NODE(domain_nodes, tls_rpt)},
    {"certificate", SCALAR, "own or proxy", WORDS(domain_nodes, is_proxied, "own", "proxy"),
     "write \"certificate: proxy\" when a proxy that ends TLS has the certificate of this domain"},
};
const struct schema schema_domain = {"in a domain", domain_keys, COUNT(domain_keys)};

static const char *kind_text(const struct node *node)
{
    static const char *const texts[] = {
        [NODE_SCALAR] = "a single value", [NODE_SEQUENCE] = "a list", [NODE_MAPPING] = "a mapping"};
    return node->null ? "nothing" : texts[node->kind];
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

/* Where a key is meant to be that stands at the top; NULL when it is not known. */
static const char *meant_place(const struct node_pair *pair)
{
    const struct node *value = pair->value;
    struct name name;
    if (name_parse(pair->key->text, NAME_HOST, &name) == NAME_OK)
        return "\"domains:\"";
    if (find_key(&schema_policy, pair->key->text) != NULL)
        return "the name of a policy, and that below \"policies:\"";
    for (size_t i = 0; value->kind == NODE_MAPPING && i < value->count; i++)
        if (find_key(&schema_policy, value->pairs[i].key->text) != NULL)
            return "\"policies:\"";
    return NULL;
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
    /* "mx:a.example" is one word in YAML. */
    const char *colon = memchr(key->text.data, ':', key->text.len);
    const struct schema_key *glued = NULL;
    if (colon != NULL)
        glued = find_key(schema, (struct span){key->text.data, (size_t)(colon - key->text.data)});
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

/* What is meant by a word that is not among those of the key. */
static void hint_word(const struct schema_key *key, struct span text, struct diag *diag)
{
    static const struct {
        const char *word, *meant;
    } words[] = {{"true", "true"}, {"yes", "true"},    {"on", "true"},  {"y", "true"},
                 {"1", "true"},    {"false", "false"}, {"no", "false"}, {"off", "false"},
                 {"n", "false"},   {"0", "false"}};
    for (size_t i = 0; strcmp(key->expects, BOOLEAN) == 0 && i < COUNT(words); i++)
        if (span_equal_fold(text, span_of(words[i].word))) {
            diag_hint(diag, "write %s", words[i].meant);
            return;
        }
    if (key->hint != NULL)
        diag_hint(diag, "%s", key->hint);
}

/* Sets the number of the word that the node is. */
static bool read_word(const struct schema_key *key, const struct node *node, void *ret_number,
                      enum diag_level level, struct diag *diag)
{
    const char *last = strstr(key->expects, " or ");
    for (unsigned i = 0; i < COUNT(key->words); i++)
        if (key->words[i] != NULL && span_equal(node->text, span_of(key->words[i]))) {
            memcpy(ret_number, &i, sizeof(i));
            return true;
        }
    /* The main file is the operator's own, and shown as it is. */
    diag_add(diag, level, node->at, "%s \"%s\" is neither %.*s nor %s", key->name,
             level == DIAG_FATAL ? node->text.data : diag_word(node->text).text,
             (int)(last - key->expects), key->expects, last + strlen(" or "));
    hint_word(key, node->text, diag);
    return false;
}

/* The value, or each in its list, must be a single one, and for some keys not an empty text in quotes. */
static bool check_values(const struct schema_key *key, const struct node *node,
                         enum diag_level level, struct diag *diag)
{
    bool good = true;
    for (size_t i = 0; i < schema_count(node); i++) {
        const struct node *value = schema_value(node, i);
        if (value == NULL)
            diag_add(diag, level, node->items[i]->at, "%s must be a single value, not %s",
                     key->name, kind_text(node->items[i]));
        else if ((key->kinds & FULL) != 0 && value->text.len == 0)
            diag_add(diag, level, value->at, "%s must be %s, not an empty text", key->name,
                     key->expects);
        else
            continue;
        good = false;
    }
    return good;
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
    if (key->words[1] != NULL)
        return read_word(key, value, (char *)nodes + key->offset, level, diag);
    memcpy((char *)nodes + key->offset, &value, sizeof(value));
    return (key->kinds & MAPPING) != 0 || check_values(key, value, level, diag);
}

bool schema_read(const struct schema *schema, const struct node *mapping, void *ret_nodes,
                 enum diag_level level, struct diag *diag)
{
    bool good = true;
    for (size_t i = 0; i < mapping->count; i++)
        good = read_pair(schema, &mapping->pairs[i], ret_nodes, level, diag) && good;
    return good;
}

size_t schema_count(const struct node *node)
{
    return node->kind == NODE_SEQUENCE ? node->count : 1;
}

const struct node *schema_value(const struct node *node, size_t index)
{
    const struct node *value = node->kind == NODE_SEQUENCE ? node->items[index] : node;
    return value->kind == NODE_SCALAR && !value->null ? value : NULL;
}
