/*
 * DER (X.690): walks over elements with the TLS library's reader, so that a certificate or key which the
 * library does not understand as a whole can still be named in a diagnostic; and reads what the library
 * does not tell of a certificate: the names that an authority may issue for (RFC 5280 section 4.2.1.10),
 * critical extensions that are not judged, and DNS names as they are written. Pure: it owns nothing and
 * allocates nothing. The loader and the commands use it.
 */
#ifndef CERTIFICATES_DER_H
#define CERTIFICATES_DER_H

#include <stdbool.h>

#include "base/span.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OBJECT_IDENTIFIER = 0x06,
    DER_SEQUENCE = 0x30,
    /* Of RFC 5280: parts of a certificate, of name constraints, and names. */
    DER_VERSION = 0xa0,
    DER_EXTENSIONS = 0xa3,
    DER_PERMITTED = 0xa0,
    DER_EXCLUDED = 0xa1,
    DER_DNS_NAME = 0x82,
    DER_DIRECTORY_NAME = 0xa4,
    /* The parameters of a private key (RFC 5915), and the attributes of a request (RFC 2986). */
    DER_PARAMETERS = 0xa0,
    DER_ATTRIBUTES = 0xa0,
};

/* The tag that the span begins with, or -1 when it is empty. */
int der_peek(struct span rest);

/* Takes one element with this tag off rest. ret_content is what is inside,
 * ret_whole the element with its tag and length; each may be NULL. False, with
 * nothing changed, when there is no such element or it exceeds rest. */
bool der_take(struct span *rest, int tag, struct span *ret_content, struct span *ret_whole);

/* An object identifier (its content) and what it stands for. */
struct der_name {
    struct span oid;
    const char *text; /* static */
};

#define DER_OID(bytes)           \
    {                            \
        bytes, sizeof(bytes) - 1 \
    }

/* The text of the identifier, or NULL when it is none of those. */
const char *der_name(const struct der_name *names, size_t count, struct span oid);

/* Parts of a certificate (RFC 5280 section 4.1). */
struct der_certificate {
    struct span algorithm;  /* the object identifier of its signature */
    struct span info;       /* SubjectPublicKeyInfo, whole */
    struct span extensions; /* one after the other; empty when there are none */
};

/* False when it is no certificate at all. */
bool der_read_certificate(struct span der, struct der_certificate *ret_parts);

/* The name constraints of an authority, held against names. */
struct der_verdict {
    struct span forbidden;  /* one of the names that it may not issue for; data NULL: none */
    const char *not_judged; /* a critical extension that is not judged here; or NULL; static */
};

/* Judges the authority (DER) for the DNS names of a server's certificate. */
void der_judge_authority(struct span authority, const struct span *names, size_t count,
                         struct der_verdict *ret_verdict);

/* The next DNS name in the subject alternative name, as it is written, behind the one that was taken
 * last; begin with data NULL. False when there is none. */
bool der_next_name(struct span certificate, struct span *name);

#endif
