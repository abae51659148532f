/*
 * A list of domains for people and for programs: what of a domain is told, and
 * in which words. It chooses and sorts nothing. Runs in the command list.
 */
#ifndef COMMAND_LISTING_H
#define COMMAND_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "site/site.h"

/* What an operator has to know of a domain, the worst first. */
enum listing_state {
    LISTING_REFUSED,        /* no valid policy: answered with 503 */
    LISTING_STALE,          /* the last valid policy is served */
    LISTING_NO_CERTIFICATE, /* no sender can fetch the policy */
    LISTING_SERVED,
};
#define LISTING_STATES 4

enum listing_state listing_state(const struct site_domain *domain);

/* "refused", "stale", "no-certificate", "served"; static. */
const char *listing_state_text(enum listing_state state);

/* The credential that stands for the domain: the one that ends first. NULL when there is none. */
const struct credential *listing_credential(const struct site_domain *domain);

/* Appends the domains in the order given. now is seconds since 1970 UTC. */
void listing_print(const struct site_domain *const *domains, size_t count, int64_t now,
                   struct text *out);
void listing_print_json(const struct site_domain *const *domains, size_t count, int64_t now,
                        struct text *out);

#endif
