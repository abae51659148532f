#include "certificates/certificate.h"

#include <assert.h>
#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "base/heap.h"
#include "certificates/der.h"
#include "certificates/memory.h"
#include "policy/name.h"

/* SubjectPublicKeyInfo of RSA 8192, the largest that mbedTLS reads, is 1,062 bytes. */
enum { INFO_MOST = 2048 };

/* The signature algorithms that senders no longer accept (RFC 9155, Baseline Requirements 7.1.3). */
static const struct der_name weak_signatures[] = {
    {DER_OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"), "SHA-1"}, /* sha1WithRSAEncryption */
    {DER_OID("\x2b\x0e\x03\x02\x1d"), "SHA-1"},                 /* its old name */
    {DER_OID("\x2a\x86\x48\xce\x3d\x04\x01"), "SHA-1"},         /* ecdsa-with-SHA1 */
    {DER_OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04"), "MD5"},
    {DER_OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x03"), "MD4"},
    {DER_OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x02"), "MD2"},
};

void certificate_free(struct certificate *certificate)
{
    if (certificate != NULL)
        free(certificate->copy);
    free(certificate);
}

static struct span span_of_buf(mbedtls_x509_buf buf)
{
    return (struct span){(const char *)buf.p, buf.p == NULL ? 0 : buf.len};
}

static const char *weak_signature(struct span oid)
{
    return der_name(weak_signatures, sizeof(weak_signatures) / sizeof(weak_signatures[0]), oid);
}

/* Which part did mbedTLS refuse? Its codes are sums of a high part, of the module, and a low one, of what
 * it called. */
static enum certificate_fault judge_unparsed(struct span der, int code, struct certificate *found)
{
    struct der_certificate parts;
    if (!der_read_certificate(der, &parts))
        return CERTIFICATE_JUNK;
    found->weak_signature = weak_signature(parts.algorithm);
    public_key_judge(parts.info, &found->kind);
    if (!found->kind.accepted)
        return CERTIFICATE_KEY;
    int high = -(-code & 0xff80);
    if (high == MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG)
        return CERTIFICATE_SIGNATURE;
    return high == MBEDTLS_ERR_X509_INVALID_EXTENSIONS ||
                   high == MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE
               ? CERTIFICATE_EXTENSION
               : CERTIFICATE_JUNK;
}

/* status_request and status_request_v2 as features of TLS (RFC 7633 section 4, RFC 6066 section 8,
 * RFC 6961). The features are a SEQUENCE OF INTEGER. */
static bool demands_staple(struct span value)
{
    struct span features, feature;
    if (!der_take(&value, DER_SEQUENCE, &features, NULL))
        return false;
    while (der_take(&features, DER_INTEGER, &feature, NULL))
        if (feature.len == 1 && (feature.data[0] == 5 || feature.data[0] == 17))
            return true;
    return false;
}

/* RFC 8737 section 3: critical, and an OCTET STRING of 32 bytes. */
static bool is_challenge(int critical, struct span value)
{
    struct span digest;
    return critical != 0 && der_take(&value, DER_OCTET_STRING, &digest, NULL) && digest.len == 32 &&
           value.len == 0;
}

/* The library calls this for extensions that it does not know, and for policies. */
static int note_extension(void *context, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid,
                          int critical, const unsigned char *value, const unsigned char *end)
{
    static const char tls_feature[] = "\x2b\x06\x01\x05\x05\x07\x01\x18";
    static const char policies[] = "\x55\x1d\x20";
    static const char identifier[] = "\x2b\x06\x01\x05\x05\x07\x01\x1f"; /* acmeIdentifier */
    struct certificate_flags *flags = context;
    struct span name = span_of_buf(*oid), bytes = {(const char *)value, (size_t)(end - value)};
    (void)crt;
    if (span_equal(name, span_of(identifier)))
        flags->is_challenge = is_challenge(critical, bytes);
    if (span_equal(name, span_of(tls_feature)))
        flags->must_staple = demands_staple(bytes);
    else if (critical != 0 && !span_equal(name, span_of(policies)))
        flags->is_odd = true;
    return 0;
}

static int64_t instant(const mbedtls_x509_time *time)
{
    return calendar_instant(time->year, time->mon, time->day, time->hour, time->min, time->sec);
}

static bool is_dns_name(const mbedtls_x509_sequence *item)
{
    return item->buf.p != NULL &&
           (item->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_DNS_NAME;
}

/* The names in lower case, with their text at the place; returns what is behind it. */
static char *read_names(const mbedtls_x509_crt *crt, char *place, struct certificate *found)
{
    for (const mbedtls_x509_sequence *item = &crt->subject_alt_names; item; item = item->next) {
        struct name name;
        if (!is_dns_name(item) ||
            name_parse(span_of_buf(item->buf), NAME_PATTERN, &name) != NAME_OK)
            continue;
        assert(name.len <= item->buf.len);
        memcpy(place, name.text, name.len);
        found->names[found->name_count++] = (struct span){place, name.len};
        place += name.len;
    }
    return place;
}

static void read_facts(const mbedtls_x509_crt *crt, struct certificate *found)
{
    found->subject = span_of_buf(crt->subject_raw);
    found->issuer = span_of_buf(crt->issuer_raw);
    found->key_id = span_of_buf(crt->subject_key_id);
    found->issuer_key_id = span_of_buf(crt->authority_key_id.keyIdentifier);
    found->not_before = instant(&crt->valid_from);
    found->not_after = instant(&crt->valid_to);
    found->weak_signature = weak_signature(span_of_buf(crt->sig_oid));
    found->flags.is_self_issued =
        span_equal(found->subject, found->issuer) &&
        (found->key_id.data == NULL || found->issuer_key_id.data == NULL ||
         span_equal(found->key_id, found->issuer_key_id));
    found->flags.is_authority = mbedtls_x509_crt_get_ca_istrue(crt) == 1 ||
                                (crt->version < 3 && found->flags.is_self_issued);
    found->flags.may_serve =
        mbedtls_x509_crt_check_extended_key_usage(crt, MBEDTLS_OID_SERVER_AUTH,
                                                  MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) == 0;
    found->flags.may_sign =
        mbedtls_x509_crt_check_key_usage(crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) == 0;
}

/* The structure, its names, and what else is not in the DER, in one piece of memory. */
static struct certificate *make_facts(const mbedtls_x509_crt *crt, struct certificate_flags flags)
{
    unsigned char buffer[INFO_MOST];
    size_t count = 0, texts = 0;
    for (const mbedtls_x509_sequence *item = &crt->subject_alt_names; item; item = item->next) {
        count += is_dns_name(item);
        texts += is_dns_name(item) ? item->buf.len : 0;
    }
    /* A point may be compressed and RSA may lack its NULL; else the bytes are there already. */
    struct span raw = span_of_buf(crt->pk_raw);
    int len = mbedtls_pk_write_pubkey_der(&crt->pk, buffer, sizeof(buffer));
    struct span info = {(const char *)buffer + sizeof(buffer) - (len > 0 ? len : 0),
                        len > 0 ? (size_t)len : 0};
    if (len <= 0 || span_equal(raw, info))
        info.len = 0;

    struct certificate *found =
        heap_take(1, sizeof(*found) + count * sizeof(found->names[0]) + texts + info.len);
    found->flags = flags;
    found->flags.has_dns_names = count > 0;
    char *place = read_names(crt, (char *)&found->names[count], found);
    if (info.len > 0)
        memcpy(place, info.data, info.len);
    found->info = info.len > 0 ? (struct span){place, info.len} : raw;
    public_key_judge(found->info, &found->kind);
    read_facts(crt, found);
    bool is_odd = flags.is_odd && mbedtls_x509_crt_get_ca_istrue(crt) != 1;
    found->fault = is_odd ? CERTIFICATE_EXTENSION : CERTIFICATE_SOUND;
    return found;
}

/* The worker parses a leaf with the same call: what passes here passes there. */
static int parse(struct span bytes, mbedtls_x509_crt *crt, struct certificate_flags *ret_flags)
{
    int code = -1;
    for (int tries = 0; code != 0 && tries < 2; tries++) {
        if (tries > 0)
            memory_check(code);
        *ret_flags = (struct certificate_flags){0};
        code = mbedtls_x509_crt_parse_der_with_ext_cb(crt, (const unsigned char *)bytes.data,
                                                      bytes.len, 0, note_extension, ret_flags);
    }
    return code;
}

struct certificate *certificate_new(struct span der)
{
    struct certificate *certificate;
    struct certificate_flags flags;
    char *copy = heap_copy(der);
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    der.data = copy;
    int code = parse(der, &crt, &flags);
    if (code == 0) {
        certificate = make_facts(&crt, flags);
        certificate->der = der;
    } else {
        certificate = heap_take(1, sizeof(*certificate));
        certificate->fault = judge_unparsed(der, code, certificate);
    }
    certificate->copy = copy;
    mbedtls_x509_crt_free(&crt);
    return certificate;
}

/* It was parsed before; but the facts may be those of an archive that somebody has changed. */
static bool parse_again(const struct certificate *certificate, mbedtls_x509_crt *crt)
{
    struct certificate_flags flags; /* judged before */
    return parse(certificate->der, crt, &flags) == 0;
}

static bool verify(const struct certificate *child, const struct certificate *parent)
{
    /* Only the signature is asked for: date, name and strength are judged elsewhere. */
    uint32_t flags = MBEDTLS_X509_BADCERT_NOT_TRUSTED;
    mbedtls_x509_crt child_crt, parent_crt;
    mbedtls_x509_crt_init(&child_crt);
    mbedtls_x509_crt_init(&parent_crt);
    if (parse_again(child, &child_crt) && parse_again(parent, &parent_crt))
        (void)mbedtls_x509_crt_verify(&child_crt, &parent_crt, NULL, NULL, &flags, NULL, NULL);
    mbedtls_x509_crt_free(&parent_crt);
    mbedtls_x509_crt_free(&child_crt);
    return (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) == 0;
}

bool certificate_is_signed_by(const struct certificate *child, const struct certificate *parent)
{
    if (verify(child, parent))
        return true;
    memory_check(0);
    return verify(child, parent);
}

void certificate_issuer_text(const struct certificate *certificate,
                             char out[static CERTIFICATE_NAME_SIZE])
{
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    out[0] = '\0';
    if (parse_again(certificate, &crt) &&
        mbedtls_x509_dn_gets(out, CERTIFICATE_NAME_SIZE, &crt.issuer) < 0)
        out[CERTIFICATE_NAME_SIZE - 1] = '\0';
    if (out[0] == '\0')
        (void)snprintf(out, CERTIFICATE_NAME_SIZE, "with an unreadable name"); /* it fits */
    mbedtls_x509_crt_free(&crt);
}
