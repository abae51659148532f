/*
 * The inside of the certificate store: the data that its modules share, which
 * are reading (certificate_read), judging and chains (certificate_chain), names
 * (certificate_names) and the public face (certificates). Nobody else includes
 * this. All numbers are indices into the arrays of the store, so that the
 * arrays may move while they grow.
 */
#ifndef LOAD_CERTIFICATE_STORE_H
#define LOAD_CERTIFICATE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/limits.h"
#include "base/table.h"
#include "load/certificate.h"
#include "load/certificate_files.h"
#include "load/private_key.h"

/* No certificate, key, source or name. */
#define CERTIFICATE_NONE UINT32_MAX

/* What clients would say to a chain; the better one is preferred. In rising order. */
enum chain_quality {
    CHAIN_SELF_SIGNED, /* every sender refuses it */
    CHAIN_INCOMPLETE,  /* the issuer of the leaf is in none of the files */
    CHAIN_EXPIRED,     /* an intermediate is not valid now */
    CHAIN_GOOD,
};

struct stored_certificate {
    struct certificate facts; /* owned */
    struct position at;
    uint32_t source;       /* the file that is its home; CERTIFICATE_NONE before it has one */
    uint32_t key;          /* CERTIFICATE_NONE: there is none */
    uint32_t next_subject; /* the next authority with the same subject, or CERTIFICATE_NONE */
    bool is_leaf;          /* it can be served: sound, with key and chain */
    bool is_used;
    enum chain_quality quality;
    uint32_t chain[LIMIT_CHAIN]; /* of leaves: itself first */
    size_t chain_len;
    struct credential *credential; /* owned; made when it is first asked for */
};

struct stored_key {
    struct private_key key; /* owned */
    struct position at;
    bool has_certificate;
};

/* A file that holds certificates: which, as a stretch of the store's list. */
struct source {
    uint32_t first;
    uint32_t count;
};

/* A subject alternative name and the best leaf of each kind that has it. */
struct stored_name {
    struct span text;                /* borrowed from the leaf that had it first */
    uint32_t best[CREDENTIAL_KINDS]; /* CERTIFICATE_NONE: there is none */
    bool is_asked;                   /* a host that it covers was looked for */
};

struct certificates {
    struct diag *diag;              /* borrowed */
    struct arena *arena;            /* owned */
    struct certificate_files files; /* owned */
    int64_t now;
    bool shortage; /* of memory; told once, at the end of a step */
    bool is_shortage_told;
    bool is_crypto_begun; /* a generator may be seeded; not after the matching */

    struct stored_certificate *certificates; /* owned */
    size_t certificate_count, certificate_capacity;
    struct stored_key *keys; /* owned */
    size_t key_count, key_capacity;
    struct source *sources; /* owned */
    size_t source_count, source_capacity;
    uint32_t *contents; /* owned; what the sources are stretches of */
    size_t content_count, content_capacity;
    struct stored_name *names; /* owned */
    size_t name_count, name_capacity;

    struct table by_der;     /* DER to certificate */
    struct table by_info;    /* public key to key */
    struct table by_subject; /* subject to the first authority of its list */
    struct table by_name;    /* subject alternative name to name */
};

/* Takes the certificates and keys out of one file. context is the store. */
void certificate_read_file(void *context, const struct certificate_file *file);

/* The number of the certificate with this DER, of the key with this public key, of the first
 * authority with this subject; CERTIFICATE_NONE when there is none. */
uint32_t certificate_find_der(const struct certificates *store, struct span der);
uint32_t certificate_find_key(const struct certificates *store, struct span info);
uint32_t certificate_find_subject(const struct certificates *store, struct span subject);

/* Lists the authority under its subject, for certificate_build_chain. */
void certificate_add_authority(struct certificates *store, uint32_t index);

/* Puts the chain of a certificate that has a key in order. False when it breaks a limit, which is
 * reported. */
bool certificate_build_chain(struct certificates *store, struct stored_certificate *leaf);

/* Reports what senders will dislike about the chain of a leaf that is going to be served. */
void certificate_warn_of_chain(struct certificates *store, const struct stored_certificate *leaf);

/* Lists the leaf under its names. */
void certificate_add_names(struct certificates *store, uint32_t index);

/* The best leaf of the kind for the host, or CERTIFICATE_NONE. */
uint32_t certificate_find_host(struct certificates *store, struct span host,
                               enum credential_kind kind);

/* Has a host been looked for that one of the certificate's names covers? */
bool certificate_is_asked(const struct certificates *store,
                          const struct stored_certificate *certificate);

static inline bool certificate_is_valid(const struct certificate *certificate, int64_t now)
{
    return certificate->not_before <= now && now <= certificate->not_after;
}

#endif
