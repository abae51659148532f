#include "serve/tls_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <mbedtls/asn1.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include "base/tls_offer.h"

/* A chain and its key as objects of the library; the chain borrows the DER of the site. The key, which a
 * worker has as a number only while it needs it, goes with the last session: the library keeps pointers to
 * them until the end of the handshake, and in TLS 1.3 to that of the session (end_handshake). */
struct certificate {
    const struct credential *credential; /* borrowed; NULL for a challenge */
    size_t sessions;                     /* which hold it */
    bool is_kept;                        /* without a session too: it is among the last ones */
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
};

/* Of tls_suites, in its order. */
static const char *const suite_names[] = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
};
_Static_assert(sizeof(suite_names) / sizeof(suite_names[0]) + 1 ==
                   sizeof(tls_suites) / sizeof(tls_suites[0]),
               "a name for each suite");

/* The first that the client has too is taken, so that only who offers nothing else gets the last. */
static const char *protocols[] = {"http/1.1", "http/1.0", NULL};
static const char *challenge_protocols[] = {"http/1.1", "http/1.0", "acme-tls/1", NULL};

/* Frees what nothing holds any more: the key, or all. */
static void certificate_tidy(struct certificate *certificate)
{
    if (certificate->sessions > 0)
        return;
    mbedtls_pk_free(&certificate->key);
    if (certificate->is_kept)
        return;
    mbedtls_x509_crt_free(&certificate->chain);
    free(certificate);
}

/* A session gives it up. */
static void certificate_release(struct certificate *certificate)
{
    if (certificate == NULL)
        return;
    certificate->sessions--;
    certificate_tidy(certificate);
}

/* It is among the last ones no more. */
static void certificate_forget(struct certificate *certificate)
{
    if (certificate == NULL)
        return;
    certificate->is_kept = false;
    certificate_tidy(certificate);
}

/* Who sends a certificate need not know its extensions: the loader has judged it, or it is a
 * challenge. */
static int accept_extension(void *context, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid,
                            int critical, const unsigned char *value, const unsigned char *end)
{
    (void)context, (void)crt, (void)oid, (void)critical, (void)value, (void)end;
    return 0;
}

/* Adds a certificate that is sent as it is. The library reads no more of an intermediate than its
 * bytes, so what it cannot parse can be sent, and nothing is parsed for nothing. False when memory
 * is short. */
static bool append_bytes(mbedtls_x509_crt *chain, struct span der)
{
    mbedtls_x509_crt *item = mbedtls_calloc(1, sizeof(*item));
    if (item == NULL)
        return false;
    mbedtls_x509_crt_init(item);
    item->raw.p = (unsigned char *)(uintptr_t)der.data; /* which the library only reads */
    item->raw.len = der.len;
    while (chain->next != NULL)
        chain = chain->next;
    chain->next = item;
    return true;
}

/* Reads the key of the chain's first certificate, unless another session has it already. Of a key on a
 * curve (RFC 5915 section 3) only the number: a signature needs no more, and to read and check the point is
 * most of what the library would do. */
static bool read_key(struct certificate *certificate, struct span der)
{
    unsigned char *at = (unsigned char *)(uintptr_t)der.data, *end = at + der.len;
    const mbedtls_pk_context *public = &certificate->chain.pk;
    mbedtls_pk_context *key = &certificate->key;
    size_t len;
    int version;

    if (mbedtls_pk_get_type(key) != MBEDTLS_PK_NONE)
        return true;
    if (mbedtls_pk_get_type(public) != MBEDTLS_PK_ECKEY)
        return mbedtls_pk_parse_key(key, at, der.len, NULL, 0, mbedtls_psa_get_random,
                                    MBEDTLS_PSA_RANDOM_STATE) == 0;
    return mbedtls_asn1_get_tag(&at, end, &len, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) ==
               0 &&
           mbedtls_asn1_get_int(&at, end, &version) == 0 &&
           mbedtls_asn1_get_tag(&at, end, &len, MBEDTLS_ASN1_OCTET_STRING) == 0 &&
           mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
           mbedtls_ecp_read_key(mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(*public)),
                                mbedtls_pk_ec(*key), at, len) == 0;
}

