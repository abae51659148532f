/*
 * What is to be said of a domain of the site: its state, which of its
 * certificates ends first, whether senders accept what they are shown, and when a
 * certificate is warned of. Lists, records, metrics, health and warnings all ask
 * here. Pure. Every process uses it.
 */
#ifndef SITE_VERDICT_H
#define SITE_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "site/site.h"

/* What an operator has to know of a domain, the worst first. */
enum domain_state {
    DOMAIN_REFUSED,        /* no valid policy: answered with 503 */
    DOMAIN_STALE,          /* the last valid policy is served */
    DOMAIN_NO_CERTIFICATE, /* no sender can fetch the policy */
    DOMAIN_SERVED,
};
#define DOMAIN_STATES 4

enum domain_state verdict_state(const struct site_domain *domain);

/* "refused", "stale", "no-certificate", "served"; static. */
const char *verdict_state_text(enum domain_state state);

/* The certificate that stands for the domain: the one that ends first. NULL when there is none, or
 * when a proxy has it. */
const struct credential *verdict_first_to_end(const struct site_domain *domain);

/* Why senders do not accept what is shown to them for the domain: each gets the certificate of the
 * kind that it prefers, so each must be good. CREDENTIAL_SOUND when a proxy has the certificate.
 * ret_credential is the one that is meant; NULL when it is none. now is seconds since 1970 UTC. */
enum credential_fault verdict_certificate(const struct site_domain *domain, int64_t now,
                                          const struct credential **ret_credential);

/* Whether no domain has a certificate because its files may not be read: denied is the number of files
 * and folders with certificates that the server's user may not. A server without any certificate is
 * healthy otherwise: its first one may be on the way. */
bool verdict_is_blocked(const struct site *site, size_t denied);

/* Setting for the time before its end from which on a certificate is warned of: the smaller of
 * LIMIT_CERTIFICATE_WARNING and a fifth of its lifetime. */
#define VERDICT_WARNING_DEFAULT (-1)

/* From when on the certificate is warned of; seconds since 1970 UTC. setting is in seconds. */
int64_t verdict_warning_time(int64_t not_before, int64_t not_after, int64_t setting);

#endif
