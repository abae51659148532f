/*
 * For answer and fetch. One fetch of a policy from one address, as a sender does
 * it: connect, shake hands (TLS 1.2 or 1.3, with what all senders have), ask, read
 * the answer, all before one deadline. It takes any certificate, tells what came
 * and how long each step took, and judges nothing. Objects and codes of the TLS
 * library do not leave it. Runs in a child of the probe, and in commands; never
 * in a server.
 */
#ifndef PROBE_FETCH_H
#define PROBE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"
#include "base/limits.h"
#include "base/span.h"

/* One HTTP response (RFC 9112): its head, and its body with the chunks taken apart. What the server claims
 * about sizes is never believed beyond the room that is here. It is read as strictly as by the strictest
 * sender. Spans point into head; they are empty when the header is missing. */
struct answer {
    unsigned status; /* 100 to 999; 0 before the head is there */
    struct span content_type;
    struct span content_encoding;
    struct span location;
    size_t body_len;
    bool is_cut;       /* the body goes on behind LIMIT_BODY_MOST */
    const char *fault; /* when malformed: the end of the sentence "the response ..."; static */
    bool is_chunked, has_length;
    uint64_t length; /* of the body, with has_length */
    size_t head_len;
    char head[LIMIT_ANSWER_HEAD];
    char body[LIMIT_BODY_MOST];
};

/* Waits for at least one byte. Returns how many there are, 0 at the end of the connection, below 0 when it
 * has failed. */
typedef ssize_t answer_more(void *context, char *buf, size_t size);

/* Reads a response, or as much of it as anybody wants; it is malformed if fault says so. False when the
 * connection has failed before its end. */
bool answer_read(struct answer *answer, answer_more *more, void *context);

/* What the server said first: enough to tell TLS from other protocols, and an alert. */
enum { STREAM_OPENING = 64 };

/* A connection that is never waited for beyond its deadline. */
struct stream {
    int fd;              /* owned; -1 when it is closed */
    int64_t deadline_us; /* of the clock that never jumps */
    int error;           /* errno of what failed last; ETIMEDOUT when the deadline had passed */
    size_t opening_len;
    char opening[STREAM_OPENING]; /* the first bytes that came for TLS */
};

/* Waits until there was room for all bytes. False with the reason in stream->error. */
bool stream_write(struct stream *stream, struct span bytes);

/* Waits for at least one byte. Returns how many bytes there are, 0 at the end, or -1 with the reason in
 * stream->error. */
ssize_t stream_read(struct stream *stream, void *buf, size_t size);

enum client_result {
    CLIENT_DONE,
    CLIENT_CLOSED,      /* the server ended the stream, with or without a word */
    CLIENT_LATE,        /* the deadline has passed */
    CLIENT_RESET,       /* the connection broke */
    CLIENT_ALERT,       /* a fatal alert; fetch->alert tells which */
    CLIENT_OLD,         /* the server speaks TLS 1.1 or older only */
    CLIENT_HTTP,        /* it answered in plain HTTP */
    CLIENT_NOT_TLS,     /* it answered in something else */
    CLIENT_CERTIFICATE, /* it sent a certificate that cannot be read */
    CLIENT_LARGE,       /* a message of the handshake is larger than 16 KB: its certificates */
    CLIENT_COSTLY,      /* its key makes a check of a signature costly (load/extensions) */
    CLIENT_FAILED,      /* the server broke the protocol */
};

enum client_versions {
    CLIENT_TLS_ALL,
    CLIENT_TLS_12_ONLY,
    CLIENT_TLS_MAIL, /* all, for a server of mail: without the names of other protocols */
    CLIENT_PLAIN,    /* no TLS at all, for a listener behind a proxy that ends it */
};

/* The step in which it ended. */
enum fetch_step {
    FETCH_CONNECT,
    FETCH_BEGIN, /* the request's begin has failed */
    FETCH_HANDSHAKE,
    FETCH_ANSWER,
    FETCH_DONE, /* there is a response, whatever it says */
};

/* Everything is borrowed for the call. */
struct fetch_request {
    const struct address *address;
    const char *host;   /* for SNI and the Host header */
    const char *target; /* what to ask for; NULL: the policy */
    int64_t timeout_ms;
    struct span preamble; /* sent before TLS begins, for a listener that expects a proxy */
    enum client_versions versions;
    bool handshake_only;
    /* What comes before TLS in another protocol; or NULL. False: it has failed. */
    bool (*begin)(struct stream *stream, void *context);
    void *context;
};

/* What came. End with fetch_free. */
struct fetch {
    enum fetch_step step;
    int error;                 /* from errno; ETIMEDOUT when the deadline ended it */
    enum client_result result; /* of the step in which it ended */
    int alert;                 /* with CLIENT_ALERT; -1 when not known */
    int64_t connect_us, handshake_us, answer_us;
    const char *tls_version; /* from FETCH_ANSWER on; static */
    struct span *chain;      /* the same: certificates in DER; owned with their bytes */
    size_t chain_len;
    struct answer *answer; /* what was read of the response; owned; NULL before FETCH_ANSWER */
};

/* Where to reach one that listens at the address: where that is everywhere, this machine itself; with
 * fall_back by IPv4, for a machine without IPv6. */
struct address fetch_address_of(const struct address *listener, bool fall_back);

void fetch_run(const struct fetch_request *request, struct fetch *ret_fetch);
void fetch_free(struct fetch *fetch);

#endif
