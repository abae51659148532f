#include "serve/tls_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <mbedtls/net_sockets.h>
#include <mbedtls/platform_util.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/wire.h"

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
    /* Of a whole handshake: two buffers, certificates, keys, what is computed. Bytes. */
    HANDSHAKE_MEMORY = 64 * 1024,
};

/* The library asks for this first, and for the rest of a record when it knows its length. Bytes. */
enum { RECORD_HEADER = 5 };

#if defined(MTA_STS_HTTPD_BUNDLED_MBEDTLS)
void mbedtls_ssl_handshake_wrapup_free_hs_transform(mbedtls_ssl_context *ssl);
#endif

void tls_session_alert(mbedtls_ssl_context *ssl, unsigned char description)
{
    struct tls_session *session = mbedtls_ssl_get_user_data_p(ssl);
    session->alert_sent = description;
    (void)mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, description);
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

struct tls_session *tls_session_new(struct tls_context *context, int fd)
{
    struct tls_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->context = context;
    session->wire = (struct wire){.fd = fd, .buffers = &context->buffers};
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

/* Sets the library up, which takes 20 KB and more. */
static bool begin(struct tls_session *session, size_t hello_len)
{
    const struct tls_context *context = session->context;
    bool is_pending = challenges_pending(context->challenges, CHALLENGE_ALPN);
    const mbedtls_ssl_config *config = is_pending ? &context->challenge_config : &context->config;
    size_t input =
        hello_len + HELLO_OVERHEAD > INPUT_MOST ? hello_len + HELLO_OVERHEAD : INPUT_MOST;
    /* A handshake that fails in the middle is lost, so all that it needs has to be there. */
    if (context->is_short && !memory_has(HANDSHAKE_MEMORY))
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

void tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    wire_free(&session->wire);
    mbedtls_ssl_free(&session->ssl);
    tls_session_drop_certificates(session);
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

/* Tells the client why this is the end, if nobody has said so yet. Encrypted records of TLS 1.3 hide their
 * type, so of those we know only whether the library has sent one since it read the record with the fault. */
static void send_missing_alert(struct tls_session *session, int code)
{
    bool is_asked =
        code != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && session->failure != TLS_FAILURE_CLOSED;
    /* Where a record waits to be sent, the first call sends that instead of the alert. */
    for (int calls = 0; calls < 2 && is_asked; calls++)
        if (!session->answered || (session->last_type_sent != MBEDTLS_SSL_MSG_ALERT &&
                                   session->last_type_sent != MBEDTLS_SSL_MSG_APPLICATION_DATA))
            tls_session_alert(&session->ssl, description_of(code));
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
    tls_session_drop_certificates(session);
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
           (code == MBEDTLS_ERR_SSL_WANT_READ && (wire_unread(&session->wire).len > 0));
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

const char *tls_library_version(void)
{
    return MBEDTLS_VERSION_STRING;
}

enum tls_result tls_handshake(struct tls_session *session)
{
    int code;

    session->wire.receivable = RECEIVE_AT_ONCE;
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
    session->wire.receivable = RECEIVE_AT_ONCE;
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

struct tls_facts tls_session_facts(const struct tls_session *session)
{
    const mbedtls_ssl_context *ssl = &session->ssl;
    return (struct tls_facts){
        .is_13 = mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_3,
        .is_challenge = session->is_challenge,
        .cipher = tls_suite_name(mbedtls_ssl_get_ciphersuite_id_from_ssl(ssl)),
        .domain = session->domain,
        .failure = session->failure,
        .name = {session->name, session->name_len},
        .alert_sent = session->alert_sent,
        .alert_received = session->alert_received,
        .is_silent = !session->has_spoken,
    };
}
