#include "certificates/der.h"
#include "certificates/pem.h"
#include "certificates/store_inside.h"

enum form {
    FORM_UTF16,
    FORM_ESCAPED,
    FORM_CR,
    FORM_ONE_LINE,
    FORM_INDENTED,
    FORM_BARE,
    FORM_BARE_PKCS7,
    FORM_PKCS7,
    FORM_PKCS7_DER,
    FORM_PKCS12,
    FORM_REQUEST,
    FORM_CERTIFICATE_DER,
    FORM_KEY_DER,
    FORM_KEYSTORE,
};

static const struct certificate_form forms[] = {
    [FORM_UTF16] = {"it is text in UTF-16, as PowerShell writes it", "iconv -f UTF-16 -t UTF-8 ",
                    " >NEW", false},
    [FORM_ESCAPED] = {"its line breaks are written as \\n",
                      "sed 's/^[^-]*//; s/\\\\n/\\n/g; s/\"[^\"]*$//' ", " >NEW", false},
    [FORM_CR] = {"its lines end with CR alone", "tr '\\r' '\\n' <", " >NEW", false},
    [FORM_ONE_LINE] = {"its line breaks are missing: BEGIN and END need a line of their own",
                       "sed 's/ *-----BEGIN [A-Z ]*----- */\\n&\\n/g; s/ *-----END [A-Z ]*----- */"
                       "\\n&\\n/g' ",
                       " | sed 's/^ *//' >NEW", false},
    [FORM_INDENTED] = {"its lines are indented, or something else is before BEGIN",
                       "sed 's/^[[:space:]>|]*//; s/^.*-----BEGIN/-----BEGIN/' ", " >NEW", false},
    [FORM_BARE] = {"it is base64 without the lines BEGIN and END", "base64 -di ",
                   " | openssl x509 -inform DER -out NEW", false},
    [FORM_BARE_PKCS7] = {"it is PKCS #7 in base64, without the lines BEGIN and END", "base64 -di ",
                         " | openssl pkcs7 -inform DER -print_certs -out NEW", false},
    [FORM_PKCS7] = {"it is PKCS #7", "openssl pkcs7 -print_certs -in ", " -out NEW", false},
    [FORM_PKCS7_DER] = {"it is PKCS #7 in DER", "openssl pkcs7 -inform DER -print_certs -in ",
                        " -out NEW", false},
    [FORM_PKCS12] = {"it is PKCS #12", "openssl pkcs12 -nodes -in ", " -out NEW", false},
    [FORM_REQUEST] = {"it is a request for a certificate, not the certificate",
                      "send it to a certificate authority, and put what comes back beside ", "",
                      true},
    [FORM_CERTIFICATE_DER] = {"it is a certificate in DER", "openssl x509 -inform DER -in ",
                              " -out NEW", false},
    [FORM_KEY_DER] = {"it is a private key in DER", "openssl pkey -inform DER -in ", " -out NEW",
                      false},
    [FORM_KEYSTORE] =
        {"it is a keystore of Java",
         "keytool -importkeystore -deststoretype PKCS12 -destkeystore NEW -srckeystore ",
         ", then openssl pkcs12 -nodes -in NEW", false},
};

static bool contains(struct span bytes, struct span part)
{
    return memmem(bytes.data, bytes.len, part.data, part.len) != NULL;
}

#define BYTES(text) ((struct span){text, sizeof(text) - 1})

/* The first block has a label that is not for us: which? */
static int find_label(struct span bytes)
{
    static const struct {
        const char *label;
        enum form form;
    } labels[] = {
        {"PKCS7", FORM_PKCS7},
        {"CMS", FORM_PKCS7},
        {"PKCS #7 SIGNED DATA", FORM_PKCS7},
        {"CERTIFICATE REQUEST", FORM_REQUEST},
        {"NEW CERTIFICATE REQUEST", FORM_REQUEST},
    };
    struct pem_block block;
    for (struct pem_reader reader = pem_begin(bytes); pem_next(&reader, &block);)
        for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
            if (span_equal(block.label, span_of(labels[i].label)))
                return (int)labels[i].form;
    return -1;
}

static bool has_line_end(struct span bytes, char end)
{
    /* The last byte does not count: it ends the only line. */
    return bytes.len > 1 && memchr(bytes.data, end, bytes.len - 1) != NULL;
}

