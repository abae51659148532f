/*
 * A client's socket with buffers: what the TLS library writes record by record
 * leaves in one piece, and what it reads bit by bit comes from the kernel in one.
 * All connections of a worker use the same buffers, one after the other, so that
 * a connection that waits needs none; bytes that it has not handled are saved.
 * Borrows the socket and never waits. It also tells whether a client's first message, the ClientHello, is
 * there as a whole, so that nothing costly is begun for less: it looks at the headers of records (RFC
 * 8446 section 5.1) and of the message, and leaves what is in it, and every alert, to the TLS library.
 * Runs in the worker.
 */
#ifndef SERVE_WIRE_H
#define SERVE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/limits.h"
#include "base/span.h"

/* Begin with {0}. */
struct wire_buffers {
    struct wire *user; /* borrowed; whose bytes lie here, or NULL */
    struct wire_range {
        size_t begin;
        size_t end;
    } in, out;
    /* What a client sends at once: a ClientHello with the headers of its records, or its last words
     * of the handshake and the request. */
    unsigned char in_bytes[LIMIT_CLIENT_HELLO_RECORDS];
    /* The longest flight of a server: a chain of LIMIT_CHAIN_BYTES and the messages around it. */
    unsigned char out_bytes[16 * 1024];
};

/* Begin with a connected, non-blocking socket, the worker's buffers and zeros. */
struct wire {
    int fd;                       /* borrowed */
    struct wire_buffers *buffers; /* borrowed */
    struct wire_saved *saved;     /* owned; what wire_save has copied from the buffers, or NULL */
    bool is_dry;                  /* the kernel gave less than it was asked for: it has no more */
    bool is_ending;    /* shutdown follows: the last bytes leave with the end of the stream */
    size_t receivable; /* bytes that may still be taken from the kernel */
};

/* Drops what was not sent and not read. */
void wire_free(struct wire *wire);

/* Every function below uses the buffers, which are this wire's from then on. Call
 * this before another wire uses them: it saves the bytes that are neither sent nor
 * read. False: out of memory; the wire is unusable. */
bool wire_save(struct wire *wire);

/* At least one byte, at most size: their number; 0 at the end of the stream; -1
 * with errno, EAGAIN when there is nothing. Before it asks the kernel it flushes,
 * and while that cannot be done it has nothing either (wire_has_unsent). The
 * kernel is asked for as many bytes as are receivable, and not again after it
 * gave less than it could: then EAGAIN comes once, and whoever waits for the
 * socket misses nothing. */
ssize_t wire_receive(struct wire *wire, unsigned char *buf, size_t size);

/* Takes more from the kernel behind what wire_receive has not given out, which it leaves there: the
 * number of bytes as wire_receive says it; -1 with ENOBUFS when the buffer is full. */
ssize_t wire_gather(struct wire *wire);

/* What came from the kernel and was not given out, which wire_receive does at once; borrowed until the
 * next call. */
struct span wire_unread(struct wire *wire);

/* The client has reset the connection, as far as the kernel knows by now; nothing is read. */
bool wire_is_reset(const struct wire *wire);

/* Takes at least one byte, at most len: their number; -1 with errno, EAGAIN when
 * the buffer and the socket are full. What it took is sent by wire_flush at the
 * latest. */
ssize_t wire_send(struct wire *wire, const unsigned char *data, size_t len);

/* Sends what is left. False, with errno, when that cannot be done; EAGAIN: the
 * rest goes when the socket can be written. */
bool wire_flush(struct wire *wire);

bool wire_has_unsent(struct wire *wire);

enum hello_progress {
    HELLO_PARTIAL, /* sound so far, not yet whole */
    HELLO_WHOLE,   /* ret_len is set */
    HELLO_OTHER,   /* this is no ClientHello, or one that is too long: no more bytes make it one */
};

/* Looks at everything that a client has sent. *ret_len is the length of the message with its header,
 * at most LIMIT_CLIENT_HELLO. */
enum hello_progress hello_look(struct span input, size_t *ret_len);

/* The name that the whole ClientHello at the beginning of the input asks for (SNI, RFC 6066 section 3),
 * as it was sent: at most size bytes of it are copied. Returns its length; 0 when there is none. */
size_t hello_server_name(struct span input, char *name, size_t size);

#endif
