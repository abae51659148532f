#include "material.h"

#include <assert.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/base64.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha256.h>

#include "chance.h"

/* Of the second Oakley group (RFC 2409 section 6.2) and of the smallest group for SRP
 * (RFC 5054 appendix A). */
static const char P[] = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B"
                        "139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485"
                        "B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1F"
                        "E649286651ECE65381FFFFFFFFFFFFFFFF";
static const char Q[] = "EEAF0AB9ADB38DD69C33F80AFA8FC5E86072618775FF3C0B9EA2314C9C256576D674DF7496"
                        "EA81D3383B4813D692C6E0E0D5D8E250B98BE48E495C1D6089DAD15DC7D7B46154D6B6CE8E"
                        "F4AD69B15D4982559B297BCF1885C529F566660E57EC68EDBC3C05726CC02FD4CBF4976EAA"
                        "9AFD5138FE8376435B9FC61D2FC0EB06E3";

/* DER is written from its end to its beginning, as mbedTLS does. */
struct writer {
    unsigned char bytes[4096];
    unsigned char *begin;
};

static struct writer *rewind_writer(struct writer *writer)
{
    writer->begin = writer->bytes + sizeof(writer->bytes);
    return writer;
}

static size_t written(const struct writer *writer)
{
    return (size_t)(writer->bytes + sizeof(writer->bytes) - writer->begin);
}

static void put_raw(struct writer *writer, const void *bytes, size_t len)
{
    assert(mbedtls_asn1_write_raw_buffer(&writer->begin, writer->bytes, bytes, len) == (int)len);
}

/* Puts tag and length in front of what was written since there were so many bytes. */
static void wrap(struct writer *writer, unsigned char tag, size_t since)
{
    assert(mbedtls_asn1_write_len(&writer->begin, writer->bytes, written(writer) - since) > 0);
    assert(mbedtls_asn1_write_tag(&writer->begin, writer->bytes, tag) > 0);
}

static void put(struct writer *writer, unsigned char tag, const char *bytes, size_t len)
{
    size_t since = written(writer);
    put_raw(writer, bytes, len);
    wrap(writer, tag, since);
}

enum {
    BOOLEAN = 0x01,
    INTEGER = 0x02,
    BIT_STRING = 0x03,
    OCTET_STRING = 0x04,
    OBJECT = 0x06,
    UTF8 = 0x0c,
    UTC_TIME = 0x17,
    SEQUENCE = 0x30,
    SET = 0x31,
    DNS_NAME = 0x82,
    EXPLICIT_0 = 0xa0,
    EXPLICIT_3 = 0xa3,
};

#define OBJECT_OF(oid) OBJECT, oid, sizeof(oid) - 1

static void put_name(struct writer *writer, const char *common_name)
{
    size_t since = written(writer);
    put(writer, UTF8, common_name, strlen(common_name));
    put(writer, OBJECT_OF(MBEDTLS_OID_AT_CN));
    wrap(writer, SEQUENCE, since);
    wrap(writer, SET, since);
    wrap(writer, SEQUENCE, since);
}

/* The content of the extension is what was written since. */
static void wrap_extension(struct writer *writer, const char *oid, size_t oid_len, size_t since)
{
    wrap(writer, SEQUENCE, since);
    wrap(writer, OCTET_STRING, since);
    put(writer, OBJECT, oid, oid_len);
    wrap(writer, SEQUENCE, since);
}

static void put_extensions(struct writer *writer, bool is_authority)
{
    size_t begin = written(writer);
    if (is_authority) {
        put(writer, BOOLEAN, "\xff", 1);
        wrap_extension(writer, MBEDTLS_OID_BASIC_CONSTRAINTS,
                       sizeof(MBEDTLS_OID_BASIC_CONSTRAINTS) - 1, begin);
    } else {
        put(writer, DNS_NAME, "*.example.net", 13);
        put(writer, DNS_NAME, "mta-sts.example.com", 19);
        wrap_extension(writer, MBEDTLS_OID_SUBJECT_ALT_NAME,
                       sizeof(MBEDTLS_OID_SUBJECT_ALT_NAME) - 1, begin);
    }
    wrap(writer, SEQUENCE, begin);
    wrap(writer, EXPLICIT_3, begin);
}

