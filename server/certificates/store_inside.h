/*
 * The inside of the certificate store: the data that its modules share, which are reading (read, form),
 * taking what the load before has read (archive), chains (chain), and names with the public face (store).
 * Nobody else includes this. All numbers are indices into the arrays of the store, so that the arrays may
 * move while they grow.
 */
#ifndef CERTIFICATES_STORE_INSIDE_H
#define CERTIFICATES_STORE_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/limits.h"
#include "base/table.h"
#include "certificates/certificate.h"
#include "certificates/files.h"
#include "certificates/key.h"
#include "certificates/trust.h"
#include "site/site.h"

/* No certificate, key, source or name. */
#define CERTIFICATE_NONE UINT32_MAX

struct stored_certificate {
    struct certificate *facts; /* owned */
    struct position at;
    uint32_t source; /* the file that is its home; CERTIFICATE_NONE before it has one */
    uint32_t key;    /* CERTIFICATE_NONE: there is none */
    uint32_t
        proven;   /* of the first authority of a subject: the last one that has signed something */
    bool is_leaf; /* it can be served: sound, with key and chain */
    enum credential_fault fault; /* of leaves, by chain and content */
    uint32_t chain[LIMIT_CHAIN]; /* of leaves: itself first */
    size_t chain_len;
    uint32_t expired_link; /* of leaves: the chain ends before it; or CERTIFICATE_NONE */
    bool is_judged;        /* of leaves: by the system's authorities */
    bool is_trusted;       /* they verify it */
    const struct credential_fields *credential; /* in the arena; NULL: no host uses it yet */
};

struct stored_key {
    struct private_key *key; /* owned */
    struct position at;
    bool has_certificate;
    bool is_used;
};

/* A certificate or key in a file. */
struct content {
    uint32_t index; /* of the certificate or key */
    uint32_t line;
    bool is_key;
};

/* A file that was read, and what it holds as a stretch of the store's list. */
struct source {
    uint64_t signature;
    uint64_t folder; /* a hash of its path */
    uint32_t first;
    uint32_t count;
    uint32_t certificate_count;
    bool is_named;    /* itself, not a folder above it */
    bool is_reusable; /* nothing was said of it, so that it need not be read to say it again */
};

/* Something that was said of a file in a folder, whose level counts when a configured host needs what it
 * is said of: others may have what they like in a folder that many use. */
struct doubt {
    size_t mark;              /* of diag */
    unsigned otherwise;       /* enum diag_level, or DIAG_LEVELS: it is left out */
    const struct span *names; /* borrowed; of the certificate, in lower case */
    size_t count;             /* 0, and keys_of too: nobody knows whose it is */
    uint32_t keys_of; /* it is about the keys of this source, counted from 1; 0: it is not */
};

/* A file that was meant to hold certificates or keys, and from which none can be read: text that an editor
 * or a shell has spoilt, or another format than PEM. All texts are static. */
struct certificate_form {
    const char *what;   /* what the file is: "it is PKCS #12" */
    const char *before; /* the command that converts it, before and behind the name of the file */
    const char *behind;
    bool is_request; /* a request belongs beside its certificate, and cannot be converted */
};

/* A certificate in a list: of the leaves that have a name, or of authorities with the same subject, of all and of
 * those in a folder. */
struct listed {
    uint64_t place; /* of authorities: a hash of folder and subject */
    uint32_t index;
    uint32_t next; /* another one, or CERTIFICATE_NONE */
};

/* A subject alternative name and the leaves that have it. */
struct stored_name {
    struct span text;                 /* borrowed from the leaf that had it first */
    uint32_t first[CREDENTIAL_KINDS]; /* listed, of each kind, or CERTIFICATE_NONE */
    uint32_t best[CREDENTIAL_KINDS];  /* once asked: of each kind, or CERTIFICATE_NONE */
    uint32_t used[CREDENTIAL_KINDS];  /* what a host that it covers got */
    bool is_asked;                    /* a host that it covers was looked for */
    bool is_without;                  /* and no leaf was found for it */
};

