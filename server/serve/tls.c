#include "serve/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <mbedtls/build_info.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include "base/limits.h"
#include "base/log.h"
#include "serve/hello.h"
#include "serve/wire.h"

#if MBEDTLS_VERSION_NUMBER < 0x03060000
#error "mbedTLS 3.6 or newer is needed; headers of an older one were found first"
#endif
#if defined(MBEDTLS_USE_PSA_CRYPTO) && !defined(MBEDTLS_PSA_KEY_STORE_DYNAMIC)
#error "with a key store of fixed size a few unfinished handshakes lock everyone else out"
#endif

/* Bytes that one call takes from the socket: more than any honest client sends
 * at once, and decrypted in well under a millisecond. */
static const size_t RECEIVE_AT_ONCE = 32 * 1024;

/* What the library answers when a record's length exceeds its buffer. */
enum { RECORD_TOO_LONG = MBEDTLS_ERR_SSL_BAD_INPUT_DATA };

enum {
    /* What a session's incoming buffer holds, in which a request fits; a ClientHello may need more.
     * Bytes. */
    INPUT_MOST = 4096,
    /* Beside it: sequence number, header, initialization vector and tag of a record. Bytes. */
    INPUT_OVERHEAD = 64,
    /* The same of the records in which a message comes in pieces, when it lies in the buffer. Bytes. */
    HELLO_OVERHEAD = 64,
    /* An alert, even encrypted, is shorter than what asks for a costly answer. Bytes. */
    ALERT_MOST = 64,
    /* Nothing else that the library allocates for a client is as long as the buffers of a session. Bytes. */
    SESSION_BUFFER_LEAST = 16384,
    SESSION_BUFFER_BEGIN = 64,
    /* Of a whole handshake: two buffers, certificates, keys, what is computed. Bytes. */
    HANDSHAKE_MEMORY = 64 * 1024,
};

/* The library asks for this first, and for the rest of a record when it knows its length. Bytes. */
enum { RECORD_HEADER = 5 };

#if defined(MTA_STS_HTTPD_BUNDLED_MBEDTLS)
void mbedtls_ssl_handshake_wrapup_free_hs_transform(mbedtls_ssl_context *ssl);
#endif

struct tls_context {
    const struct site *site;             /* borrowed */
    const struct challenges *challenges; /* borrowed; or NULL */
    mbedtls_ssl_config config;
    mbedtls_ssl_config challenge_config; /* the same, while there is a challenge */
    struct wire_buffers buffers;         /* of all sessions */
    /* The last ones; owned together with the sessions that use them, or NULL. */
    struct chain *parsed[LIMIT_PARSED_CHAINS];
    size_t parsed_next; /* which of them is replaced next */
    bool is_short;      /* memory has been short once */
};

/* A chain as objects of the library, which borrow the DER of the site. It goes with the last of its
 * holders. */
struct chain {
    const struct credential *credential; /* borrowed; NULL for a challenge */
    size_t holders;
    mbedtls_x509_crt crt;
};

/* A chain and its key, which a worker has as a number only while it needs it. The library keeps
 * pointers to them until the end of the handshake, and in TLS 1.3 to that of the session
 * (end_handshake). */
struct certificate {
    struct chain *chain; /* held; NULL before it is parsed */
    mbedtls_pk_context key;
};

struct tls_session {
    struct tls_context *context;         /* borrowed */
    const struct site *site;             /* borrowed */
    const struct challenges *challenges; /* borrowed; or NULL */
    const struct site_domain *domain;    /* borrowed; NULL before the choice, and for a challenge */
    struct certificate *challenge;       /* owned; what an authority is shown, or NULL */
    bool is_challenge;                   /* it was chosen */
    struct wire wire;
    unsigned char last_type_sent;     /* type of the record sent last; 0: none was */
    unsigned char last_type_received; /* type of the record whose header was read last */
    bool answered;                    /* a record was sent after that */
    bool is_begun;       /* the library has been set up for it: the ClientHello is there */
    bool is_other;       /* what is there instead of it is no ClientHello */
    bool is_open;        /* the handshake is over */
    bool ended;          /* the client has ended its side of the connection */
    bool has_sent_close; /* close_notify was written */
    bool has_spoken;     /* the client has sent a byte */
    int alert_sent;      /* TLS_NO_ALERT, or the last one that we know of */
    int alert_received;
    char *name; /* owned; SNI for the log, or NULL */
    size_t name_len;
    enum tls_failure failure;
    mbedtls_ssl_context ssl;
    /* Owned; NULL when there is none of this kind, before it is needed, and after the handshake. */
    struct certificate *certificates[CREDENTIAL_KINDS];
};

