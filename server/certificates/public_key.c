#include "certificates/public_key.h"

#include <stdio.h>

#include "base/limits.h"
#include "certificates/der.h"

/* What an object identifier stands for; the curve follows the algorithm EC_PUBLIC_KEY. */
struct known {
    const char *oid; /* content bytes */
    size_t len;
    const char *text;
    bool accepted;
};

#define OID(bytes) bytes, sizeof(bytes) - 1

static const struct known curves[] = {
    {OID("\x2a\x86\x48\xce\x3d\x03\x01\x07"), "P-256", true},
    {OID("\x2b\x81\x04\x00\x22"), "P-384", true},
    {OID("\x2b\x81\x04\x00\x23"), "P-521", false},
    {OID("\x2b\x81\x04\x00\x0a"), "secp256k1", false},
    {OID("\x2b\x81\x04\x00\x21"), "P-224", false},
    {OID("\x2a\x86\x48\xce\x3d\x03\x01\x01"), "P-192", false},
    {OID("\x2b\x24\x03\x03\x02\x08\x01\x01\x07"), "brainpoolP256r1", false},
    {OID("\x2b\x24\x03\x03\x02\x08\x01\x01\x0b"), "brainpoolP384r1", false},
    {OID("\x2b\x24\x03\x03\x02\x08\x01\x01\x0d"), "brainpoolP512r1", false},
};

static const struct known algorithms[] = {
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"), "RSASSA-PSS", false},
    {OID("\x2b\x65\x70"), "Ed25519", false},
    {OID("\x2b\x65\x71"), "Ed448", false},
    {OID("\x2b\x65\x6e"), "X25519", false},
    {OID("\x2b\x65\x6f"), "X448", false},
    {OID("\x2a\x86\x48\xce\x38\x04\x01"), "DSA", false},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01"), "Diffie-Hellman", false},
    {OID("\x60\x86\x48\x01\x65\x03\x04\x03\x11"), "ML-DSA-44", false},
    {OID("\x60\x86\x48\x01\x65\x03\x04\x03\x12"), "ML-DSA-65", false},
    {OID("\x60\x86\x48\x01\x65\x03\x04\x03\x13"), "ML-DSA-87", false},
};

static const char RSA_ENCRYPTION[] = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
static const char EC_PUBLIC_KEY[] = "\x2a\x86\x48\xce\x3d\x02\x01";

static bool is_oid(struct span oid, const char *bytes, size_t len)
{
    return span_equal(oid, (struct span){bytes, len});
}

static const struct known *find(const struct known *table, size_t count, struct span oid)
{
    for (size_t i = 0; i < count; i++)
        if (is_oid(oid, table[i].oid, table[i].len))
            return &table[i];
    return NULL;
}

static void name_key(struct public_key *key, const char *prefix, const char *text, bool accepted)
{
    /* Every text of the tables fits. */
    (void)snprintf(key->text, sizeof(key->text), "%s%s", prefix, text);
    key->known = true;
    key->accepted = accepted;
    key->costly = false;
    key->kind = CREDENTIAL_ECDSA;
}

/* parameters is what follows the algorithm: a named curve, or one that is spelt out. */
static void judge_curve(struct span parameters, struct public_key *key)
{
    struct span oid;
    const struct known *curve = NULL;
    if (der_take(&parameters, DER_OBJECT_IDENTIFIER, &oid, NULL))
        curve = find(curves, sizeof(curves) / sizeof(curves[0]), oid);
    name_key(key, "ECDSA ", curve == NULL ? "with an unknown curve" : curve->text,
             curve != NULL && curve->accepted);
}

/* The count of bits of the modulus in an RSAPublicKey (RFC 8017 appendix A.1.1), or 0. */
static size_t rsa_bits(struct span bit_string)
{
    struct span sequence, modulus;
    if (bit_string.len == 0 || bit_string.data[0] != 0)
        return 0;
    struct span rest = span_skip(bit_string, 1);
    if (!der_take(&rest, DER_SEQUENCE, &sequence, NULL) ||
        !der_take(&sequence, DER_INTEGER, &modulus, NULL))
        return 0;
    while (modulus.len > 0 && modulus.data[0] == 0)
        modulus = span_skip(modulus, 1);
    size_t bits = modulus.len * 8;
    for (unsigned top = modulus.len == 0 ? 0x80 : (unsigned char)modulus.data[0]; top < 0x80;
         top <<= 1)
        bits--;
    return bits;
}

/* algorithm is the content of an AlgorithmIdentifier. True when it is RSA, which has more to judge. */
static bool judge_algorithm(struct span algorithm, struct public_key *key)
{
    struct span oid;
    const struct known *known = NULL;
    if (!der_take(&algorithm, DER_OBJECT_IDENTIFIER, &oid, NULL))
        return false;
    if (is_oid(oid, OID(RSA_ENCRYPTION))) {
        name_key(key, "RSA", "", false);
        return true;
    }
    if (is_oid(oid, OID(EC_PUBLIC_KEY))) {
        judge_curve(algorithm, key);
        return false;
    }
    known = find(algorithms, sizeof(algorithms) / sizeof(algorithms[0]), oid);
    if (known != NULL)
        name_key(key, "", known->text, known->accepted);
    return false;
}

void public_key_judge(struct span info, struct public_key *ret_key)
{
    struct span sequence, algorithm, bit_string;
    name_key(ret_key, "", "of an unknown kind", false);
    ret_key->known = false;
    if (!der_take(&info, DER_SEQUENCE, &sequence, NULL) ||
        !der_take(&sequence, DER_SEQUENCE, &algorithm, NULL) ||
        !der_take(&sequence, DER_BIT_STRING, &bit_string, NULL) ||
        !judge_algorithm(algorithm, ret_key))
        return;
    size_t bits = rsa_bits(bit_string);
    (void)snprintf(ret_key->text, sizeof(ret_key->text), "RSA %zu", bits); /* 24 bytes at most */
    ret_key->accepted = bits >= LIMIT_RSA_BITS;
    ret_key->costly = bits > LIMIT_RSA_BITS_MOST;
    ret_key->kind = CREDENTIAL_RSA;
}

void public_key_judge_private(struct span der, struct public_key *ret_key)
{
    struct span sequence, algorithm, parameters;
    name_key(ret_key, "", "of an unknown kind", false);
    ret_key->known = false;
    if (!der_take(&der, DER_SEQUENCE, &sequence, NULL) ||
        !der_take(&sequence, DER_INTEGER, NULL, NULL))
        return;
    if (der_take(&sequence, DER_SEQUENCE, &algorithm, NULL))
        (void)judge_algorithm(algorithm, ret_key); /* a size is not wanted here */
    else if (der_take(&sequence, DER_OCTET_STRING, NULL, NULL) &&
             der_take(&sequence, DER_CONTEXT_0, &parameters, NULL))
        judge_curve(parameters, ret_key);
    else if (der_peek(sequence) == DER_INTEGER)
        name_key(ret_key, "RSA", "", false);
}

const char *public_key_reason(const struct public_key *key)
{
    if (key->costly)
        return "a handshake with RSA above 4096 bits takes so much CPU that a few hundred clients "
               "a second stop the server for all others";
    return "senders verify P-256, P-384 and RSA of 2048 bits or more; other keys are refused by "
           "some or by all";
}

const char *public_key_hint(void)
{
    return "make a key of type P-256 (openssl ecparam -name prime256v1 -genkey -noout -out KEY) "
           "and have a new certificate issued for it";
}
