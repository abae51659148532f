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
#include "base/limits.h"
#include "base/table.h"
#include "configuration/schema.h"
#include "policy/policy.h"
#include "site/site.h"

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

/* A policy with a name. */
struct named_policy {
    const struct node *key;
    struct policy_nodes nodes;
    struct position at; /* where its value begins */
    size_t scope;       /* the number of the file that it is in */
    bool unreadable;    /* a fault of its keys was reported */
    bool ambiguous;     /* another has its name in the same scope: it is not known which is meant */
    bool used;
    bool judged;
    struct policy *policy; /* owned; NULL until judged, or refused */
};

/* A file, and which of the draft's policies are its own. */
struct scope {
    const char *name; /* borrowed; NULL for the main file */
    size_t policies;  /* where they begin; they end where those of the next file begin */
    size_t spent;     /* of LIMIT_INCLUDE_POLICIES */
};

/* Names of missing policies, for which a suggestion was made in this file. */
struct missing {
    size_t scope;
    struct span names[LIMIT_SUGGESTIONS_A_FILE];
    size_t count;
};

/* Begin with {.arena, .diag, .previous}; end with draft_free. */
struct draft {
    struct arena *arena;           /* borrowed */
    struct diag *diag;             /* borrowed */
    struct named_policy *policies; /* owned; those of the main file first */
    size_t policy_count;
    struct table main_table; /* the policies of the main file */
    struct table file_table; /* those of the included file that is being added */
    struct scope *scopes;    /* owned; that of the main file first */
    size_t scope_count;
    struct draft_domain *domains; /* owned */
    size_t domain_count;
    struct table domain_table;
    struct policy *last; /* owned; the policy of one domain alone, which was asked for last */
    /* What is served now, borrowed; or NULL. Of two included files that name a domain, the one that named it
     * there keeps it. */
    const struct site *previous;
    size_t suggestions; /* made so far, in all files */
    struct missing missing;
};

void draft_free(struct draft *draft);

/* Adds the policies and the domains of a file; NULL or null: none. The first one is the main file, whose name
 * is NULL. That of another one (borrowed until draft_free) is the same wherever the configuration lies. Faults
 * are DIAG_ERROR. They refuse a policy: so does a name that the main file has, because nobody can tell which of
 * the two a domain means. They refuse a domain; one that the main file or an earlier one has named stays as it
 * was there. A file that is not whole has a reported fault that may have lost a part of any domain: then all are
 * refused. False when a key is no domain name, so that a domain that was meant is missing. */
bool draft_add_file(struct draft *draft, const char *name, const struct node *policies,
                    const struct node *domains, bool is_whole);

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
