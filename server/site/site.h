/*
 * The site is what one load of the configuration comes to and what workers
 * serve: from host to policy, state and credentials. It is the only thing that the
 * loader and the workers share: one block of memory in a sealed file, which the
 * loader builds (site/site_builder.h) and everybody else maps, and which nobody can
 * change. What is to be said of a domain (its state, which of its certificates ends first, whether senders
 * accept what they are shown, when a certificate is warned of) is judged here for lists, records, metrics,
 * health and warnings alike. Every process but the supervisor uses it.
 */
#ifndef SITE_SITE_H
#define SITE_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/limits.h"
#include "base/span.h"
#include "policy/policy.h"

/* A credential is a certificate chain and its private key as DER, ready to be parsed for one handshake: no
 * object of the TLS library, so that a hundred thousand of them are small and every worker shares the pages
 * of all. */
enum credential_kind {
    CREDENTIAL_ECDSA,
    CREDENTIAL_RSA,
};
#define CREDENTIAL_KINDS 2

/* Why senders do not accept a certificate, and so find no policy. */
enum credential_fault {
    CREDENTIAL_SOUND,
    CREDENTIAL_MISSING, /* there is none; said of domains */
    CREDENTIAL_EXPIRED, /* these two by the clock */
    CREDENTIAL_NOT_YET,
    CREDENTIAL_SELF_SIGNED, /* and the rest by its chain and content */
    CREDENTIAL_INCOMPLETE,
    CREDENTIAL_CHAIN_EXPIRED,
    CREDENTIAL_MUST_STAPLE,
};
#define CREDENTIAL_FAULTS 8

/* A clause with "it" for the certificate, and a word or two for a cell of a table, "" when it is sound. */
extern const struct credential_fault_names {
    const char *text;
    const char *word;
} credential_fault_names[CREDENTIAL_FAULTS];

/* What a credential is made of; everything is borrowed. */
struct credential_fields {
    enum credential_kind kind;
    struct span chain[LIMIT_CHAIN]; /* DER; leaf first */
    size_t chain_len;               /* 1 to LIMIT_CHAIN */
    struct span key;                /* DER: SEC 1 or PKCS#1, unencrypted */
    int64_t not_before;             /* seconds since 1970 UTC */
    int64_t not_after;
    enum credential_fault fault; /* by its chain and content */
    const char *algorithm;       /* for people: "ECDSA P-256", "RSA 2048" */
    const char *file;            /* where the leaf was read */
    uint32_t line;
};

struct credential; /* a part of a site */

/* What it was made of; borrowed from it. */
struct credential_fields credential_fields(const struct credential *credential);

/* Its fault by the clock, which comes first, or by its chain and content. now is seconds since 1970 UTC. */
enum credential_fault credential_judge(const struct credential *credential, int64_t now);

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

/* A handle on the memory; what is borrowed from it is valid until it is freed. */
struct site;
struct site_domain;

/* Maps a site that another process has built, and checks that whatever its bytes are, the functions
 * below read nothing beyond them. The descriptor stays the caller's. Owned; NULL with errno: EINVAL
 * when it is no site. */
struct site *site_open(int fd);

void site_free(struct site *site); /* NULL is legal */

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