static void put_algorithm(struct writer *writer)
{
    size_t since = written(writer);
    put(writer, OBJECT_OF(MBEDTLS_OID_ECDSA_SHA256));
    wrap(writer, SEQUENCE, since);
}

struct certificate_plan {
    const char *subject, *issuer, *end; /* end: UTCTime */
    mbedtls_pk_context *key, *signer;
    char serial;
    bool is_authority;
};

static void put_to_be_signed(struct writer *writer, const struct certificate_plan *plan)
{
    unsigned char info[1024];
    put_extensions(writer, plan->is_authority);
    int len = mbedtls_pk_write_pubkey_der(plan->key, info, sizeof(info));
    assert(len > 0);
    put_raw(writer, info + sizeof(info) - len, (size_t)len);
    put_name(writer, plan->subject);
    size_t since = written(writer);
    put(writer, UTC_TIME, plan->end, 13);
    put(writer, UTC_TIME, "200101000000Z", 13);
    wrap(writer, SEQUENCE, since);
    put_name(writer, plan->issuer);
    put_algorithm(writer);
    put(writer, INTEGER, &plan->serial, 1);
    since = written(writer);
    put(writer, INTEGER, "\x02", 1); /* version 3 */
    wrap(writer, EXPLICIT_0, since);
    wrap(writer, SEQUENCE, 0);
}

static void put_certificate(struct writer *ret_writer, const struct certificate_plan *plan)
{
    struct writer signed_part;
    unsigned char hash[32], signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t len = 0;
    put_to_be_signed(rewind_writer(&signed_part), plan);
    assert(mbedtls_sha256(signed_part.begin, written(&signed_part), hash, 0) == 0);
    assert(mbedtls_pk_sign(plan->signer, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature,
                           sizeof(signature), &len, chance_random, NULL) == 0);
    put_raw(ret_writer, signature, len);
    put_raw(ret_writer, "", 1); /* no unused bits */
    wrap(ret_writer, BIT_STRING, 0);
    put_algorithm(ret_writer);
    put_raw(ret_writer, signed_part.begin, written(&signed_part));
    wrap(ret_writer, SEQUENCE, 0);
}

static void put_key(struct writer *writer, const mbedtls_pk_context *key)
{
    unsigned char der[2048];
    int len = mbedtls_pk_write_key_der(key, der, sizeof(der));
    assert(len > 0);
    put_raw(writer, der + sizeof(der) - len, (size_t)len);
}

/* RFC 5208: the other forms inside of one. */
static void put_pkcs8(struct writer *writer, const mbedtls_pk_context *key)
{
    put_key(writer, key);
    wrap(writer, OCTET_STRING, 0);
    size_t since = written(writer);
    if (mbedtls_pk_get_type(key) == MBEDTLS_PK_RSA) {
        put(writer, 0x05, "", 0); /* NULL */
        put(writer, OBJECT_OF(MBEDTLS_OID_PKCS1_RSA));
    } else {
        put(writer, OBJECT_OF(MBEDTLS_OID_EC_GRP_SECP256R1));
        put(writer, OBJECT_OF(MBEDTLS_OID_EC_ALG_UNRESTRICTED));
    }
    wrap(writer, SEQUENCE, since);
    put(writer, INTEGER, "", 1); /* version 0 */
    wrap(writer, SEQUENCE, 0);
}

struct keys {
    mbedtls_pk_context ec, p384, rsa, intermediate, root;
};

static void make_ec_key(mbedtls_pk_context *key, mbedtls_ecp_group_id curve)
{
    mbedtls_pk_init(key);
    assert(mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0);
    assert(mbedtls_ecp_gen_key(curve, mbedtls_pk_ec(*key), chance_random, NULL) == 0);
}

