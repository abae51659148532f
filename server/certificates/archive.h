/*
 * What one load of certificates leaves for the next one in the site (site_archive): of each file whose
 * reading needs no word its signature and what is in it, the facts of the certificates, the public keys
 * of the private ones that are used, and which signatures were verified. The next load takes what is
 * unchanged from there, without opening a file. Whatever the bytes are, nothing beyond them is read.
 * No part of a key is there which the site does not serve. Loader and commands only.
 */
#ifndef CERTIFICATES_ARCHIVE_H
#define CERTIFICATES_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/table.h"
#include "certificates/certificate.h"
#include "site/site_builder.h"

/* A file. */
struct archived_source {
    uint64_t signature;
    uint32_t first; /* of its contents */
    uint32_t count;
    uint32_t certificate_count;
    uint32_t unused;
};

/* A certificate or key in it. */
struct archived_content {
    uint32_t index; /* of the certificate or key */
    uint32_t line;
    uint32_t is_key;
};

/* Bytes of the image, or of the certificate. at is UINT32_MAX when there are none. */
struct archived_span {
    uint32_t at;
    uint32_t len;
};

struct archived_certificate {
    int64_t not_before;
    int64_t not_after;
    struct archived_span der, info;                              /* of the image */
    struct archived_span subject, issuer, key_id, issuer_key_id; /* of the certificate */
    struct archived_span names; /* of the archive: each a byte with its length, and its text */
    uint32_t name_count;
    uint32_t flags; /* enum archived_flag */
    char weak_signature[8];
};

enum archived_flag {
    ARCHIVED_AUTHORITY = 1,
    ARCHIVED_SELF_ISSUED = 2,
    ARCHIVED_MAY_SERVE = 4,
    ARCHIVED_MAY_SIGN = 8,
    ARCHIVED_DNS_NAMES = 16,
    ARCHIVED_MUST_STAPLE = 32,
};

struct archived_key {
    struct archived_span der, info; /* of the image; none: nothing uses the key */
};

/* Whether the second certificate has signed the first. */
struct archived_proof {
    uint32_t child;
    uint32_t parent;
    uint32_t is_signed;
};

/* An archive as it is read. {0} is empty. Everything is borrowed from the site but the table. */
struct certificate_archive {
    struct span image, archive;
    const struct archived_certificate *certificates;
    const struct archived_source *sources;
    const struct archived_content *contents;
    const struct archived_key *keys;
    const struct archived_proof *proofs;
    size_t certificate_count, source_count, content_count, key_count, proof_count;
    struct table by_signature; /* signature to source */
};

/* Empty when the site has none, or when it makes no sense. */
void certificate_archive_open(const struct site *site, struct certificate_archive *ret_archive);
void certificate_archive_close(struct certificate_archive *archive);

/* The file with the signature, all of whose contents are there, or NULL; its contents are borrowed. */
const struct archived_source *certificate_archive_find(const struct certificate_archive *archive,
                                                       uint64_t signature);

/* The facts of a certificate of such a file; they borrow from the site. Owned. */
struct certificate *certificate_archive_take(const struct certificate_archive *archive,
                                             uint32_t index);

/* Bytes of the image that such a file's key has. */
struct span certificate_archive_bytes(const struct certificate_archive *archive,
                                      struct archived_span span);

/* What is to be archived: the counts are those of the arrays, which are owned. Names are appended by
 * certificate_archive_put alone. */
struct archive_draft {
    struct archived_certificate *certificates;
    struct archived_source *sources;
    struct archived_content *contents;
    struct archived_key *keys;
    struct archived_proof *proofs;
    size_t certificate_count, source_count, content_count, key_count, proof_count;
    struct text names;
    void *bytes; /* owned; what was given to the builder */
};

/* Fills the record of the certificate, and sees to it that its bytes are in the image. */
void certificate_archive_put(struct archive_draft *draft, size_t index,
                             const struct certificate *facts, struct site_builder *builder);

/* Gives all to the builder, which borrows it until its end. */
void certificate_archive_finish(struct archive_draft *draft, struct site_builder *builder);

void certificate_archive_free(struct archive_draft *draft); /* {0} is legal */

#endif
