/*
 * The site is what one load of the configuration comes to and what workers
 * serve: a table from host to policy, state and credentials. It is the only
 * thing that the loader and the workers share. The loader fills it, seals it
 * and from then on nobody changes it; workers inherit it by fork.
 */
#ifndef SITE_SITE_H
#define SITE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "policy/policy.h"
#include "site/credential.h"

enum site_state {
    SITE_SERVED,  /* the policy as configured */
    SITE_STALE,   /* the last valid policy; what is configured now is not valid */
    SITE_REFUSED, /* no valid policy: 503 */
};

struct site_domain {
    const char *name; /* example.com, without "mta-sts."; lower case */
    size_t name_len;
    enum site_state state;
    struct policy *policy; /* NULL exactly when refused */
    /* By kind; NULL when there is none. A host without any cannot be reached over TLS. */
    struct credential *credentials[CREDENTIAL_KINDS];
    bool is_proxied;     /* a proxy that ends TLS has the certificate, which is not ours to judge */
    const char *file;    /* the configuration file that names the domain */
    const char *tls_rpt; /* value of rua for _smtp._tls, encoded (RFC 8460 section 3); or NULL */
};

struct site;

/* An empty site; owned. NULL when memory is short. */
struct site *site_new(void);
void site_free(struct site *site);

/* Adds a domain. name, file and tls_rpt are copied; policy and credentials are
 * shared (the site becomes one more owner). The name must not be there yet:
 * site_seal asserts it. False when memory is short. */
bool site_add(struct site *site, const struct site_domain *domain);

/* Sorts the domains and builds the table of hosts. Call once, after the last
 * site_add. False when memory is short. */
bool site_seal(struct site *site);

size_t site_count(const struct site *site);
/* The domains in the order of their names; borrowed from the sealed site. */
const struct site_domain *site_at(const struct site *site, size_t index);

/* The domain whose policy host is "mta-sts." + name; NULL when there is none.
 * Case is ignored, and one trailing dot. Sealed sites only. */
const struct site_domain *site_find_host(const struct site *site, struct span host);

/* The same for the domain's own name. */
const struct site_domain *site_find_domain(const struct site *site, struct span name);

#endif
