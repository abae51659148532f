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

/* What each mapping holds once read: the value of each key, or NULL. Borrowed from the document. */
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
    const struct node *strict;
    const struct node *seal;
    const struct node *acme;
    const struct node *dns;
    const struct node *tls_rpt;
    const struct node *watch;
    const struct node *policies;
    const struct node *domains;
};

struct dropin_nodes {
    const struct node *policies;
    const struct node *domains;
};

struct listener_nodes {
    const struct node *address;
    const struct node *freebind;
    const struct node *tls;
    const struct node *proxy_protocol;
};

struct proxy_nodes {
    const struct node *from;
};

struct log_nodes {
    const struct node *format;
    const struct node *access;
    const struct node *anonymize;
};

struct acme_nodes {
    const struct node *alpn;
    const struct node *http;
    const struct node *webroot;
    const struct node *redirect;
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
    const struct node *certificate;
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

/* Sets *ret_value when the node is true or false; leaves it when the node is
 * NULL. Anything else is reported at the level, and the answer is false. */
bool schema_boolean(const char *key, const struct node *node, bool *ret_value,
                    enum diag_level level, struct diag *diag);

/* To a diagnostic about a value that is neither: which of them is meant. False when nobody knows. */
bool schema_hint_boolean(const struct node *node, struct diag *diag);

/* Whether a mapping of the schema has such a key. */
bool schema_has_key(const struct schema *schema, struct span name);

/* Calls back for the node itself if it is a scalar, or for each item of a
 * sequence; an item that is not a non-empty scalar is reported. False when the
 * callback or an item failed; all items are visited. */
typedef bool schema_visit(void *context, const struct node *item);
bool schema_each_scalar(const struct node *node, const char *what, enum diag_level level,
                        struct diag *diag, schema_visit *visit, void *context);

#endif
