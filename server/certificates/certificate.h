/*
 * What the store needs to know of one certificate: read once from its DER by
 * the TLS library, whose objects are freed at once. Immutable and dependent on
 * nothing but the DER, so that one load after the other can use it. Loader and
 * commands only; nothing of the TLS library is in this interface.
 */
#ifndef CERTIFICATES_CERTIFICATE_H
#define CERTIFICATES_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "certificates/key.h"
#include "site/site.h"

enum certificate_fault {
    CERTIFICATE_SOUND,
    CERTIFICATE_JUNK,      /* not the DER of an X.509 certificate */
    CERTIFICATE_KEY,       /* its key is of a kind that is not taken; kind tells */
    CERTIFICATE_SIGNATURE, /* its signature is of a kind that is not taken */
    CERTIFICATE_EXTENSION, /* an extension is malformed, or that of a leaf is critical and unknown */
};

struct certificate_flags {
    bool is_authority : 1; /* basicConstraints says CA, or version 1 and self-issued */
    bool is_self_issued : 1;
    bool may_serve : 1;     /* the extended key usage allows TLS servers */
    bool may_sign : 1;      /* the key usage allows digital signatures */
    bool has_dns_names : 1; /* in its subject alternative name, be they valid or not */
    bool must_staple : 1;   /* clients may insist on a stapled OCSP response (RFC 7633) */
    bool is_odd : 1;        /* an extension that senders need not know is marked as critical */
    bool is_challenge : 1;  /* it is one for tls-alpn-01 (RFC 8737) */
};

/* Every span points into the copy of the DER or behind the structure. */
struct certificate {
    /* Unless sound, only kind and weak_signature are told, and all of one with an odd extension that could
     * be parsed. */
    enum certificate_fault fault;
    struct span der;             /* empty when it could not be parsed */
    struct span info;            /* SubjectPublicKeyInfo, normalised */
    struct span subject, issuer; /* DER of the names */
    struct span key_id;          /* subject key identifier; data NULL when there is none */
    struct span issuer_key_id;   /* authority key identifier; the same */
    int64_t not_before;          /* seconds since 1970 UTC */
    int64_t not_after;
    struct public_key kind;
    const char *weak_signature; /* "SHA-1", "MD5"; NULL when it is not weak; static */
    struct certificate_flags flags;
    size_t name_count;
    char *copy;          /* owned; of the DER */
    struct span names[]; /* the valid ones, lower case */
};

/* Reads the certificate. Owned. An authority may have any critical extension: who verifies a chain judges
 * them, who sends it does not (RFC 5280 section 4.2). kind is told for CERTIFICATE_KEY too, and weak_signature for
 * CERTIFICATE_SIGNATURE. */
struct certificate *certificate_new(struct span der);
void certificate_free(struct certificate *certificate);

/* True when the parent's key made the child's signature. Costs a millisecond, and two when it did
 * not. */
bool certificate_is_signed_by(const struct certificate *child, const struct certificate *parent);

enum { CERTIFICATE_NAME_SIZE = 256 };

/* Writes the issuer's name for people, such as "C=US, O=Example, CN=R3", cut when it is long. */
void certificate_issuer_text(const struct certificate *certificate,
                             char out[static CERTIFICATE_NAME_SIZE]);

#endif
