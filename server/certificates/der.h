/*
 * DER (X.690): walks over tags and lengths, so that a certificate or key which
 * the TLS library does not understand can still be named in a diagnostic. Pure:
 * it owns nothing and allocates nothing. The loader and the commands use it.
 */
#ifndef CERTIFICATES_DER_H
#define CERTIFICATES_DER_H

#include <stdbool.h>

#include "base/span.h"

enum der_tag {
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OBJECT_IDENTIFIER = 0x06,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT_0 = 0xa0,
};

/* The tag that the span begins with, or -1 when it is empty. */
int der_peek(struct span rest);

/* Takes one element with this tag off rest. ret_content is what is inside,
 * ret_whole the element with its tag and length; each may be NULL. False, with
 * nothing changed, when there is no such element or it exceeds rest. */
bool der_take(struct span *rest, enum der_tag tag, struct span *ret_content,
              struct span *ret_whole);

#endif
