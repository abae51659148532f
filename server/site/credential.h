/*
 * A credential is a certificate chain and its private key as DER, ready to be
 * parsed for one handshake: no object of the TLS library, so that a hundred
 * thousand of them are small and every worker shares the pages of all. It is a
 * part of a site (site/site.h). The loader says what is in it, workers only read.
 */
#ifndef SITE_CREDENTIAL_H
#define SITE_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/limits.h"
#include "base/span.h"

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

/* A clause with "it" for the certificate, and a word or two for a cell of a table; static. The word
 * is "" when it is sound. */
const char *credential_fault_text(enum credential_fault fault);
const char *credential_fault_word(enum credential_fault fault);

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

struct credential;

/* What it was made of; borrowed from it. */
struct credential_fields credential_fields(const struct credential *credential);

/* Its fault by the clock, which comes first, or by its chain and content. now is seconds since 1970 UTC. */
enum credential_fault credential_judge(const struct credential *credential, int64_t now);

#endif