/* No dearer ones: a client that may ask for ffdhe8192 costs more than a second
 * of CPU. */
static const uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};

/* Forward secrecy and AEAD only. In TLS 1.2 the first that the client has too
 * is taken, so ECDSA stands before RSA. */
static const int suites[] = {
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

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
                   sizeof(suites) / sizeof(suites[0]),
               "a name for each suite");

static const uint16_t signatures[] = {
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,
    MBEDTLS_TLS1_3_SIG_NONE,
};

/* The first that the client has too is taken, so that only who offers nothing else gets the last. */
static const char *protocols[] = {"http/1.1", "http/1.0", NULL};
static const char *challenge_protocols[] = {"http/1.1", "http/1.0", "acme-tls/1", NULL};

static void alert(mbedtls_ssl_context *ssl, unsigned char description)
{
    struct tls_session *session = mbedtls_ssl_get_user_data_p(ssl);
    session->alert_sent = description;
    /* Its failure is the failure of the handshake that the caller reports. */
    (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, description);
}

static void chain_release(struct chain *chain)
{
    if (chain == NULL || --chain->holders > 0)
        return;
    mbedtls_x509_crt_free(&chain->crt);
    free(chain);
}

static void certificate_free(struct certificate *certificate)
{
    if (certificate == NULL)
        return;
    chain_release(certificate->chain);
    mbedtls_pk_free(&certificate->key);
    free(certificate);
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

/* The first certificate alone, for one holder. NULL when memory is short or it is no certificate, which
 * only a challenge's can be. */
static struct chain *chain_new(const struct credential *credential, struct span leaf,
                               bool is_copied)
{
    struct chain *chain = malloc(sizeof(*chain));

    if (chain == NULL)
        return NULL;
    chain->credential = credential;
    chain->holders = 1;
    mbedtls_x509_crt_init(&chain->crt);
    if (mbedtls_x509_crt_parse_der_with_ext_cb(&chain->crt, (const unsigned char *)leaf.data,
                                               leaf.len, is_copied, accept_extension, NULL) == 0)
        return chain;
    chain_release(chain);
    return NULL;
}

/* That of a credential, parsed when it is not among the last ones, for one holder more. */
static struct chain *chain_hold(struct tls_context *context, const struct credential *credential,
                                const struct credential_fields *fields)
{
    struct chain *chain, **place = &context->parsed[context->parsed_next];

    for (size_t i = 0; i < LIMIT_PARSED_CHAINS; i++) {
        if (context->parsed[i] == NULL || context->parsed[i]->credential != credential)
            continue;
        context->parsed[i]->holders++;
        return context->parsed[i];
    }
    chain = chain_new(credential, fields->chain[0], false);
    for (size_t i = 1; chain != NULL && i < fields->chain_len; i++) {
        if (append_bytes(&chain->crt, fields->chain[i]))
            continue;
        chain_release(chain);
        chain = NULL;
    }
    if (chain == NULL)
        return NULL;
    chain_release(*place);
    *place = chain;
    chain->holders++;
    context->parsed_next = (context->parsed_next + 1) % LIMIT_PARSED_CHAINS;
    return chain;
}

/* Takes the chain. NULL when there is none, when memory is short or the key is none. */
static struct certificate *certificate_new(struct chain *chain, struct span key)
{
    struct certificate *certificate = chain == NULL ? NULL : malloc(sizeof(*certificate));

    if (certificate == NULL) {
        chain_release(chain);
        return NULL;
    }
    certificate->chain = chain;
    mbedtls_pk_init(&certificate->key);
    if (mbedtls_pk_parse_key(&certificate->key, (const unsigned char *)key.data, key.len, NULL, 0,
                             mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE) == 0)
        return certificate;
    certificate_free(certificate);
    return NULL;
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
            session->certificates[kind] =
                certificate_new(chain_hold(session->context, credential, &fields), fields.key);
        struct certificate *certificate = session->certificates[kind];
        if (certificate == NULL ||
            mbedtls_ssl_set_hs_own_cert(&session->ssl, &certificate->chain->crt,
                                        &certificate->key) != 0)
            return false;
        any = true;
    }
    return any;
}