/* The first certificate alone. NULL when memory is short or it is none, which only a challenge's can be. */
static struct certificate *certificate_new(const struct credential *credential, struct span leaf,
                                           bool is_copied)
{
    struct certificate *certificate = calloc(1, sizeof(*certificate));

    if (certificate == NULL)
        return NULL;
    certificate->credential = credential;
    mbedtls_x509_crt_init(&certificate->chain);
    mbedtls_pk_init(&certificate->key);
    if (mbedtls_x509_crt_parse_der_with_ext_cb(&certificate->chain,
                                               (const unsigned char *)leaf.data, leaf.len,
                                               is_copied, accept_extension, NULL) == 0)
        return certificate;
    certificate_tidy(certificate);
    return NULL;
}

/* For a session. NULL, and tidied, when memory is short or the key is none. */
static struct certificate *certificate_hold(struct certificate *certificate, struct span key)
{
    if (certificate == NULL)
        return NULL;
    certificate->sessions++;
    if (read_key(certificate, key))
        return certificate;
    certificate_release(certificate);
    return NULL;
}

/* The chain of a credential, parsed when it is not among the last ones, of which it is one then. NULL when
 * memory is short. */
static struct certificate *certificate_find(struct tls_context *context,
                                            const struct credential *credential,
                                            const struct credential_fields *fields)
{
    struct certificate *certificate, **place = &context->parsed[context->parsed_next];

    for (size_t i = 0; i < LIMIT_PARSED_CHAINS; i++)
        if (context->parsed[i] != NULL && context->parsed[i]->credential == credential)
            return context->parsed[i];
    certificate = certificate_new(credential, fields->chain[0], false);
    if (certificate == NULL)
        return NULL;
    for (size_t i = 1; i < fields->chain_len; i++) {
        if (append_bytes(&certificate->chain, fields->chain[i]))
            continue;
        certificate_tidy(certificate);
        return NULL;
    }
    certificate_forget(*place);
    *place = certificate;
    certificate->is_kept = true;
    context->parsed_next = (context->parsed_next + 1) % LIMIT_PARSED_CHAINS;
    return certificate;
}

/* Gives the library every certificate of the domain; it takes the one that the
 * client can verify. False when there is none or memory is short. */
static bool present(struct tls_session *session)
{
    bool any = false;

    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        const struct credential *credential = site_credential(session->domain, kind);
        if (credential == NULL)
            continue;
        const struct credential_fields fields = credential_fields(credential);
        if (session->certificates[kind] == NULL)
            session->certificates[kind] = certificate_hold(
                certificate_find(session->context, credential, &fields), fields.key);
        struct certificate *certificate = session->certificates[kind];
        if (certificate == NULL ||
            mbedtls_ssl_set_hs_own_cert(&session->ssl, &certificate->chain, &certificate->key) != 0)
            return false;
        any = true;
    }
    return any;
}

/* For any host: an authority asks before there is a domain, and for names that are not ours to judge.
 * 0, or the alert that says why not. */
static unsigned char present_challenge(struct tls_session *session, struct span name)
{
    struct certificate **held = &session->certificates[0]; /* of which kind it is does not matter */
    struct challenge_answer answer;

    if (session->domain != NULL)
        return MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER; /* it asked for a policy before */
    if (!challenges_find(session->context->challenges, CHALLENGE_ALPN, name, &answer))
        return MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME;
    if (mbedtls_ssl_set_hs_own_cert(&session->ssl, NULL, NULL) != 0)
        return MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
    certificate_release(*held);
    *held = certificate_hold(
        certificate_new(NULL, (struct span){(const char *)answer.bytes, answer.answer_len}, true),
        (struct span){(const char *)answer.bytes + answer.answer_len, answer.key_len});
    mbedtls_platform_zeroize(&answer, sizeof(answer));
    if (*held == NULL ||
        mbedtls_ssl_set_hs_own_cert(&session->ssl, &(*held)->chain, &(*held)->key) != 0)
        return MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
    session->is_challenge = true;
    return 0;
}

