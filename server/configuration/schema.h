/*
 * The keys of the configuration, each in one row of a table, and the one
 * function that reads a mapping by such a table: unknown keys, duplicate keys,
 * missing values and wrong types are found here and nowhere else. Runs in the
 * loader and in commands.
 */
#ifndef CONFIGURATION_SCHEMA_H
#define CONFIGURATION_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "configuration/document.h"

/* What each mapping holds once read: the value of each key, or NULL. Borrowed from the document. Of a key with a
 * choice of words it is the number of the word, 0 for the default, and mostly what 1 means gives the name. */
struct root_nodes {
    const struct node *listen;
    const struct node *metrics;
    const struct node *log;
    const struct node *user;
    const struct node *workers;
    const struct node *certificates;
    const struct node *certificate_warning;
    const struct node *include;
    const struct node *state;
    unsigned strict;
    unsigned seal_required;
    const struct node *acme;
    const struct node *dns;
    const struct node *tls_rpt;
    unsigned watch; /* 0: only certificates, 1: nothing, 2: everything */
    const struct node *policies;
    const struct node *domains;
};

struct listener_nodes {
    const struct node *address;
    unsigned freebind;
    unsigned plain; /* without TLS */
    const struct node *proxy_protocol;
};

struct proxy_nodes {
    const struct node *from;
};

struct log_nodes {
    unsigned json;
    unsigned access; /* enum log_access */
    unsigned anonymize;
};

struct acme_nodes {
    const struct node *alpn;
    const struct node *http;
    const struct node *webroot;
    unsigned redirect;
};

struct dns_nodes {
    const struct node *target;
    const struct node *addresses;
    const struct node *delegate;
    const struct node *ttl;
};

struct policy_nodes {
    const struct node *mode;
    const struct node *max_age;
    const struct node *mx;
    const struct node *id;
};

struct domain_nodes {
    const struct node *policy;
    struct policy_nodes changes;
    const struct node *tls_rpt;
    unsigned is_proxied;
};

struct schema; /* a table of keys */

extern const struct schema schema_root;
extern const struct schema schema_dropin;
extern const struct schema schema_listener;
extern const struct schema schema_proxy;
extern const struct schema schema_log;
extern const struct schema schema_acme;
extern const struct schema schema_dns;
extern const struct schema schema_policy;
extern const struct schema schema_domain;

/* Reads the mapping into the struct of nodes that belongs to the schema, which
 * the caller has zeroed. Every problem is added to diag at the level. Returns
 * false when there was one; what was sound is there nevertheless. */
bool schema_read(const struct schema *schema, const struct node *mapping, void *ret_nodes,
                 enum diag_level level, struct diag *diag);

/* Whether a mapping of the schema has such a key. */
bool schema_has_key(const struct schema *schema, struct span name);

/* How many values a key has: one, or those of its list. */
size_t schema_count(const struct node *node);

/* One of them; NULL when it is no single value, which schema_read has reported. */
const struct node *schema_value(const struct node *node, size_t index);

#endif