/* For any host: an authority asks before there is a domain, and for names that are not ours to judge.
 * 0, or the alert that says why not. */
static unsigned char present_challenge(struct tls_session *session, struct span name)
{
    struct challenge_answer answer;

    if (session->domain != NULL)
        return MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER; /* it asked for a policy before */
    if (!challenges_find(session->challenges, CHALLENGE_ALPN, name, &answer))
        return MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME;
    if (mbedtls_ssl_set_hs_own_cert(&session->ssl, NULL, NULL) != 0)
        return MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
    certificate_free(session->challenge);
    session->challenge = certificate_new(
        chain_new(NULL, (struct span){(const char *)answer.bytes, answer.answer_len}, true),
        (struct span){(const char *)answer.bytes + answer.answer_len, answer.key_len});
    mbedtls_platform_zeroize(&answer, sizeof(answer));
    if (session->challenge == NULL ||
        mbedtls_ssl_set_hs_own_cert(&session->ssl, &session->challenge->chain->crt,
                                    &session->challenge->key) != 0)
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

static bool asks_for_challenge(const mbedtls_ssl_context *ssl)
{
    const char *protocol = mbedtls_ssl_get_alpn_protocol(ssl);
    return protocol != NULL && strcmp(protocol, "acme-tls/1") == 0;
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
    unsigned char description;

    name.data = (const char *)mbedtls_ssl_get_hs_sni(ssl, &name.len);
    if (name.data == NULL) {
        session->failure = TLS_FAILURE_NO_NAME;
        description = mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_3
                          ? MBEDTLS_SSL_ALERT_MSG_MISSING_EXTENSION
                          : MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
        goto refuse;
    }
    if (asks_for_challenge(ssl)) {
        description = present_challenge(session, name);
        if (description == MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME)
            session->failure = TLS_FAILURE_UNKNOWN_NAME;
        if (description != 0)
            goto refuse;
        return go_on_unless_reset(session);
    }
    description = MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME;
    domain = site_find_host(session->site, name);
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
    alert(ssl, description);
    return MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE;
}

static int receive(void *opaque, unsigned char *buf, size_t size)
{
    struct tls_session *session = opaque;
    ssize_t got = wire_receive(&session->wire, buf, size);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
                                                 : MBEDTLS_ERR_NET_CONN_RESET;
    session->answered = false;
    session->ended = got == 0;
    if (size == RECORD_HEADER && got > 0)
        session->last_type_received = buf[0];
    else if (session->last_type_received == MBEDTLS_SSL_MSG_ALERT && got == 2)
        session->alert_received = buf[1]; /* in clear, for an encrypted one is longer */
    return (int)got;
}

static int transmit(void *opaque, const unsigned char *data, size_t len)
{
    struct tls_session *session = opaque;
    ssize_t sent = wire_send(&session->wire, data, len);

    if (sent < 0)
        return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_NET_CONN_RESET;
    session->last_type_sent = data[0];
    if (data[0] == MBEDTLS_SSL_MSG_ALERT && len == RECORD_HEADER + 2)
        session->alert_sent = data[RECORD_HEADER + 1];
    session->answered = true;
    return (int)sent;
}

/* The library's answer in our words; a number above zero is a success too. */
static enum tls_result result_of(int code)
{
    switch (code) {
    case MBEDTLS_ERR_SSL_WANT_READ:
        return TLS_WANT_READ;
    case MBEDTLS_ERR_SSL_WANT_WRITE:
        return TLS_WANT_WRITE;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return TLS_CLOSED;
    default:
        return code >= 0 ? TLS_DONE : TLS_FAILED;
    }
}

static bool configure(mbedtls_ssl_config *config, const char **alpn)
{
    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        mbedtls_ssl_conf_alpn_protocols(config, alpn) != 0)
        return false;
    mbedtls_ssl_conf_rng(config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_ciphersuites(config, suites);
    mbedtls_ssl_conf_groups(config, groups);
    mbedtls_ssl_conf_sig_algs(config, signatures);
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
/* Memory for the library. glibc's calloc leaves its cache of freed pieces alone, which its malloc takes
 * from (until 2.41). Of the buffers of a session only the beginning has to be zero, where a record's
 * number is: all else in them is written before it is read. */
static void *allocate(size_t count, size_t size)
{
    size_t len;
    void *memory = __builtin_mul_overflow(count, size, &len) ? NULL : malloc(len);

    if (memory != NULL) /* a compiler would make calloc of malloc and memset */
        explicit_bzero(memory, len < SESSION_BUFFER_LEAST ? len : SESSION_BUFFER_BEGIN);
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
    if (status == PSA_SUCCESS && configure(&context->config, protocols) &&
        configure(&context->challenge_config, challenge_protocols))
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
        chain_release(context->parsed[i]);
    free(context);
    mbedtls_psa_crypto_free();
}

struct tls_session *tls_session_new(struct tls_context *context, int fd)
{
    struct tls_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->context = context;
    session->site = context->site;
    session->challenges = context->challenges;
    session->wire = wire_of(fd, &context->buffers);
    session->alert_sent = session->alert_received = TLS_NO_ALERT;
    mbedtls_ssl_init(&session->ssl);
    return session;
}

/* The library's incoming buffer is as long as the longest record, and few records are; while nothing is
 * in it, it need not be there. The library has no function for this; the same is done by its own for the
 * outgoing one. What lies in it stays. False when memory is short. */
static bool resize_input(mbedtls_ssl_context *ssl, size_t content_len)
{
#if defined(MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH) && defined(MTA_STS_HTTPD_BUNDLED_MBEDTLS)
    unsigned char *old = ssl->MBEDTLS_PRIVATE(in_buf);
    unsigned char **const pointers[] = {
        &ssl->MBEDTLS_PRIVATE(in_ctr), &ssl->MBEDTLS_PRIVATE(in_hdr), &ssl->MBEDTLS_PRIVATE(in_len),
        &ssl->MBEDTLS_PRIVATE(in_iv),  &ssl->MBEDTLS_PRIVATE(in_msg),
    };
    size_t len = content_len + INPUT_OVERHEAD;
    size_t used = (size_t)(ssl->MBEDTLS_PRIVATE(in_hdr) - old) + ssl->MBEDTLS_PRIVATE(in_left);
    if (len == ssl->MBEDTLS_PRIVATE(in_buf_len) || used > len)
        return true;
    unsigned char *buf = malloc(len);
    if (buf == NULL)
        return false;
    memcpy(buf, old, used);
    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++)
        *pointers[i] = buf + (*pointers[i] - old);
    ssl->MBEDTLS_PRIVATE(in_buf) = buf;
    mbedtls_platform_zeroize(old, used);
    free(old);
    ssl->MBEDTLS_PRIVATE(in_buf_len) = len;
#else
    (void)ssl, (void)content_len;
#endif
    return true;
}

/* How much of a record the buffer holds. */
static size_t input_len(const mbedtls_ssl_context *ssl)
{
#if defined(MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH) && defined(MTA_STS_HTTPD_BUNDLED_MBEDTLS)
    return ssl->MBEDTLS_PRIVATE(in_buf_len) - INPUT_OVERHEAD;
#else
    (void)ssl;
    return INPUT_MOST;
#endif
}

static bool shorten_input(mbedtls_ssl_context *ssl, size_t content_len)
{
    return input_len(ssl) <= content_len || resize_input(ssl, content_len);
}

/* Whether there is memory for all of a handshake, because one that fails in the middle is lost. Asked
 * only where memory has been short before. */
static bool has_memory(const struct tls_context *context)
{
    void *volatile room = context->is_short ? malloc(HANDSHAKE_MEMORY) : NULL;
    bool has = !context->is_short || room != NULL;
    free(room);
    return has;
}

/* Sets the library up, which takes 20 KB and more. */
static bool begin(struct tls_session *session, size_t hello_len)
{
    const struct tls_context *context = session->context;
    bool is_pending = challenges_pending(context->challenges, CHALLENGE_ALPN);
    const mbedtls_ssl_config *config = is_pending ? &context->challenge_config : &context->config;
    size_t input =
        hello_len + HELLO_OVERHEAD > INPUT_MOST ? hello_len + HELLO_OVERHEAD : INPUT_MOST;
    if (!has_memory(context))
        return false;
    int code = mbedtls_ssl_setup(&session->ssl, config);
#if defined(MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH)
    /* A set-up that fails forgets its configuration and keeps its handshake, and who frees that
     * asks the configuration for the length of buffers (3.6.7). */
    session->ssl.MBEDTLS_PRIVATE(conf) = config;
#endif
    if (code != 0 || !shorten_input(&session->ssl, input)) {
        mbedtls_ssl_free(&session->ssl);
        mbedtls_ssl_init(&session->ssl); /* so that it can be tried again */
        return false;
    }
    mbedtls_ssl_set_user_data_p(&session->ssl, session);
    mbedtls_ssl_set_bio(&session->ssl, session, transmit, receive, NULL);
    session->is_begun = true;
    return true;
}

/* For the log, and without it when memory is short. */
static void keep_name(struct tls_session *session)
{
    char name[LIMIT_NAME + 1];
    size_t len = hello_server_name(wire_unread(&session->wire), name, sizeof(name));
    if (len == 0 || session->name != NULL)
        return;
    session->name = malloc(len);
    if (session->name == NULL)
        return;
    memcpy(session->name, name, len);
    session->name_len = len;
}

struct tls_story tls_session_story(const struct tls_session *session)
{
    return (struct tls_story){
        .name = {session->name, session->name_len},
        .alert_sent = session->alert_sent,
        .alert_received = session->alert_received,
        .is_silent = !session->has_spoken,
    };
}

/* Until the ClientHello is there a session costs little more than its bytes. */
static enum tls_result await_hello(struct tls_session *session)
{
    size_t len = 0;
    enum hello_progress progress;

    while ((progress = hello_look(wire_unread(&session->wire), &len)) == HELLO_PARTIAL) {
        ssize_t got = wire_gather(&session->wire);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return TLS_WANT_READ;
        if (got <= 0) {
            session->failure = TLS_FAILURE_CLOSED;
            return TLS_CLOSED;
        }
        session->has_spoken = true;
    }
    session->is_other = progress == HELLO_OTHER;
    if (progress == HELLO_WHOLE && log_style()->access != LOG_ACCESS_OFF)
        keep_name(session);
    if (begin(session, len))
        return TLS_DONE;
    session->context->is_short = true;
    return TLS_UNPREPARED;
}

static void drop_certificates(struct tls_session *session)
{
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        certificate_free(session->certificates[kind]);
        session->certificates[kind] = NULL;
    }
    certificate_free(session->challenge);
    session->challenge = NULL;
}

void tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    wire_free(&session->wire);
    mbedtls_ssl_free(&session->ssl);
    drop_certificates(session);
    free(session->name);
    free(session);
}

/* What RFC 8446 section 6.2 calls the faults for which the library may just stop. */
static const struct {
    int code;
    unsigned char description;
} faults[] = {
    {RECORD_TOO_LONG, MBEDTLS_SSL_ALERT_MSG_RECORD_OVERFLOW},
    {MBEDTLS_ERR_SSL_INVALID_RECORD, MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE},
    {MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE},
    {MBEDTLS_ERR_SSL_DECODE_ERROR, MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR},
    {MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER, MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER},
    {MBEDTLS_ERR_SSL_ALLOC_FAILED, MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR},
};

static unsigned char description_of(int code)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (faults[i].code == code)
            return faults[i].description;
    return MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
}

/* Encrypted records of TLS 1.3 hide their type, so of those we know only whether the library has
 * sent one since it read the record with the fault. */
static bool is_alert_missing(const struct tls_session *session)
{
    return !session->answered || (session->last_type_sent != MBEDTLS_SSL_MSG_ALERT &&
                                  session->last_type_sent != MBEDTLS_SSL_MSG_APPLICATION_DATA);
}

/* Tells the client why this is the end, if nobody has said so yet. */
static void send_missing_alert(struct tls_session *session, int code)
{
    bool is_asked =
        code != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && session->failure != TLS_FAILURE_CLOSED;
    /* Where a record waits to be sent, the first call sends that instead of the alert. */
    for (int calls = 0; calls < 2 && is_asked && is_alert_missing(session); calls++)
        alert(&session->ssl, description_of(code));
}

