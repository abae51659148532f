#include "certificates/key.h"

#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/limits.h"
#include "certificates/der.h"
#include "certificates/memory.h"

/* Curves, of which every sender verifies the first two, and not all the others; and algorithms, of which none is
 * taken. A curve follows the algorithm EC_PUBLIC_KEY. */
static const struct der_name curves[] = {
    {DER_OID("\x2a\x86\x48\xce\x3d\x03\x01\x07"), "P-256"},
    {DER_OID("\x2b\x81\x04\x00\x22"), "P-384"},
    {DER_OID("\x2b\x81\x04\x00\x23"), "P-521"},
    {DER_OID("\x2b\x81\x04\x00\x0a"), "secp256k1"},
    {DER_OID("\x2b\x81\x04\x00\x21"), "P-224"},
    {DER_OID("\x2a\x86\x48\xce\x3d\x03\x01\x01"), "P-192"},
    {DER_OID("\x2b\x24\x03\x03\x02\x08\x01\x01\x07"), "brainpoolP256r1"},
    {DER_OID("\x2b\x24\x03\x03\x02\x08\x01\x01\x0b"), "brainpoolP384r1"},
    {DER_OID("\x2b\x24\x03\x03\x02\x08\x01\x01\x0d"), "brainpoolP512r1"},
};

