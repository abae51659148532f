/*
 * The draft is what the configuration files say about policies and domains:
 * names, positions and unjudged values, gathered from all files. From it each
 * domain gets its policy, or none when its fault (or that of the policy it
 * names) is reported. Runs in the supervisor and in commands.
 */
#ifndef LOAD_DRAFT_H
#define LOAD_DRAFT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diag.h"
#include "load/schema.h"
#include "policy/policy.h"

struct draft;

struct draft_domain {
    const char *name; /* lower case, NUL-terminated; borrowed from the draft's arena */
    size_t name_len;
    struct position at;             /* of the key; at.file is the file that names the domain */
    bool refused;                   /* a fault was reported; it has no policy */
    const struct node *policy_name; /* or NULL: the one named default, or none if it is whole */
    struct policy_nodes changes;
    bool changed;        /* any of changes is there */
    const char *tls_rpt; /* encoded, or NULL */
};

/* An empty draft; owned. arena and diag are borrowed until draft_free. NULL on shortage. */
struct draft *draft_new(struct arena *arena, struct diag *diag);
void draft_free(struct draft *draft);

/* Adds the policies and domains of one file. Nodes may be NULL or null. Faults are DIAG_ERROR:
 * they refuse a policy or a domain. A domain or policy that an earlier file
 * has named stays as it was there. */
void draft_add_policies(struct draft *draft, const struct node *policies);
/* False when a key is no domain name, so that a domain that was meant is missing. */
bool draft_add_domains(struct draft *draft, const struct node *domains);

size_t draft_count(const struct draft *draft);
struct draft_domain *draft_at(struct draft *draft, size_t index); /* borrowed */

/* Whether the domain is in the draft, refused or not. */
bool draft_has(const struct draft *draft, struct span name);

/* After the last file: the policy of the domain, judged; equal ones are the
 * same object. Owned: the caller drops it with policy_free. NULL when refused. */
struct policy *draft_policy(struct draft *draft, struct draft_domain *domain);

/* After the last file: the policy of that name, judged. Owned: the caller drops
 * it with policy_free. NULL when there is none or it is refused. */
struct policy *draft_named_policy(struct draft *draft, struct span name);

/* After the last draft_policy: judges the named policies that no domain uses. */
void draft_judge_unused(struct draft *draft);

#endif
