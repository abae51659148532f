/*
 * The site is what one load of the configuration comes to and what workers
 * serve: from host to policy, state and credentials. It is the only thing that the
 * loader and the workers share: one block of memory in a sealed file, which the
 * loader builds (site/site_builder.h) and everybody else maps, and which nobody can
 * change. Every process but the supervisor uses it.
 */
#ifndef SITE_SITE_H
#define SITE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/span.h"
#include "policy/policy.h"
#include "site/credential.h"

enum site_state {
    SITE_SERVED,  /* the policy as configured */
    SITE_STALE,   /* the last valid policy; what is configured now is not valid */
    SITE_REFUSED, /* no valid policy: 503 */
};
#define SITE_STATES 3

/* What a domain is made of; everything is borrowed. */
struct site_fields {
    struct span name; /* example.com, without "mta-sts."; lower case, at most LIMIT_NAME */
    enum site_state state;
    const struct policy *policy;                                   /* NULL exactly when refused */
    const struct credential_fields *credentials[CREDENTIAL_KINDS]; /* by kind; or NULL */
    bool is_proxied;
    struct position at;  /* in the configuration file that names the domain */
    const char *tls_rpt; /* or NULL */
    const char *label;   /* or NULL */
};

/* A handle on the memory; what is borrowed from it is valid until it is freed or released. */
struct site;
struct site_domain;

/* Maps a site that another process has built, and checks that whatever its bytes are, the functions
 * below read nothing beyond them. The descriptor stays the caller's. Owned; NULL with errno: EINVAL
 * when it is no site. */
struct site *site_open(int fd);

void site_free(struct site *site); /* NULL is legal */

/* Gives the descriptor of the memory out of hand and frees the rest. Owned; -1 when the site was
 * opened, because then it is whose it was. */
int site_release(struct site *site);

size_t site_count(const struct site *site);
/* The domains in the order of their names; borrowed. */
const struct site_domain *site_at(const struct site *site, size_t index);

/* The domain whose policy host is "mta-sts." + name; NULL when there is none.
 * Case is ignored, and one trailing dot. */
const struct site_domain *site_find_host(const struct site *site, struct span host);

/* The same for the domain's own name. */
const struct site_domain *site_find_domain(const struct site *site, struct span name);

/* All bytes; and of these what was put there for the next load alone, which nobody has checked and which
 * begins at an address that eight divides. */
struct span site_bytes(const struct site *site);
struct span site_archive(const struct site *site);

/* What the domain was made of, without the credentials; borrowed. */
struct site_fields site_fields(const struct site_domain *domain);

/* Of a domain; borrowed. */
const char *site_name(const struct site_domain *domain); /* without "mta-sts."; lower case */
struct span site_name_span(const struct site_domain *domain);
enum site_state site_state(const struct site_domain *domain);
const struct policy *site_policy(const struct site_domain *domain); /* NULL: it is refused */
/* NULL when there is none of the kind. A host without any cannot be reached over TLS. */
const struct credential *site_credential(const struct site_domain *domain, size_t kind);
bool site_has_credential(const struct site_domain *domain); /* of any kind */
/* A proxy that ends TLS has the certificate, which is not ours to judge. */
bool site_is_proxied(const struct site_domain *domain);
const char *site_file(const struct site_domain *domain); /* that names the domain */
/* The value of rua for _smtp._tls, encoded (RFC 8460 section 3); or NULL. */
const char *site_tls_rpt(const struct site_domain *domain);
/* Of the record that tells of its policy, where that is in another zone (policy/record.h); or NULL. */
const char *site_label(const struct site_domain *domain);

#endif