/* RFC 6066 section 4: who acknowledges a max_fragment_length has to keep to it, and the library does
 * not with messages of the handshake. So it is not acknowledged, which the section allows. */
static void forget_fragment_length(mbedtls_ssl_context *ssl)
{
#if defined(MBEDTLS_SSL_MAX_FRAGMENT_LENGTH)
    mbedtls_ssl_session *session = ssl->MBEDTLS_PRIVATE(session_negotiate);
    session->MBEDTLS_PRIVATE(mfl_code) = MBEDTLS_SSL_MAX_FRAG_LEN_NONE;
#else
    (void)ssl;
#endif
}

void tls_session_drop_certificates(struct tls_session *session)
{
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        certificate_release(session->certificates[kind]);
        session->certificates[kind] = NULL;
    }
}

/* What comes next is costly, and is not done for a client that has gone meanwhile. */
static int go_on_unless_reset(struct tls_session *session)
{
    if (!wire_is_reset(&session->wire))
        return 0;
    session->failure = TLS_FAILURE_CLOSED;
    return MBEDTLS_ERR_NET_CONN_RESET;
}

/* The library calls this when it has read a ClientHello: a second time when it
 * had to ask for another key share, and then the name must be the same. */
static int choose_certificate(mbedtls_ssl_context *ssl)
{
    struct tls_session *session = mbedtls_ssl_get_user_data_p(ssl);
    struct span name = {NULL, 0};
    const struct site_domain *domain;
    const char *protocol;
    unsigned char description;

    name.data = (const char *)mbedtls_ssl_get_hs_sni(ssl, &name.len);
    if (name.data == NULL) {
        session->failure = TLS_FAILURE_NO_NAME;
        description = mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_3
                          ? MBEDTLS_SSL_ALERT_MSG_MISSING_EXTENSION
                          : MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
        goto refuse;
    }
    protocol = mbedtls_ssl_get_alpn_protocol(ssl);
    if (protocol != NULL && strcmp(protocol, "acme-tls/1") == 0) {
        description = present_challenge(session, name);
        if (description == MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME)
            session->failure = TLS_FAILURE_UNKNOWN_NAME;
        if (description != 0)
            goto refuse;
        return go_on_unless_reset(session);
    }
    description = MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME;
    domain = site_find_host(session->context->site, name);
    session->failure = TLS_FAILURE_UNKNOWN_NAME;
    if (domain == NULL || !site_has_credential(domain))
        goto refuse;
    session->failure = TLS_FAILURE_PROTOCOL;
    description = MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER;
    if (session->is_challenge || (session->domain != NULL && session->domain != domain))
        goto refuse;
    session->domain = domain;
    description = MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
    if (mbedtls_ssl_set_hs_own_cert(ssl, NULL, NULL) != 0 || !present(session))
        goto refuse;
    forget_fragment_length(ssl);
    return go_on_unless_reset(session);

refuse:
    tls_session_alert(ssl, description);
    return MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE;
}

const char *tls_suite_name(int suite)
{
    for (size_t i = 0; tls_suites[i] != 0; i++)
        if (tls_suites[i] == suite)
            return suite_names[i];
    return "-";
}

/* The kernel's random bytes, for a worker alone, which makes its context after the fork. mbedTLS' own
 * generator asks at each draw whether the process has forked. */