/* The library waits for the client's answer to what may still be in our buffer. */
static enum tls_result map_result(struct tls_session *session, int code)
{
    enum tls_result result = result_of(code);

    if (result == TLS_FAILED)
        (void)wire_flush(&session->wire); /* An alert that cannot leave at once is lost. */
    if (result == TLS_WANT_READ && wire_has_unsent(&session->wire))
        return TLS_WANT_WRITE;
    return result;
}

/* Gives back what only the handshake needed, which is most of a session. After
 * TLS 1.2 the library does so itself, with this function; after TLS 1.3 it would
 * wait for the end of the session, although a server without tickets has no use
 * for it any more. The function is not in the public headers, so it is called
 * only in the library whose source we compile. */
static void end_handshake(struct tls_session *session)
{
    if (mbedtls_ssl_get_version_number(&session->ssl) == MBEDTLS_SSL_VERSION_TLS1_3) {
#if defined(MTA_STS_HTTPD_BUNDLED_MBEDTLS)
        mbedtls_ssl_handshake_wrapup_free_hs_transform(&session->ssl);
#else
        return;
#endif
    }
    drop_certificates(session);
    (void)shorten_input(&session->ssl,
                        INPUT_MOST); /* Without the memory for it the buffer stays. */
    session->is_open = true;
}

