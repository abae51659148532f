#include "certificates/challenge_certificate.h"

#include <mbedtls/x509_crt.h>
#include <string.h>

#include "base/limits.h"
#include "certificates/memory.h"

/* SubjectPublicKeyInfo of RSA 8192, the largest that mbedTLS reads, is 1,062 bytes. */
enum { INFO_MOST = 2048 };

/* id-pe-acmeIdentifier, 1.3.6.1.5.5.7.1.31, and the DER before its 32 bytes (RFC 8737 section 3). */
static const char identifier[] = "\x2b\x06\x01\x05\x05\x07\x01\x1f";
static const char digest_header[] = "\x04\x20";
enum { DIGEST = 32 };

/* The library calls this for an extension that it does not know. */
static int note_extension(void *context, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid,
                          int critical, const unsigned char *value, const unsigned char *end)
{
    bool *is_challenge = context;
    size_t len = (size_t)(end - value), header = sizeof(digest_header) - 1;
    (void)crt;
    if (oid->len == sizeof(identifier) - 1 && memcmp(oid->p, identifier, oid->len) == 0)
        *is_challenge =
            critical != 0 && len == header + DIGEST && memcmp(value, digest_header, header) == 0;
    return 0;
}

static const char *judge_parsed(const mbedtls_x509_crt *crt, struct arena *arena,
                                struct span *ret_host, struct span *ret_info)
{
    const mbedtls_x509_sequence *names = &crt->subject_alt_names;
    unsigned char info[INFO_MOST];
    const unsigned char dns_name = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2;

    if (names->buf.p == NULL || names->next != NULL || names->buf.tag != dns_name ||
        names->buf.len > LIMIT_NAME)
        return "does not name exactly one host";
    /* mbedTLS writes DER at the end of the buffer. */
    int len = mbedtls_pk_write_pubkey_der(&crt->pk, info, sizeof(info));
    if (len <= 0)
        return "has a key of a kind that this server does not take";
    const char *copy =
        arena_copy(arena, (struct span){(const char *)info + sizeof(info) - len, (size_t)len});
    *ret_host = (struct span){(const char *)names->buf.p, names->buf.len};
    *ret_info = (struct span){copy, (size_t)len};
    return NULL;
}

static int parse(struct span der, mbedtls_x509_crt *crt, bool *is_challenge)
{
    *is_challenge = false;
    return mbedtls_x509_crt_parse_der_with_ext_cb(crt, (const unsigned char *)der.data, der.len, 0,
                                                  note_extension, is_challenge);
}

const char *certificate_challenge_judge(struct span der, struct arena *arena, struct span *ret_host,
                                        struct span *ret_info)
{
    mbedtls_x509_crt crt;
    bool is_challenge = false;
    const char *why = "cannot be read";

    *ret_host = *ret_info = (struct span){0};
    mbedtls_x509_crt_init(&crt);
    int code = parse(der, &crt, &is_challenge);
    if (code != 0) {
        memory_check(code);
        code = parse(der, &crt, &is_challenge);
    }
    if (code == 0)
        why = is_challenge ? judge_parsed(&crt, arena, ret_host, ret_info)
                           : "is not one for tls-alpn-01 (RFC 8737)";
    mbedtls_x509_crt_free(&crt);
    return why;
}
