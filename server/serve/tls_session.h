/*
 * For tls and tls_context. What the two files that know mbedTLS know of each other: tls_context.c has what
 * the sessions of a worker share, which is how TLS is spoken and which certificate is shown; tls.c has a
 * session's records. Runs in the worker.
 */
#ifndef SERVE_TLS_SESSION_H
#define SERVE_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include <mbedtls/build_info.h>
#include <mbedtls/ssl.h>

#include "base/limits.h"
#include "serve/tls.h"
#include "serve/wire.h"

#if MBEDTLS_VERSION_NUMBER < 0x03060000
#error "mbedTLS 3.6 or newer is needed; headers of an older one were found first"
#endif
#if defined(MBEDTLS_USE_PSA_CRYPTO) && !defined(MBEDTLS_PSA_KEY_STORE_DYNAMIC)
#error "with a key store of fixed size a few unfinished handshakes lock everyone else out"
#endif

struct certificate;

struct tls_context {
    const struct site *site;             /* borrowed */
    const struct challenges *challenges; /* borrowed; or NULL */
    mbedtls_ssl_config config;
    mbedtls_ssl_config challenge_config; /* the same, while there is a challenge */
    struct wire_buffers buffers;         /* of all sessions */
    /* Random bytes for what is drawn next; those that were given out are zero. getrandom(2) never gives
     * fewer than so many, and is not interrupted. */
    unsigned char random[256];
    size_t random_left;
    /* The last ones; owned together with the sessions that use them, or NULL. */
    struct certificate *parsed[LIMIT_PARSED_CHAINS];
    size_t parsed_next; /* which of them is replaced next */
    bool is_short;      /* memory has been short once */
};

struct tls_session {
    struct tls_context *context;      /* borrowed */
    const struct site_domain *domain; /* borrowed; NULL before the choice, and for a challenge */
    bool is_challenge;                /* it was chosen */
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
    /* Held; the domain's, or the one for a challenge. NULL when there is none of this kind, before it is
     * needed, and after the handshake. */
    struct certificate *certificates[CREDENTIAL_KINDS];
};

/* Sends an alert. Its failure is the failure of the handshake that the caller reports. */
void tls_session_alert(mbedtls_ssl_context *ssl, unsigned char description);

/* The registered name of a cipher suite; static; "-" when it is none of ours. */
const char *tls_suite_name(int suite);

/* Releases the certificates of a session whose handshake is over. */
void tls_session_drop_certificates(struct tls_session *session);

#endif
