/*
 * The TLS client: TLS 1.2 and 1.3 with what all senders have, over a stream with a deadline. It
 * takes any certificate, and hands it out to be judged by others (probe/chain,
 * probe/trust). Objects and codes of the TLS library do not leave it. Runs in a
 * child of the probe, and in the health check; never in a server.
 */
#ifndef PROBE_CLIENT_H
#define PROBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"
#include "base/span.h"

/* What the server said first: enough to tell TLS from other protocols, and an alert. */
enum { STREAM_OPENING = 64 };

struct stream {
    int fd;              /* owned; -1 when it is closed */
    int64_t deadline_us; /* of the clock that never jumps */
    int error;           /* errno of what failed last; ETIMEDOUT when the deadline had passed */
    size_t opening_len;
    char opening[STREAM_OPENING]; /* the first bytes that came for TLS */
};

/* Connects, as all waits here, until the deadline at most. False with the reason in stream->error. End
 * with stream_close in any case. */
bool stream_open(struct stream *stream, const struct address *address, int64_t deadline_us);
void stream_close(struct stream *stream);

/* Waits for room for at least one byte. Returns how many bytes were moved, or -1 with the reason in
 * stream->error. */
ssize_t stream_write(struct stream *stream, const void *data, size_t len);

/* Waits for at least one byte. Returns how many bytes there are, 0 at the end, or -1 with the reason in
 * stream->error. */
ssize_t stream_read(struct stream *stream, void *buf, size_t size);

enum client_result {
    CLIENT_DONE,
    CLIENT_CLOSED,      /* the server ended the stream, with or without a word */
    CLIENT_LATE,        /* the deadline has passed */
    CLIENT_RESET,       /* the connection broke */
    CLIENT_ALERT,       /* a fatal alert; client_alert tells which */
    CLIENT_OLD,         /* the server speaks TLS 1.1 or older only */
    CLIENT_HTTP,        /* it answered in plain HTTP */
    CLIENT_NOT_TLS,     /* it answered in something else */
    CLIENT_CERTIFICATE, /* it sent a certificate that cannot be read */
    CLIENT_LARGE,       /* a message of the handshake is larger than 16 KB: its certificates */
    CLIENT_COSTLY,      /* its key makes a check of a signature costly (load/extensions) */
    CLIENT_FAILED,      /* the server broke the protocol, or memory is short */
};

enum client_versions {
    CLIENT_TLS_ALL,
    CLIENT_TLS_12_ONLY,
    CLIENT_TLS_MAIL, /* all, for a server of mail: without the names of other protocols */
    CLIENT_PLAIN,    /* no TLS at all, for a listener behind a proxy that ends it */
};

struct client;

/* A client over the open stream (borrowed) for the host name, which it sends as SNI. Owned; NULL when
 * memory is short. */
struct client *client_new(struct stream *stream, const char *host, enum client_versions versions);
void client_free(struct client *client);

enum client_result client_handshake(struct client *client);

/* The description of the alert (RFC 8446 section 6) that the server answered the first message with;
 * -1 when there was none. */
int client_alert(const struct client *client);

/* Everything, or not. */
enum client_result client_write(struct client *client, struct span bytes);

/* Waits for at least one byte. */
enum client_result client_read(struct client *client, char *buf, size_t size, size_t *ret_len);

/* After the handshake: "1.2" or "1.3", or "none"; static. */
const char *client_version(const struct client *client);

/* After the handshake: the certificates in DER, as the server sent them, leaf first. Returns how
 * many there are, at most most; borrowed from the client. */
size_t client_chain(const struct client *client, struct span *ret_chain, size_t most);

#endif