static int draw_random(void *opaque, unsigned char *bytes, size_t len)
{
    struct tls_context *context = opaque;

    while (len > 0) {
        if (context->random_left == 0) {
            const ssize_t size = sizeof(context->random);
            if (getrandom(context->random, sizeof(context->random), 0) != size)
                return MBEDTLS_ERR_CTR_DRBG_ENTROPY_SOURCE_FAILED;
            context->random_left = sizeof(context->random);
        }
        size_t taken = len < context->random_left ? len : context->random_left;
        unsigned char *from = context->random + context->random_left - taken;
        memcpy(bytes, from, taken);
        mbedtls_platform_zeroize(from, taken);
        context->random_left -= taken;
        bytes += taken;
        len -= taken;
    }
    return 0;
}

static bool configure(struct tls_context *context, mbedtls_ssl_config *config, const char **alpn)
{
    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        mbedtls_ssl_conf_alpn_protocols(config, alpn) != 0)
        return false;
    mbedtls_ssl_conf_rng(config, draw_random, context);
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_ciphersuites(config, tls_suites);
    mbedtls_ssl_conf_groups(config, tls_groups);
    mbedtls_ssl_conf_sig_algs(config, tls_signatures);
    mbedtls_ssl_conf_tls13_key_exchange_modes(config,
                                              MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_cert_cb(config, choose_certificate);
#if defined(MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH)
    /* After the handshake the outgoing buffer is cut down to such a record, in which a usual
     * response fits. */
    if (mbedtls_ssl_conf_max_frag_len(config, MBEDTLS_SSL_MAX_FRAG_LEN_512) != 0)
        return false;
#endif
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
    return true;
}

#if defined(MBEDTLS_PLATFORM_MEMORY)
enum {
    /* Only the two buffers of a session are so long: the content of a record and what is around it.
     * Bytes. */
    SESSION_BUFFER_LEAST = 16384,
    SESSION_BUFFER_MOST = SESSION_BUFFER_LEAST + 1024,
    SESSION_BUFFER_BEGIN = 64,
};

/* Memory for the library. glibc's calloc leaves its cache of freed pieces alone, which its malloc takes
 * from (until 2.41). Of the buffers of a session only the beginning has to be zero, where a record's
 * number is: all else in them is written before it is read. */
static void *allocate(size_t count, size_t size)
{
    size_t len;
    void *memory = __builtin_mul_overflow(count, size, &len) ? NULL : malloc(len);

    if (memory == NULL)
        return NULL;
    bool is_buffer = len >= SESSION_BUFFER_LEAST && len <= SESSION_BUFFER_MOST;
    /* A compiler would make calloc of malloc and memset. */
    explicit_bzero(memory, is_buffer ? SESSION_BUFFER_BEGIN : len);
    return memory;
}
#endif

struct tls_context *tls_context_new(const struct site *site, const struct challenges *challenges)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL)
        return NULL;
    context->site = site;
    context->challenges = challenges;
    mbedtls_ssl_config_init(&context->config);
    mbedtls_ssl_config_init(&context->challenge_config);
#if defined(MBEDTLS_PLATFORM_MEMORY)
    (void)mbedtls_platform_set_calloc_free(allocate, free); /* which cannot fail */
#endif
    psa_status_t status = psa_crypto_init();
    if (status == PSA_SUCCESS && configure(context, &context->config, protocols) &&
        configure(context, &context->challenge_config, challenge_protocols))
        return context;
    tls_context_free(context);
    errno = status == PSA_ERROR_INSUFFICIENT_ENTROPY ? EIO : ENOMEM;
    return NULL;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    mbedtls_ssl_config_free(&context->config);
    mbedtls_ssl_config_free(&context->challenge_config);
    for (size_t i = 0; i < LIMIT_PARSED_CHAINS; i++)
        certificate_forget(context->parsed[i]);
    mbedtls_platform_zeroize(context->random, sizeof(context->random));
    free(context);
    mbedtls_psa_crypto_free();
}
