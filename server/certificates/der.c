#include "certificates/der.h"

#include <mbedtls/asn1.h>

int der_peek(struct span rest)
{
    return rest.len == 0 ? -1 : (unsigned char)rest.data[0];
}

bool der_take(struct span *rest, int tag, struct span *ret_content, struct span *ret_whole)
{
    /* The library only reads, but does not say so. */
    unsigned char *at = (unsigned char *)(uintptr_t)rest->data;
    size_t len;
    if (rest->len == 0 || mbedtls_asn1_get_tag(&at, at + rest->len, &len, tag) != 0)
        return false;
    const char *content = (const char *)at;
    if (ret_content != NULL)
        *ret_content = (struct span){content, len};
    if (ret_whole != NULL)
        *ret_whole = (struct span){rest->data, (size_t)(content - rest->data) + len};
    *rest = span_skip(*rest, (size_t)(content - rest->data) + len);
    return true;
}

const char *der_name(const struct der_name *names, size_t count, struct span oid)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal(names[i].oid, oid))
            return names[i].text;
    return NULL;
}

bool der_read_certificate(struct span der, struct der_certificate *ret_parts)
{
    struct span outer, inner, algorithm, wrapped;
    *ret_parts = (struct der_certificate){0};
    if (!der_take(&der, DER_SEQUENCE, &outer, NULL) ||
        !der_take(&outer, DER_SEQUENCE, &inner, NULL))
        return false;
    (void)der_take(&inner, DER_VERSION, NULL, NULL); /* version 1 has none */
    if (!der_take(&inner, DER_INTEGER, NULL, NULL) ||
        !der_take(&inner, DER_SEQUENCE, &algorithm, NULL) ||
        !der_take(&inner, DER_SEQUENCE, NULL, NULL) || /* issuer */
        !der_take(&inner, DER_SEQUENCE, NULL, NULL) || /* validity */
        !der_take(&inner, DER_SEQUENCE, NULL, NULL) || /* subject */
        !der_take(&inner, DER_SEQUENCE, NULL, &ret_parts->info) ||
        !der_take(&algorithm, DER_OBJECT_IDENTIFIER, &ret_parts->algorithm, NULL))
        return false;
    for (int tag; (tag = der_peek(inner)) >= 0 && der_take(&inner, tag, &wrapped, NULL);)
        if (tag == DER_EXTENSIONS)
            (void)der_take(&wrapped, DER_SEQUENCE, &ret_parts->extensions, NULL); /* else none */
    return true;
}