/* The library ended a call although it has not read all that is here, where no event of the socket
 * will tell of it: after some warnings it says that it wants to read, and RFC 8446 section 5.1 allows
 * records without data, for which it returns 0 as for the end. */
static bool has_more(struct tls_session *session, int code)
{
    return (code == 0 && !session->ended) ||
           (code == MBEDTLS_ERR_SSL_WANT_READ && wire_has_unread(&session->wire));
}

static const struct {
    int code;
    enum tls_failure failure;
} failures[] = {
    {MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION, TLS_FAILURE_VERSION},
    {MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE, TLS_FAILURE_NOTHING_IN_COMMON},
    {MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL, TLS_FAILURE_NOTHING_IN_COMMON},
    {MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE, TLS_FAILURE_REFUSED},
    {MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY, TLS_FAILURE_CLOSED},
    {MBEDTLS_ERR_SSL_CONN_EOF, TLS_FAILURE_CLOSED},
    {MBEDTLS_ERR_NET_CONN_RESET, TLS_FAILURE_CLOSED},
};

/* A failure that our own callback has found keeps its name. */
static void name_failure(struct tls_session *session, int code, bool is_short)
{
    if (session->failure != TLS_FAILURE_PROTOCOL)
        return;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
        if (failures[i].code == code)
            session->failure = failures[i].failure;
    /* Many clients send the alert with which they refuse our certificate before they encrypt. */
    if (session->failure == TLS_FAILURE_PROTOCOL &&
        session->last_type_received == MBEDTLS_SSL_MSG_ALERT)
        session->failure = TLS_FAILURE_REFUSED;
    if (is_short)
        session->failure = TLS_FAILURE_MEMORY;
}

enum tls_failure tls_session_failure(const struct tls_session *session)
{
    return session->failure;
}

const char *tls_session_cipher(const struct tls_session *session)
{
    int suite = mbedtls_ssl_get_ciphersuite_id_from_ssl(&session->ssl);
    for (size_t i = 0; suites[i] != 0; i++)
        if (suites[i] == suite)
            return suite_names[i];
    return "-";
}

const char *tls_library_version(void)
{
    return MBEDTLS_VERSION_STRING;
}

bool tls_session_is_13(const struct tls_session *session)
{
    return mbedtls_ssl_get_version_number(&session->ssl) == MBEDTLS_SSL_VERSION_TLS1_3;
}

enum tls_result tls_handshake(struct tls_session *session)
{
    int code;

