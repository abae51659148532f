/*
 * The draft is what the configuration files say about policies and domains:
 * names, positions and unjudged values, gathered from all files. From it each
 * domain gets its policy, or none when its fault (or that of the policy it
 * names) is reported. A policy of the main file is visible in every file, one of
 * an included file in that file alone, so that no file decides about the
 * domains of another. Runs in the loader and in commands.
 */
#ifndef CONFIGURATION_DRAFT_H
#define CONFIGURATION_DRAFT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diag.h"
#include "configuration/schema.h"
#include "policy/policy.h"
#include "site/site.h"

struct draft;

struct draft_domain {
    const char *name; /* lower case, NUL-terminated; borrowed from the draft's arena */
    size_t name_len;
    struct position at;             /* of the key; at.file is the file that names the domain */
    bool refused;                   /* a fault was reported; it has no policy */
    const struct node *policy_name; /* or NULL: the one named default, or none if it is whole */
    struct policy_nodes changes;
    bool changed;        /* any of changes is there */
    bool dropped;        /* another file has the domain: this one is none */
    size_t scope;        /* the number of the file that names the domain */
    size_t policy;       /* the number of the policy that its file means, or SIZE_MAX */
    const char *tls_rpt; /* encoded, or NULL */
    bool is_proxied;     /* a proxy that ends TLS has its certificate */
};

/* An empty draft; owned. arena and diag are borrowed until draft_free. */
struct draft *draft_new(struct arena *arena, struct diag *diag);
void draft_free(struct draft *draft);

/* What follows is that of an included file; before the first call it is that of the main file. The name
 * (borrowed until draft_free) is the same wherever the configuration lies. */
void draft_begin_file(struct draft *draft, const char *name);

/* What is served now, or NULL; borrowed until draft_free. Of two included files that name a domain,
 * the one that named it there keeps it. */
void draft_set_previous(struct draft *draft, const struct site *previous);

/* Adds the policies of the file, all before its domains. NULL or null: none. Faults are DIAG_ERROR
 * and refuse a policy: so does a name that the main file has, because nobody can tell which of the
 * two a domain means. */
void draft_add_policies(struct draft *draft, const struct node *policies);

/* Adds the domains of the file. NULL or null: none. Faults are DIAG_ERROR and refuse a domain. One
 * that the main file or an earlier one has named stays as it was there. A file that is not whole has a
 * reported fault that may have lost a part of any of them: then all are refused. False when a key is no domain
 * name, so that a domain that was meant is missing. */
bool draft_add_domains(struct draft *draft, const struct node *domains, bool is_whole);

struct draft_domain *draft_domains(struct draft *draft, size_t *ret_count); /* borrowed */

/* Where the named policies begin. */
size_t draft_policy_count(const struct draft *draft);
struct position draft_policy_at(const struct draft *draft, size_t index);

/* Whether the domain is in the draft, refused or not. */
bool draft_has(const struct draft *draft, struct span name);

/* After the last file: the policy of the domain, judged. Borrowed until the next call. NULL when
 * refused. */
const struct policy *draft_policy(struct draft *draft, struct draft_domain *domain);

/* The label of its policy's record (policy/record.h), by the policy's name or, where no other domain has
 * it, by the domain's own. Borrowed from the arena; NULL when it is not known. */
const char *draft_label(struct draft *draft, const struct draft_domain *domain);

/* The policy of that name in the main file, judged. Borrowed until draft_free. NULL when there is
 * none or it is refused. */
const struct policy *draft_named_policy(struct draft *draft, struct span name);

/* After the last draft_policy: judges the named policies that no domain uses. */
void draft_judge_unused(struct draft *draft);

#endif