static const struct der_name algorithms[] = {
    {DER_OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"), "RSASSA-PSS"},
    {DER_OID("\x2b\x65\x70"), "Ed25519"},
    {DER_OID("\x2b\x65\x71"), "Ed448"},
    {DER_OID("\x2b\x65\x6e"), "X25519"},
    {DER_OID("\x2b\x65\x6f"), "X448"},
    {DER_OID("\x2a\x86\x48\xce\x38\x04\x01"), "DSA"},
    {DER_OID("\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01"), "Diffie-Hellman"},
    {DER_OID("\x60\x86\x48\x01\x65\x03\x04\x03\x11"), "ML-DSA-44"},
    {DER_OID("\x60\x86\x48\x01\x65\x03\x04\x03\x12"), "ML-DSA-65"},
    {DER_OID("\x60\x86\x48\x01\x65\x03\x04\x03\x13"), "ML-DSA-87"},
};

static const struct span RSA_ENCRYPTION = DER_OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
static const struct span EC_PUBLIC_KEY = DER_OID("\x2a\x86\x48\xce\x3d\x02\x01");

#define NAME_OF(names, oid) der_name(names, sizeof(names) / sizeof((names)[0]), oid)

static void name_key(struct public_key *key, const char *prefix, const char *text)
{
    *key = (struct public_key){.known = true, .kind = CREDENTIAL_ECDSA};
    /* Every text of the tables fits. */
    (void)snprintf(key->text, sizeof(key->text), "%s%s", prefix, text);
}

/* parameters is what follows the algorithm: a named curve, or one that is spelt out. */
static void judge_curve(struct span parameters, struct public_key *key)
{
    struct span oid = {0};
    (void)der_take(&parameters, DER_OBJECT_IDENTIFIER, &oid, NULL); /* else it is no known one */
    const char *text = NAME_OF(curves, oid);
    name_key(key, "ECDSA ", text != NULL ? text : "with an unknown curve");
    key->accepted = text == curves[0].text || text == curves[1].text;
}

static struct span without_zeros(struct span integer)
{
    while (integer.len > 0 && integer.data[0] == 0)
        integer = span_skip(integer, 1);
    return integer;
}

/* Judges the bit string of an RSAPublicKey (RFC 8017 appendix A.1.1). */
static void judge_rsa(struct span rest, struct public_key *key)
{
    struct span sequence, modulus = {0}, exponent = {0};
    size_t bits = 0;
    if (rest.len > 0 && rest.data[0] == 0) {
        rest = span_skip(rest, 1);
        if (der_take(&rest, DER_SEQUENCE, &sequence, NULL) &&
            der_take(&sequence, DER_INTEGER, &modulus, NULL))
            (void)der_take(&sequence, DER_INTEGER, &exponent,
                           NULL); /* else the library refuses it */
    }
    modulus = without_zeros(modulus);
    if (modulus.len > 0)
        bits = modulus.len * 8 - (size_t)(__builtin_clz((unsigned char)modulus.data[0]) - 24);
    (void)snprintf(key->text, sizeof(key->text), "RSA %zu", bits); /* 24 bytes at most */
    key->accepted = bits >= LIMIT_RSA_BITS;
    key->costly = bits > LIMIT_RSA_BITS_MOST;
    key->has_large_exponent = without_zeros(exponent).len > 4;
    key->kind = CREDENTIAL_RSA;
}

/* algorithm is the content of an AlgorithmIdentifier. True when it is RSA, which has more to judge. */
static bool judge_algorithm(struct span algorithm, struct public_key *key)
{
    struct span oid;
    if (!der_take(&algorithm, DER_OBJECT_IDENTIFIER, &oid, NULL))
        return false;
    const char *text = NAME_OF(algorithms, oid);
    bool is_rsa = span_equal(oid, RSA_ENCRYPTION);
    if (is_rsa)
        name_key(key, "RSA", "");
    else if (span_equal(oid, EC_PUBLIC_KEY))
        judge_curve(algorithm, key);
    else if (text != NULL)
        name_key(key, "", text);
    return is_rsa;
}

void public_key_judge(struct span info, struct public_key *ret_key)
{
    struct span sequence, algorithm, bit_string;
    name_key(ret_key, "", "of an unknown kind");
    ret_key->known = false;
    if (der_take(&info, DER_SEQUENCE, &sequence, NULL) &&
        der_take(&sequence, DER_SEQUENCE, &algorithm, NULL) &&
        der_take(&sequence, DER_BIT_STRING, &bit_string, NULL) &&
        judge_algorithm(algorithm, ret_key))
        judge_rsa(bit_string, ret_key);
}

void public_key_judge_private(struct span der, struct public_key *ret_key)
{
    struct span sequence, algorithm, parameters;
    name_key(ret_key, "", "of an unknown kind");
    ret_key->known = false;
    if (!der_take(&der, DER_SEQUENCE, &sequence, NULL) ||
        !der_take(&sequence, DER_INTEGER, NULL, NULL))
        return;
    if (der_take(&sequence, DER_SEQUENCE, &algorithm, NULL))
        (void)judge_algorithm(algorithm, ret_key); /* a size is not wanted here */
    else if (der_take(&sequence, DER_OCTET_STRING, NULL, NULL) &&
             der_take(&sequence, DER_PARAMETERS, &parameters, NULL))
        judge_curve(parameters, ret_key);
    else if (der_peek(sequence) == DER_INTEGER)
        name_key(ret_key, "RSA", "");
}

bool public_key_is_costly(struct span certificate)
{
    struct der_certificate parts;
    struct public_key key;
    (void)der_read_certificate(certificate, &parts); /* what is none has no key */
    public_key_judge(parts.info, &key);
    return key.has_large_exponent;
}

void public_key_explain(const struct public_key *key, struct diag *diag)
{
    if (key->costly)
        diag_reason(diag,
                    "a handshake with RSA above 4096 bits takes so much CPU that a few hundred "
                    "clients a second stop the server for all others");
    else
        diag_reason(diag,
                    "senders verify P-256, P-384 and RSA of 2048 bits or more; other keys are "
                    "refused by some or by all");
    diag_hint(diag,
              "make a key of type P-256 (openssl ecparam -name prime256v1 -genkey -noout -out "
              "KEY) and have a new certificate issued for it");
}

/* A key's DER grows by at most its public part and its headers: the largest is that of P-521. */
static const size_t GROWTH = 256;
/* SubjectPublicKeyInfo of RSA 8192, the largest that mbedTLS reads, is 1,062 bytes. */
enum { INFO_MOST = 2048 };

void private_key_wipe(void *bytes, size_t len)
{
    if (len > 0)
        mbedtls_platform_zeroize(bytes, len);
}

void private_key_free(struct private_key *key)
{
    if (key == NULL)
        return;
    private_key_wipe(key->bytes, key->der.len);
    free(key);
}

/* Randomness for mbedTLS straight from the kernel: a generator of our own would be state that
 * forked workers share. It blinds the derivation of a public key that the file leaves out. */
static int kernel_random(void *context, unsigned char *output, size_t len)
{
    (void)context;
    const size_t most = 256; /* of getentropy(3) */
    for (; len > most; output += most, len -= most)
        if (getentropy(output, most) != 0)
            return MBEDTLS_ERR_PK_BAD_INPUT_DATA;
    return getentropy(output, len) == 0 ? 0 : MBEDTLS_ERR_PK_BAD_INPUT_DATA;
}

/* mbedTLS writes DER at the end of a buffer. */
static struct span written(const unsigned char *buffer, size_t size, int len)
{
    size_t count = len <= 0 ? 0 : (size_t)len;
    return (struct span){(const char *)buffer + size - count, count};
}

/* The two forms of the key, normalised; size is enough for the DER of the private one. NULL as above. */
static struct private_key *make_key(const mbedtls_pk_context *pk, size_t size,
                                    struct public_key *ret_kind)
{
    struct private_key *key = NULL;
    unsigned char public[INFO_MOST];
    struct span info =
        written(public, sizeof(public), mbedtls_pk_write_pubkey_der(pk, public, sizeof(public)));
    public_key_judge(info, ret_kind);
    if (!public_key_is_served(ret_kind))
        return NULL;
    unsigned char *private = heap_take(1, size);
    struct span der = written(private, size, mbedtls_pk_write_key_der(pk, private, size));
    if (der.len > 0) {
        key = heap_take(1, sizeof(*key) + der.len + info.len);
        key->der = (struct span){memcpy(key->bytes, der.data, der.len), der.len};
        key->info = (struct span){memcpy(key->bytes + der.len, info.data, info.len), info.len};
    }
    ret_kind->known = der.len > 0;
    private_key_wipe(private, size);
    free(private);
    return key;
}

struct private_key *private_key_new(struct span der, struct public_key *ret_kind)
{
    struct private_key *key = NULL;
    int code = 0;
    ret_kind->known = false;
    for (int tries = 0; key == NULL && !ret_kind->known && tries < 2; tries++) {
        mbedtls_pk_context pk;
        if (tries > 0)
            memory_check(code);
        mbedtls_pk_init(&pk);
        code = mbedtls_pk_parse_key(&pk, (const unsigned char *)der.data, der.len, NULL, 0,
                                    kernel_random, NULL);
        if (code == 0) {
            key = make_key(&pk, der.len + GROWTH, ret_kind);
        } else {
            public_key_judge_private(der, ret_kind);
            ret_kind->known = ret_kind->known && !ret_kind->accepted && /* else it is damaged */
                              !span_equal(span_of(ret_kind->text), span_of("RSA"));
        }
        mbedtls_pk_free(&pk);
    }
    return key;
}
