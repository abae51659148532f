/*
 * Any bytes as the DER of a certificate, a private key or a public key. The first byte
 * of the input chooses: one of the material, in which the rest changes bytes
 * (three bytes each: two for where, one for what), or the rest itself. What is
 * found sound is what a worker will parse, with the call that it will use.
 */
#include <assert.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>

#include "body.h"
#include "certificates/certificate.h"
#include "certificates/der.h"
#include "certificates/key.h"
#include "chance.h"
#include "fuzz.h"
#include "material.h"

/* The bytes to read, in memory of exactly their size. */
static struct span choose(const uint8_t *data, size_t size)
{
    struct span base = {(const char *)data + 1, size - 1};
    bool is_changed = data[0] < MATERIALS;
    if (is_changed)
        base = material_get((enum material)data[0]);
    char *copy = malloc(base.len);
    assert(base.len == 0 || copy != NULL);
    if (base.len > 0)
        memcpy(copy, base.data, base.len);
    for (size_t i = 1; is_changed && i + 2 < size; i += 3)
        copy[((size_t)data[i] << 8 | data[i + 1]) % base.len] ^= (char)data[i + 2];
    return (struct span){copy, base.len};
}

static bool is_inside(struct span part, struct span whole)
{
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             (size_t)(part.data - whole.data) <= whole.len - part.len);
}

static void check_kind(const struct public_key *kind)
{
    assert(memchr(kind->text, '\0', sizeof(kind->text)) != NULL && kind->text[0] != '\0');
    assert(kind->known || !kind->accepted);
    body_check_words(span_of(kind->text));
}

static void check_sound(const struct certificate *certificate)
{
    char issuer[CERTIFICATE_NAME_SIZE];
    struct span der = certificate->der;
    const struct span parts[] = {certificate->subject, certificate->issuer, certificate->key_id,
                                 certificate->issuer_key_id};
    mbedtls_x509_crt crt;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        assert(is_inside(parts[i], der));
    assert(certificate->subject.len > 0 && certificate->issuer.len > 0);
    for (size_t i = 0; i < certificate->name_count; i++)
        assert(body_is_name(certificate->names[i], true));
    assert(certificate->name_count == 0 || certificate->flags.has_dns_names);
    certificate_issuer_text(certificate, issuer);
    body_check_words(span_of(issuer));
    (void)certificate_is_signed_by(certificate, certificate); /* either is well */
    mbedtls_x509_crt_init(&crt);
    assert(mbedtls_x509_crt_parse_der_nocopy(&crt, (const unsigned char *)der.data, der.len) == 0);
    mbedtls_x509_crt_free(&crt);
}

/* What is read beside the library: it stays inside, and an end is reached. */
static void check_extensions(struct span bytes)
{
    static const struct span names[] = {{"mta-sts.example.com", 19}, {"", 0}};
    struct der_verdict verdict;
    struct span name = {NULL, 0};
    const char *before = NULL;
    while (der_next_name(bytes, &name)) {
        assert(is_inside(name, bytes) && (before == NULL || name.data > before));
        before = name.data;
    }
    der_judge_authority(bytes, names, 2, &verdict);
    (void)public_key_is_costly(bytes);
}

static void check_certificate(struct span bytes)
{
    struct certificate *certificate = certificate_new(bytes);
    assert(certificate != NULL);
    if (certificate->fault == CERTIFICATE_SOUND)
        check_sound(certificate);
    else
        assert(certificate->der.len == 0 || certificate->fault == CERTIFICATE_EXTENSION);
    if (certificate->fault == CERTIFICATE_SOUND || certificate->fault == CERTIFICATE_KEY)
        check_kind(&certificate->kind);
    certificate_free(certificate);
}

/* The key that the loader keeps makes the same public key again. */
static void check_kept(const struct private_key *key)
{
    unsigned char info[2048];
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    assert(mbedtls_pk_parse_key(&pk, (const unsigned char *)key->der.data, key->der.len, NULL, 0,
                                chance_random, NULL) == 0);
    int len = mbedtls_pk_write_pubkey_der(&pk, info, sizeof(info));
    assert(len > 0 && (size_t)len == key->info.len);
    assert(memcmp(info + sizeof(info) - len, key->info.data, key->info.len) == 0);
    mbedtls_pk_free(&pk);
}

static void check_private_key(struct span der)
{
    struct public_key kind;
    struct private_key *key = private_key_new(der, &kind);
    assert(key == NULL || (kind.known && kind.accepted));
    if (key != NULL)
        check_kept(key);
    if (kind.known)
        check_kind(&kind);
    private_key_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct public_key kind = {0};
    if (size == 0)
        return 0;
    struct span der = choose(data, size);
    chance_begin();
    check_certificate(der);
    check_extensions(der);
    check_private_key(der);
    public_key_judge(der, &kind);
    check_kind(&kind);
    public_key_judge_private(der, &kind);
    check_kind(&kind);
    chance_end();
    free((char *)(uintptr_t)der.data);
    return 0;
}
