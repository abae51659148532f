/*
 * The layout of a site image, which is one block of bytes without pointers: a header, what the domains
 * refer to (policies, credentials, certificates, keys, texts), the domains in the order of their names,
 * and last the archive, which only the next load looks at. A reference is a distance in bytes from its
 * own place, so that it is the same in every process. The inside of the room site/: nobody else
 * includes this.
 */
#ifndef SITE_IMAGE_H
#define SITE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/memory_file.h"
#include "base/span.h"
#include "site/site.h"

/* Of a record or a text that ends with NUL. 0 is none. */
struct image_reference {
    int32_t distance;
};

/* Of a run of bytes. */
struct image_bytes {
    int32_t distance;
    uint32_t len;
};

struct credential {
    int64_t not_before; /* seconds since 1970 UTC */
    int64_t not_after;
    struct image_bytes key;
    struct image_reference algorithm;
    struct image_reference file;
    uint32_t line;
    uint8_t kind;
    uint8_t fault;
    uint8_t chain_len;
    uint8_t unused;
    struct image_bytes chain[LIMIT_CHAIN]; /* leaf first */
};

struct site_domain {
    struct image_reference name;
    struct image_reference policy;
    struct image_reference credentials[CREDENTIAL_KINDS];
    struct image_reference file;
    struct image_reference tls_rpt;
    struct image_reference label;
    uint32_t line;
    uint32_t column;
    uint8_t name_len;
    uint8_t state;
    uint8_t is_proxied;
    uint8_t unused;
};

struct site_image {
    char magic[8];
    uint32_t version; /* of this layout */
    uint32_t size;    /* of the image */
    uint32_t domains; /* where they begin, in bytes from here */
    uint32_t domain_count;
    uint32_t archive; /* where it begins */
    uint32_t archive_len;
};

static const char SITE_IMAGE_MAGIC[8] = {'m', 't', 'a', '-', 's', 't', 's', '\n'};
enum { SITE_IMAGE_VERSION = 2 };

struct site {
    struct memory_map map; /* owned */
};

/* Whether the functions of site.h read nothing beyond these bytes, whatever they are. They begin at an
 * address that eight divides. */
bool site_image_check(struct span image);

/* Maps the image without a look at it. Owned; NULL with errno. */
struct site *site_map(int fd);

/* NULL when there is none. */
static inline const void *image_follow(const struct image_reference *reference)
{
    return reference->distance == 0 ? NULL : (const char *)reference + reference->distance;
}

/* Of one that is never none. */
static inline const char *image_text(const struct image_reference *reference)
{
    return (const char *)reference + reference->distance;
}

static inline struct span image_span(const struct image_bytes *bytes)
{
    return (struct span){(const char *)bytes + bytes->distance, bytes->len};
}

#endif
