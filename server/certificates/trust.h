/*
 * The authorities that are trusted, and whether a chain of certificates leads
 * to one of them. Read once from the operator's files. The loader asks when
 * several certificates are for one host; commands ask about servers, and children
 * that they fork share it. Objects of the TLS library do not leave it.
 */
#ifndef CERTIFICATES_TRUST_H
#define CERTIFICATES_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/span.h"

struct trust;

/* Reads a file of certificates in PEM, or a folder of such files. path NULL: SSL_CERT_FILE,
 * SSL_CERT_DIR, or where systems have theirs. Owned; NULL when there is no certificate in it, which
 * diag tells (DIAG_ERROR). */
struct trust *trust_new(const char *path, struct diag *diag);
void trust_free(struct trust *trust);

/* Whether an authority has this subject, in DER. */
bool trust_has_subject(const struct trust *trust, struct span subject);

enum { TRUST_NAME_SIZE = 256 };

struct trust_verdict {
    bool is_trusted; /* the chain leads to an authority; dates and names are not asked for */
    bool is_weak;    /* a key or signature on the way is weaker than senders accept */
    bool is_expired; /* above the leaf, something has expired or is not valid yet */
    char expired[TRUST_NAME_SIZE]; /* its name */
    bool
        is_costly; /* a key above the leaf is too costly to check a signature with, and was left out */
    bool is_constrained; /* an authority may not issue for one of the names of the leaf */
    char constrained[TRUST_NAME_SIZE]; /* its name */
    char forbidden[TRUST_NAME_SIZE];   /* and that of the leaf */
    const char *not_judged;            /* a critical extension on the way; or NULL; static */
    char not_judged_of[TRUST_NAME_SIZE];
};

/* Judges the chain (DER, leaf first) as of now, seconds since 1970 UTC. False when its first
 * certificate cannot be parsed. */
bool trust_judge(const struct trust *trust, const struct span *chain, size_t count, int64_t now,
                 struct trust_verdict *ret_verdict);

#endif