/* BEGIN is there, but not as the reader of PEM wants it. */
static int find_spoilt(struct span bytes)
{
    const char *begin = memmem(bytes.data, bytes.len, "-----BEGIN ", 11);
    if (begin == NULL)
        return -1;
    if (contains(bytes, BYTES("-----\\n")) || contains(bytes, BYTES("-----\\r\\n")))
        return FORM_ESCAPED;
    if (has_line_end(bytes, '\r') && !has_line_end(bytes, '\n'))
        return FORM_CR;
    struct span line = {begin, bytes.len - (size_t)(begin - bytes.data)};
    const char *end = memchr(line.data, '\n', line.len);
    line.len = end == NULL ? line.len : (size_t)(end - line.data);
    const char *dashes = memmem(line.data + 11, line.len - 11, "-----", 5);
    const char *label_end = dashes == NULL ? NULL : dashes + 5;
    /* What follows BEGIN in its line, but for blanks. */
    while (label_end != NULL && label_end < line.data + line.len &&
           (*label_end == ' ' || *label_end == '\t' || *label_end == '\r'))
        label_end++;
    if (label_end != NULL && label_end < line.data + line.len)
        return FORM_ONE_LINE;
    return label_end != NULL && begin > bytes.data && begin[-1] != '\n' ? (int)FORM_INDENTED : -1;
}

/* Base64 begins so when it is DER of 256 to 65,535 bytes. */
static int find_bare(struct span bytes)
{
    if (bytes.len < 64 || !span_begins(bytes, BYTES("MII")) || !span_is_word(bytes, "+/=\r\n"))
        return -1;
    /* Behind tag and length is the object identifier of signed data, or a SEQUENCE. */
    return span_begins(span_skip(bytes, 8), BYTES("KoZIhvcNAQcC")) ? FORM_BARE_PKCS7 : FORM_BARE;
}

/* What a SEQUENCE that is the first in another one makes of it: RFC 5280 and RFC 2986 section 4.1, or
 * an encrypted key (RFC 5208 section 6). */
static int find_signed(struct span inside)
{
    struct span first;
    if (!der_take(&inside, DER_SEQUENCE, &first, NULL))
        return -1;
    if (der_peek(inside) == DER_OCTET_STRING)
        return FORM_KEY_DER;
    if (der_peek(first) == DER_VERSION)
        return FORM_CERTIFICATE_DER;
    if (!der_take(&first, DER_INTEGER, NULL, NULL) || !der_take(&first, DER_SEQUENCE, NULL, NULL) ||
        !der_take(&first, DER_SEQUENCE, NULL, NULL))
        return -1;
    return der_peek(first) == DER_ATTRIBUTES ? FORM_REQUEST : FORM_CERTIFICATE_DER;
}

static int find_binary(struct span bytes)
{
    static const char signed_data[] = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    struct span inside, number, rest = bytes;
    if (span_begins(bytes, BYTES("\xfe\xed\xfe\xed")))
        return FORM_KEYSTORE;
    /* Of an indefinite length, as some tools write what is large. */
    if (span_begins(bytes, BYTES("\x30\x80\x02\x01\x03")))
        return FORM_PKCS12;
    if (span_begins(bytes, BYTES("\x30\x80")) &&
        span_begins(span_skip(bytes, 2), BYTES(signed_data)))
        return FORM_PKCS7_DER;
    if (!der_take(&rest, DER_SEQUENCE, &inside, NULL))
        return -1;
    if (span_begins(inside, BYTES(signed_data)))
        return FORM_PKCS7_DER;
    if (!der_take(&inside, DER_INTEGER, &number, NULL))
        return find_signed(inside);
    if (number.len != 1)
        return -1;
    if (number.data[0] == 3)
        return FORM_PKCS12;
    int next = der_peek(inside);
    return next == DER_SEQUENCE || next == DER_INTEGER || next == DER_OCTET_STRING
               ? (int)FORM_KEY_DER
               : -1;
}

const struct certificate_form *certificate_form_find(struct span bytes)
{
    static int (*const finders[])(struct span) = {find_label, find_spoilt, find_bare, find_binary};
    /* In either order of the two bytes. */
    int form = bytes.len > 0 && contains(bytes, BYTES("-\0-\0-\0-\0-\0B")) ? FORM_UTF16 : -1;
    for (size_t i = 0; bytes.len > 0 && form < 0 && i < sizeof(finders) / sizeof(finders[0]); i++)
        form = finders[i](bytes);
    return form < 0 ? NULL : &forms[form];
}
