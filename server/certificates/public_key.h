/*
 * Names the kind of a public key and says whether senders verify it: P-256,
 * P-384 and RSA from LIMIT_RSA_BITS on. It reads DER itself and so can also name
 * what the TLS library does not know. Pure. The loader and the commands use it.
 */
#ifndef CERTIFICATES_PUBLIC_KEY_H
#define CERTIFICATES_PUBLIC_KEY_H

#include <stdbool.h>

#include "base/diag.h"
#include "site/site.h"

struct public_key {
    bool known;    /* its kind could be told */
    bool accepted; /* every sender verifies it */
    bool costly;   /* RSA above LIMIT_RSA_BITS_MOST: this server does not sign with it */
    bool
        has_large_exponent; /* RSA: of more than 32 bits, so that checking a signature takes long */
    enum credential_kind kind; /* CREDENTIAL_RSA exactly when it is RSA */
    char text[32];             /* for people: "ECDSA P-256", "RSA 1024", "Ed25519" */
};

/* Judges a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7). */
void public_key_judge(struct span info, struct public_key *ret_key);

/* Judges a private key without the TLS library: PKCS#8 (RFC 5208) or SEC 1 (RFC 5915). An RSA
 * key is named, but its size is not known, so it is not accepted. */
void public_key_judge_private(struct span der, struct public_key *ret_key);

/* Whether checking a signature with the key of the certificate takes so long that a server could keep
 * its clients busy: an RSA exponent of more than 32 bits, which OpenSSL and Go refuse too. */
bool public_key_is_costly(struct span certificate);

/* Whether this server signs with such a key. */
static inline bool public_key_is_served(const struct public_key *key)
{
    return key->accepted && !key->costly;
}

/* Says with the last diagnostic why a key that is not served is not, and what to do. */
void public_key_explain(const struct public_key *key, struct diag *diag);

#endif
