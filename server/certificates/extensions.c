#include "certificates/extensions.h"

#include "certificates/der.h"

/* Tags that only certificates have (RFC 5280 appendix A). */
enum {
    TAG_BOOLEAN = 0x01,
    TAG_EXTENSIONS = 0xa3,
    TAG_PERMITTED = 0xa0,
    TAG_EXCLUDED = 0xa1,
    TAG_DNS_NAME = 0x82,
    TAG_DIRECTORY_NAME = 0xa4,
};

#define OID(bytes)               \
    {                            \
        bytes, sizeof(bytes) - 1 \
    }

static const struct span NAME_CONSTRAINTS = OID("\x55\x1d\x1e");
static const struct span ALTERNATIVE_NAME = OID("\x55\x1d\x11");

/* What may be critical in an authority, and is judged by the TLS library. */
static const struct span judged[] = {
    OID("\x55\x1d\x0e"), /* subjectKeyIdentifier */
    OID("\x55\x1d\x0f"), /* keyUsage */
    OID("\x55\x1d\x11"), /* subjectAltName */
    OID("\x55\x1d\x13"), /* basicConstraints */
    OID("\x55\x1d\x23"), /* authorityKeyIdentifier */
    OID("\x55\x1d\x25"), /* extKeyUsage */
    OID("\x55\x1d\x20"), /* certificatePolicies, which name no server */
};

static const struct {
    struct span oid;
    const char *text;
} known[] = {
    {OID("\x55\x1d\x21"), "policyMappings"},
    {OID("\x55\x1d\x24"), "policyConstraints"},
    {OID("\x55\x1d\x36"), "inhibitAnyPolicy"},
};

struct extension {
    struct span oid, value;
    bool is_critical;
};

/* Takes any element with the tag, for which enum der_tag has no name. */
static bool take(struct span *rest, int tag, struct span *ret_content)
{
    return der_take(rest, (enum der_tag)tag, ret_content, NULL);
}

/* The parts of a certificate (RFC 5280 section 4.1): its key, and its extensions, which may be none. */
static bool look_inside(struct span der, struct span *ret_info, struct span *ret_extensions)
{
    struct span outer, inner, wrapped;
    *ret_extensions = (struct span){NULL, 0};
    if (!take(&der, DER_SEQUENCE, &outer) || !take(&outer, DER_SEQUENCE, &inner))
        return false;
    (void)take(&inner, DER_CONTEXT_0, &wrapped); /* version 1 has none */
    if (!take(&inner, DER_INTEGER, &wrapped) || !take(&inner, DER_SEQUENCE, &wrapped) ||
        !take(&inner, DER_SEQUENCE, &wrapped) || /* issuer */
        !take(&inner, DER_SEQUENCE, &wrapped) || /* validity */
        !take(&inner, DER_SEQUENCE, &wrapped) || /* subject */
        !take(&inner, DER_SEQUENCE, ret_info))
        return false;
    while (inner.len > 0) {
        int tag = der_peek(inner);
        if (!take(&inner, tag, &wrapped))
            return false;
        if (tag == TAG_EXTENSIONS)
            return take(&wrapped, DER_SEQUENCE, ret_extensions);
    }
    return true;
}

static bool next_extension(struct span *rest, struct extension *ret_extension)
{
    struct span sequence, flag;
    if (!take(rest, DER_SEQUENCE, &sequence) ||
        !take(&sequence, DER_OBJECT_IDENTIFIER, &ret_extension->oid))
        return false;
    ret_extension->is_critical =
        take(&sequence, TAG_BOOLEAN, &flag) && flag.len == 1 && flag.data[0] != 0;
    return take(&sequence, DER_OCTET_STRING, &ret_extension->value);
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
    while (take(&subtrees, DER_SEQUENCE, &subtree)) {
        *ret_has_directory = *ret_has_directory || der_peek(subtree) == TAG_DIRECTORY_NAME;
        if (!take(&subtree, TAG_DNS_NAME, &base))
            continue;
        (*ret_count)++;
        found = found || covers(base, name);
    }
    return found;
}

static void judge_constraints(const struct extension *extension, const struct span *names,
                              size_t count, struct extensions_verdict *verdict)
{
    struct span value = extension->value, sequence, permitted = {NULL, 0}, excluded = {NULL, 0};
    bool has_directory = false;
    if (!take(&value, DER_SEQUENCE, &sequence))
        return;
    (void)take(&sequence, TAG_PERMITTED, &permitted); /* each may be missing */
    (void)take(&sequence, TAG_EXCLUDED, &excluded);
    for (size_t i = 0; i < count; i++) {
        size_t dns;
        bool is_permitted = has_subtree(permitted, names[i], &dns, &has_directory) || dns == 0;
        if (has_subtree(excluded, names[i], &dns, &has_directory) || !is_permitted)
            verdict->forbidden = names[i];
    }
    if (has_directory && extension->is_critical)
        verdict->not_judged = "nameConstraints for the names of directories";
}

void extensions_judge(struct span authority, const struct span *names, size_t count,
                      struct extensions_verdict *ret_verdict)
{
    struct span info, rest;
    struct extension extension;
    *ret_verdict = (struct extensions_verdict){.forbidden = {NULL, 0}};
    if (!look_inside(authority, &info, &rest))
        return;
    while (next_extension(&rest, &extension)) {
        bool is_judged = false;
        if (span_equal(extension.oid, NAME_CONSTRAINTS)) {
            judge_constraints(&extension, names, count, ret_verdict);
            continue;
        }
        for (size_t i = 0; i < sizeof(judged) / sizeof(judged[0]); i++)
            is_judged = is_judged || span_equal(extension.oid, judged[i]);
        if (is_judged || !extension.is_critical)
            continue;
        ret_verdict->not_judged = "an extension that is not known here";
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (span_equal(extension.oid, known[i].oid))
                ret_verdict->not_judged = known[i].text;
    }
}

bool extensions_next_name(struct span certificate, struct span *name)
{
    struct span info, rest, names;
    struct extension extension;
    const char *before = name->data;
    if (!look_inside(certificate, &info, &rest))
        return false;
    while (next_extension(&rest, &extension)) {
        if (!span_equal(extension.oid, ALTERNATIVE_NAME) ||
            !take(&extension.value, DER_SEQUENCE, &names))
            continue;
        while (names.len > 0) {
            int tag = der_peek(names);
            struct span content;
            if (!take(&names, tag, &content))
                return false;
            if (tag != TAG_DNS_NAME || (before != NULL && content.data <= before))
                continue;
            *name = content;
            return true;
        }
    }
    return false;
}

bool extensions_key_is_costly(struct span certificate)
{
    static const struct span rsa = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
    struct span info, extensions, algorithm, oid, bits, key, modulus, exponent;
    if (!look_inside(certificate, &info, &extensions) || !take(&info, DER_SEQUENCE, &algorithm) ||
        !take(&algorithm, DER_OBJECT_IDENTIFIER, &oid) || !span_equal(oid, rsa) ||
        !take(&info, DER_BIT_STRING, &bits) || bits.len == 0)
        return false;
    bits = span_skip(bits, 1); /* how many bits are not used: none */
    if (!take(&bits, DER_SEQUENCE, &key) || !take(&key, DER_INTEGER, &modulus) ||
        !take(&key, DER_INTEGER, &exponent))
        return false;
    while (exponent.len > 0 && exponent.data[0] == 0)
        exponent = span_skip(exponent, 1);
    return exponent.len > 4;
}
