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

static const struct span NAME_CONSTRAINTS = DER_OID("\x55\x1d\x1e");
static const struct span ALTERNATIVE_NAME = DER_OID("\x55\x1d\x11");

/* What may be critical in an authority: with text what is not judged, and without what the TLS library
 * judges. */
static const struct der_name known[] = {
    {DER_OID("\x55\x1d\x0e"), ""}, /* subjectKeyIdentifier */
    {DER_OID("\x55\x1d\x0f"), ""}, /* keyUsage */
    {DER_OID("\x55\x1d\x11"), ""}, /* subjectAltName */
    {DER_OID("\x55\x1d\x13"), ""}, /* basicConstraints */
    {DER_OID("\x55\x1d\x23"), ""}, /* authorityKeyIdentifier */
    {DER_OID("\x55\x1d\x25"), ""}, /* extKeyUsage */
    {DER_OID("\x55\x1d\x20"), ""}, /* certificatePolicies, which name no server */
    {DER_OID("\x55\x1d\x21"), "policyMappings"},
    {DER_OID("\x55\x1d\x24"), "policyConstraints"},
    {DER_OID("\x55\x1d\x36"), "inhibitAnyPolicy"},
};

struct extension {
    struct span oid, value;
    bool is_critical;
};

static bool next_extension(struct span *rest, struct extension *ret_extension)
{
    struct span sequence, flag;
    if (!der_take(rest, DER_SEQUENCE, &sequence, NULL) ||
        !der_take(&sequence, DER_OBJECT_IDENTIFIER, &ret_extension->oid, NULL))
        return false;
    ret_extension->is_critical =
        der_take(&sequence, DER_BOOLEAN, &flag, NULL) && flag.len == 1 && flag.data[0] != 0;
    return der_take(&sequence, DER_OCTET_STRING, &ret_extension->value, NULL);
}

/* A name constraint covers the domain itself and what is below it; one with a dot before it, which
 * OpenSSL and Go take too, only that. */
static bool covers(struct span base, struct span name)
{
    if (base.len == 0)
        return true;
    if (base.len > name.len)
        return false;
    struct span end = span_skip(name, name.len - base.len);
    return span_equal_fold(end, base) &&
           (base.data[0] == '.' || base.len == name.len || end.data[-1] == '.');
}

/* Whether one of the subtrees covers the name. ret_count is how many are about DNS names. */
static bool has_subtree(struct span subtrees, struct span name, size_t *ret_count,
                        bool *ret_has_directory)
{
    struct span subtree, base;
    bool found = false;
    *ret_count = 0;
    while (der_take(&subtrees, DER_SEQUENCE, &subtree, NULL)) {
        *ret_has_directory = *ret_has_directory || der_peek(subtree) == DER_DIRECTORY_NAME;
        if (!der_take(&subtree, DER_DNS_NAME, &base, NULL))
            continue;
        (*ret_count)++;
        found = found || covers(base, name);
    }
    return found;
}

static void judge_constraints(const struct extension *extension, const struct span *names,
                              size_t count, struct der_verdict *verdict)
{
    struct span value = extension->value, sequence, permitted = {NULL, 0}, excluded = {NULL, 0};
    bool has_directory = false;
    if (!der_take(&value, DER_SEQUENCE, &sequence, NULL))
        return;
    (void)der_take(&sequence, DER_PERMITTED, &permitted, NULL); /* each may be missing */
    (void)der_take(&sequence, DER_EXCLUDED, &excluded, NULL);
    for (size_t i = 0; i < count; i++) {
        size_t dns;
        bool is_permitted = has_subtree(permitted, names[i], &dns, &has_directory) || dns == 0;
        if (has_subtree(excluded, names[i], &dns, &has_directory) || !is_permitted)
            verdict->forbidden = names[i];
    }
    if (has_directory && extension->is_critical)
        verdict->not_judged = "nameConstraints for the names of directories";
}

void der_judge_authority(struct span authority, const struct span *names, size_t count,
                         struct der_verdict *ret_verdict)
{
    struct der_certificate parts;
    struct extension extension;
    *ret_verdict = (struct der_verdict){.forbidden = {NULL, 0}};
    (void)der_read_certificate(authority, &parts); /* what is none has no extensions */
    while (next_extension(&parts.extensions, &extension)) {
        if (span_equal(extension.oid, NAME_CONSTRAINTS)) {
            judge_constraints(&extension, names, count, ret_verdict);
        } else if (extension.is_critical) {
            const char *text = der_name(known, sizeof(known) / sizeof(known[0]), extension.oid);
            if (text == NULL)
                ret_verdict->not_judged = "an extension that is not known here";
            else if (text[0] != '\0')
                ret_verdict->not_judged = text;
        }
    }
}

bool der_next_name(struct span certificate, struct span *name)
{
    struct der_certificate parts;
    struct span names, content;
    struct extension extension;
    const char *before = name->data;
    (void)der_read_certificate(certificate, &parts); /* what is none has no extensions */
    while (next_extension(&parts.extensions, &extension)) {
        if (!span_equal(extension.oid, ALTERNATIVE_NAME) ||
            !der_take(&extension.value, DER_SEQUENCE, &names, NULL))
            continue;
        for (int tag; (tag = der_peek(names)) >= 0 && der_take(&names, tag, &content, NULL);) {
            if (tag != DER_DNS_NAME || (before != NULL && content.data <= before))
                continue;
            *name = content;
            return true;
        }
    }
    return false;
}