static void make_rsa_key(mbedtls_pk_context *key)
{
    mbedtls_mpi p, q, e;
    mbedtls_mpi_init(&p);
    mbedtls_mpi_init(&q);
    mbedtls_mpi_init(&e);
    mbedtls_pk_init(key);
    assert(mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA)) == 0);
    assert(mbedtls_mpi_read_string(&p, 16, P) == 0 && mbedtls_mpi_read_string(&q, 16, Q) == 0 &&
           mbedtls_mpi_lset(&e, 65537) == 0);
    assert(mbedtls_rsa_import(mbedtls_pk_rsa(*key), NULL, &p, &q, NULL, &e) == 0);
    assert(mbedtls_rsa_complete(mbedtls_pk_rsa(*key)) == 0);
    mbedtls_mpi_free(&p);
    mbedtls_mpi_free(&q);
    mbedtls_mpi_free(&e);
}

/* The DER of each, once it is made. */
static struct {
    struct writer items[MATERIALS];
    bool made;
} material;

static void make_certificates(struct keys *keys)
{
    const struct certificate_plan plans[] = {
        {"leaf", "intermediate", "491231235959Z", &keys->ec, &keys->intermediate, 1, false},
        {"leaf", "intermediate", "300101000000Z", &keys->ec, &keys->intermediate, 2, false},
        {"leaf", "intermediate", "491231235959Z", &keys->p384, &keys->intermediate, 3, false},
        {"leaf", "intermediate", "491231235959Z", &keys->rsa, &keys->intermediate, 4, false},
        {"self", "self", "491231235959Z", &keys->ec, &keys->ec, 5, false},
        {"intermediate", "root", "491231235959Z", &keys->intermediate, &keys->root, 6, true},
        {"root", "root", "491231235959Z", &keys->root, &keys->root, 7, true},
    };
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
        put_certificate(&material.items[MATERIAL_LEAF + i], &plans[i]);
}

static void make(void)
{
    struct keys keys;
    for (size_t i = 0; i < MATERIALS; i++)
        (void)rewind_writer(&material.items[i]);
    chance_begin();
    make_ec_key(&keys.ec, MBEDTLS_ECP_DP_SECP256R1);
    make_ec_key(&keys.p384, MBEDTLS_ECP_DP_SECP384R1);
    make_ec_key(&keys.intermediate, MBEDTLS_ECP_DP_SECP256R1);
    make_ec_key(&keys.root, MBEDTLS_ECP_DP_SECP256R1);
    make_rsa_key(&keys.rsa);
    put_key(&material.items[MATERIAL_EC_KEY], &keys.ec);
    put_pkcs8(&material.items[MATERIAL_EC_KEY_PKCS8], &keys.ec);
    put_key(&material.items[MATERIAL_P384_KEY], &keys.p384);
    put_key(&material.items[MATERIAL_RSA_KEY], &keys.rsa);
    put_pkcs8(&material.items[MATERIAL_RSA_KEY_PKCS8], &keys.rsa);
    make_certificates(&keys);
    chance_end();
    mbedtls_pk_free(&keys.ec);
    mbedtls_pk_free(&keys.p384);
    mbedtls_pk_free(&keys.rsa);
    mbedtls_pk_free(&keys.intermediate);
    mbedtls_pk_free(&keys.root);
    material.made = true;
}

struct span material_get(enum material which)
{
    if (!material.made)
        make();
    const struct writer *writer = &material.items[which];
    return (struct span){(const char *)writer->begin, written(writer)};
}

void material_print(enum material which, struct text *out)
{
    const char *label = material_is_key(which) ? "PRIVATE KEY" : "CERTIFICATE";
    struct span der = material_get(which);
    unsigned char base64[4096];
    size_t len = 0;
    assert(mbedtls_base64_encode(base64, sizeof(base64), &len, (const unsigned char *)der.data,
                                 der.len) == 0);
    text_printf(out, "-----BEGIN %s-----\n%s\n-----END %s-----\n", label, (const char *)base64,
                label);
}
