/*
 * For tls and tls_context. TLS for the worker; no other file of this room knows mbedTLS. A context is made
 * once in each worker, after the fork; a session belongs to one connection and borrows its socket. Which
 * certificate is shown depends on SNI alone: there is no default host. Beside them the certificates of
 * pending challenges (RFC 8737) are shown to authorities, who ask by ALPN.
 */
#ifndef SERVE_TLS_H
#define SERVE_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/challenges.h"
#include "site/site.h"

enum tls_result {
    TLS_DONE,
    TLS_WANT_READ,  /* call again when the socket can be read */
    TLS_WANT_WRITE, /* call again, with the same arguments, when it can be written */
    TLS_CLOSED,     /* the client will send nothing more */
    TLS_TOO_LONG,   /* only from tls_read: nothing more can be read, but tls_write still works */
    TLS_UNPREPARED, /* only from tls_handshake: memory is short, before anything was answered; it may
                       be called again at once, or the session is of no use any more */
    TLS_SHORT,      /* only from tls_handshake: memory is; else as TLS_FAILED */
    TLS_FAILED,     /* the session is of no use any more; the alert, if there is one, was sent */
};

struct tls_context;
struct tls_session;

/* Seeds the generator of this process and prepares what sessions share. Owned;
 * NULL with errno: ENOMEM, or EIO when the kernel gives no random bytes. The site and the challenges (NULL:
 * none) are borrowed until tls_context_free; the site must be sealed. */
struct tls_context *tls_context_new(const struct site *site, const struct challenges *challenges);
void tls_context_free(struct tls_context *context);

/* A session on a connected, non-blocking socket, which stays the caller's and
 * is borrowed until tls_session_free. Owned; NULL when memory is short. */
struct tls_session *tls_session_new(struct tls_context *context, int fd);
void tls_session_free(struct tls_session *session);

/* Goes on with the handshake until it is TLS_DONE. Until the ClientHello is there as a whole the
 * session takes little more memory than the bytes that came. */
enum tls_result tls_handshake(struct tls_session *session);

/* The connection was reset before the handshake was done: reads the alert that the client sent before,
 * if there is one, and nothing that is longer. */
void tls_hear_alert(struct tls_session *session);

/* Reads at least one byte, at most size; sets ret_len when TLS_DONE. Takes a
 * bounded amount of work from the socket, then says TLS_WANT_READ although
 * there may be more, so that no client can hold up the others. A record may
 * have 16 KB; one that the library has no room for is TLS_TOO_LONG. */
enum tls_result tls_read(struct tls_session *session, char *buf, size_t size, size_t *ret_len);

/* Takes at least one byte, at most len; sets ret_len when TLS_DONE. The bytes go
 * to the client with tls_flush or tls_close at the latest. */
enum tls_result tls_write(struct tls_session *session, const char *data, size_t len,
                          size_t *ret_len);

/* TLS_DONE when the kernel has everything that was written. */
enum tls_result tls_flush(struct tls_session *session);

/* Tells the client that nothing more comes (close_notify), and flushes. */
enum tls_result tls_close(struct tls_session *session);

/* Call this before another session uses the shared buffers: it saves what this one has not sent or read
 * yet. False: out of memory; the session is unusable. */
bool tls_leave(struct tls_session *session);

/* Why a handshake failed. */
enum tls_failure {
    TLS_FAILURE_PROTOCOL,     /* what the client sent is not TLS, or breaks its rules */
    TLS_FAILURE_NO_NAME,      /* it named no host */
    TLS_FAILURE_UNKNOWN_NAME, /* it named one for which there is no certificate */
    TLS_FAILURE_VERSION,      /* it speaks older versions only */
    TLS_FAILURE_NOTHING_IN_COMMON,
    TLS_FAILURE_REFUSED, /* it sent an alert */
    TLS_FAILURE_CLOSED,  /* it went away */
    TLS_FAILURE_MEMORY,  /* is short here */
    TLS_FAILURE_TIMEOUT, /* whoever drives the session has waited long enough */
};

enum { TLS_NO_ALERT = -1 };

/* What is known of a session. */
struct tls_facts {
    /* After the handshake. */
    bool is_13; /* TLS 1.3, not 1.2 */
    bool
        is_challenge; /* an authority came to see a challenge (RFC 8737), and has seen it: nothing more
                           is to be sent on this connection but close_notify */
    const char *cipher; /* the cipher suite by its registered name; static */
    /* For whose host the certificate was shown; borrowed from the site. NULL before the client has said
     * which it wants, and for a challenge. */
    const struct site_domain *domain;
    /* After one that failed. */
    enum tls_failure failure;
    struct span
        name; /* SNI as it was sent; empty when there was none, and when failed handshakes have
                         no line in the log. Borrowed from the session */
    int alert_sent;     /* RFC 8446 section 6; or TLS_NO_ALERT */
    int alert_received; /* the same */
    bool is_silent;     /* the client has not sent a byte */
};

struct tls_facts tls_session_facts(const struct tls_session *session);

/* Of mbedTLS: "3.6.7"; static. */
const char *tls_library_version(void);

#endif