    wire_allow(&session->wire, RECEIVE_AT_ONCE);
    if (!session->is_begun) {
        enum tls_result result = await_hello(session);
        if (result != TLS_DONE)
            return result;
    }
    do {
        errno = 0;
        code = mbedtls_ssl_handshake(&session->ssl);
    } while (code == MBEDTLS_ERR_SSL_WANT_READ && has_more(session, code));
    /* What cannot become a ClientHello is not waited for. */
    if (code == MBEDTLS_ERR_SSL_WANT_READ && session->is_other)
        code = MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE;
    /* The library has a dozen codes for it, and some of its parts tell it as something else. */
    bool is_short = errno == ENOMEM;
    if (code != 0)
        name_failure(session, code, is_short);
    if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        session->alert_received = session->ssl.MBEDTLS_PRIVATE(in_msg)[1];
    if (result_of(code) == TLS_FAILED)
        send_missing_alert(session, code);
    if (code == 0)
        end_handshake(session);
    enum tls_result result = map_result(session, code);
    if (result != TLS_FAILED || !is_short)
        return result;
    session->context->is_short = true;
    return TLS_SHORT;
}

void tls_hear_alert(struct tls_session *session)
{
    unsigned char bytes[ALERT_MOST + 1];
    session->failure = TLS_FAILURE_CLOSED;
    if (!session->is_begun)
        return;
    ssize_t len = recv(session->wire.fd, bytes, sizeof(bytes), MSG_PEEK);
    if (len <= 0 || len > ALERT_MOST)
        return;
    session->failure = TLS_FAILURE_PROTOCOL;
    if (tls_handshake(session) == TLS_WANT_READ)
        session->failure = TLS_FAILURE_CLOSED;
}

enum tls_result tls_read(struct tls_session *session, char *buf, size_t size, size_t *ret_len)
{
    int code;

    if (input_len(&session->ssl) < INPUT_MOST && !resize_input(&session->ssl, INPUT_MOST))
        return TLS_FAILED; /* memory is short */
    wire_allow(&session->wire, RECEIVE_AT_ONCE);
    do
        code = mbedtls_ssl_read(&session->ssl, (unsigned char *)buf, size);
    while (has_more(session, code));
    if (code == 0) /* the client hung up without close_notify */
        return TLS_CLOSED;
    /* The buffer has a little more room than a record may fill. */
    if (code > 0 && (size_t)code + mbedtls_ssl_get_bytes_avail(&session->ssl) > INPUT_MOST)
        code = RECORD_TOO_LONG;
    if (code == RECORD_TOO_LONG)
        return TLS_TOO_LONG;
    if (code > 0)
        *ret_len = (size_t)code;
    if (result_of(code) == TLS_FAILED)
        send_missing_alert(session, code);
    return map_result(session, code);
}

enum tls_result tls_write(struct tls_session *session, const char *data, size_t len,
                          size_t *ret_len)
{
    int code = mbedtls_ssl_write(&session->ssl, (const unsigned char *)data, len);
    if (code > 0)
        *ret_len = (size_t)code;
    return code == 0 ? TLS_FAILED : map_result(session, code);
}

enum tls_result tls_flush(struct tls_session *session)
{
    if (wire_flush(&session->wire))
        return TLS_DONE;
    return errno == EAGAIN ? TLS_WANT_WRITE : TLS_FAILED;
}

enum tls_result tls_close(struct tls_session *session)
{
    if (!session->has_sent_close) {
        enum tls_result result = map_result(session, mbedtls_ssl_close_notify(&session->ssl));
        if (result != TLS_DONE)
            return result;
        session->has_sent_close = true;
    }
    session->wire.is_ending = true;
    return tls_flush(session);
}

bool tls_leave(struct tls_session *session)
{
    mbedtls_ssl_context *ssl = &session->ssl;
    bool is_empty = ssl->MBEDTLS_PRIVATE(in_left) == 0 && ssl->MBEDTLS_PRIVATE(in_offt) == NULL;
    /* Between two requests nothing lies in the incoming buffer, which is more than half of a session. */
    if (session->is_open && is_empty)
        (void)shorten_input(ssl, 0); /* Without the memory for it the buffer stays. */
    return wire_save(&session->wire);
}

bool tls_session_is_challenge(const struct tls_session *session)
{
    return session->is_challenge;
}

const struct site_domain *tls_session_domain(const struct tls_session *session)
{
    return session->domain;
}
