/*
 * Public keys: names the kind and says whether senders verify it: P-256, P-384 and RSA from
 * LIMIT_RSA_BITS on. It reads DER itself and so can also name what the TLS library does not know. Private
 * keys: reads the DER of PKCS#8, PKCS#1 or SEC 1, judges it and keeps it in the one form that is cheap to
 * parse for a handshake. Immutable. Whatever held key bytes is wiped before it is given back. Loader and
 * commands only; nothing of the TLS library is in this interface.
 */
#ifndef CERTIFICATES_KEY_H
#define CERTIFICATES_KEY_H

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

/* A key that this server takes. The spans point behind the structure. */
struct private_key {
    struct span der;  /* SEC 1 with its public part, or PKCS#1 */
    struct span info; /* SubjectPublicKeyInfo, normalised */
    char bytes[];
};

/* Reads the key. Owned; NULL when it is none, or one of a known kind that this server does not take. */
struct private_key *private_key_new(struct span der, struct public_key *ret_kind);
/* Wipes it. */
void private_key_free(struct private_key *key);

/* Overwrites bytes that held a key, in a way that no compiler leaves out. */
void private_key_wipe(void *bytes, size_t len);

#endif