/* Whether one certificate has signed another, which is known. It is archived as it is. */
struct proof {
    uint64_t pair;      /* a hash of both, which lasts as long as the supervisor (table_hash) */
    uint32_t is_signed; /* 0 or 1, as is the next one */
    uint32_t is_used;   /* in this load */
};

/* A file in the archive. */
struct archived_source {
    uint64_t signature;
    uint32_t first; /* of its contents */
    uint32_t count;
};

/* A certificate or key of such a file, borrowed from the site. */
struct certificate_archived {
    struct span der;
    uint32_t line;
    bool is_key;
};

/* The archive of the site before this load. {0} is empty. */
struct certificate_archive {
    const struct archived_source *sources; /* borrowed from the site, as are the proofs */
    const struct proof *proofs;
    size_t proof_count;
    struct certificate_archived *contents; /* owned */
    struct table by_signature;             /* signature to source */
};

struct certificates {
    struct diag *diag; /* borrowed */
    struct certificate_archive previous;
    struct arena *arena;            /* owned; credentials */
    struct timespec begun;          /* before the first file was looked at */
    struct certificate_files files; /* owned */
    int64_t now;
    bool is_matched;

    struct stored_certificate *certificates; /* owned */
    size_t certificate_count;
    struct stored_key *keys; /* owned */
    size_t key_count;
    struct source *sources; /* owned */
    size_t source_count;
    struct content *contents; /* owned; what the sources are stretches of */
    size_t content_count;
    struct stored_name *names; /* owned */
    size_t name_count;
    struct doubt *doubts; /* owned */
    size_t doubt_count;
    size_t unread_count;  /* files from which nothing could be read */
    bool is_host_without; /* a host was looked for that no leaf covers */
    struct trust *trust;  /* owned; the system's authorities, read when there is a contest */
    bool is_trust_asked;  /* NULL is all that there is */
    unsigned trust_checks;
    struct listed *listed; /* owned */
    size_t listed_count;
    unsigned chain_checks; /* signatures that were verified to find issuers */

    struct table by_der;   /* DER to certificate */
    struct table by_info;  /* public key to key */
    struct table by_place; /* folder and subject to the first authority of the list */
    struct table by_name;  /* subject alternative name to name */
    struct proof *proofs;  /* owned */
    size_t proof_count;
    struct table by_proof; /* the pair to proof */
    struct text archived;  /* for the next load */
};

/* What the bytes are, in which there is no block of PEM for us; NULL when it is nothing that is known. */
const struct certificate_form *certificate_form_find(struct span bytes);

/* The archive of the site; empty when it has none (or is NULL), or when it makes no sense. */
void certificate_archive_open(const struct site *site, struct certificate_archive *ret_archive);

/* The file with the signature, or NULL. */
const struct archived_source *certificate_archive_find(const struct certificate_archive *archive,
                                                       uint64_t signature);

/* The number of the certificate with this DER, of the key with this public key; CERTIFICATE_NONE when
 * there is none. */
uint32_t certificate_find_der(const struct certificates *store, struct span der);
uint32_t certificate_find_key(const struct certificates *store, struct span info);

/* Lists the authorities under their subjects, and what the load before has known of signatures. */
void certificate_begin_chains(struct certificates *store);

/* Puts the chain of a certificate that has a key in order. False when it breaks a limit, which is
 * reported. */
bool certificate_build_chain(struct certificates *store, struct stored_certificate *leaf);

/* Reports what senders will dislike about the chain of a leaf that is going to be served. */
void certificate_warn_of_chain(struct certificates *store, const struct stored_certificate *leaf);

/* mbedTLS may use PSA inside, which seeds a generator when it starts. It is stopped again before
 * anything can fork: children must not share its state. False, reported, without random bytes. */
bool certificate_crypto_begin(struct certificates *store);

/* The diagnostic that was added last is in doubt until it is known which hosts are configured. */
void certificate_doubt(struct certificates *store, struct doubt doubt);

static inline bool certificate_is_issuer(const struct certificate *certificate)
{
    return certificate->flags.is_authority &&
           (certificate->weak_signature == NULL || certificate->flags.is_self_issued);
}

static inline bool certificate_is_valid(const struct certificate *certificate, int64_t now)
{
    return certificate->not_before <= now && now <= certificate->not_after;
}

#endif
