/*
 * A client's socket with a buffer for each direction: what the TLS library
 * writes record by record leaves in one piece, and what it reads bit by bit
 * comes from the kernel in one. A buffer exists only while there is something
 * in it. It borrows the socket and never waits. Runs in the worker.
 */
#ifndef SERVE_WIRE_H
#define SERVE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct wire_buffer {
    unsigned char *bytes; /* owned; NULL when there is nothing in it */
    size_t begin;
    size_t end;
};

struct wire {
    int fd;            /* borrowed */
    bool is_empty;     /* the kernel gave less than it was asked for: it has no more */
    size_t receivable; /* bytes that may still be taken from the kernel */
    struct wire_buffer in;
    struct wire_buffer out;
};

/* A connected, non-blocking socket, which is borrowed until wire_free. */
struct wire wire_of(int fd);

/* Drops what is in the buffers. */
void wire_free(struct wire *wire);

/* At least one byte, at most size: their number; 0 at the end of the stream; -1
 * with errno, EAGAIN when there is nothing. Before it asks the kernel it flushes,
 * and while that cannot be done it has nothing either (wire_has_unsent). The
 * kernel is asked for as many bytes as wire_allow said, and not again after it
 * gave less than it could: then EAGAIN comes once, and whoever waits for the
 * socket misses nothing. */
ssize_t wire_receive(struct wire *wire, unsigned char *buf, size_t size);

/* From now on so many bytes may be taken from the kernel. */
void wire_allow(struct wire *wire, size_t receivable);

/* Takes at least one byte, at most len: their number; -1 with errno, EAGAIN when
 * the buffer is full and the socket too. What it took is sent by wire_flush at
 * the latest. */
ssize_t wire_send(struct wire *wire, const unsigned char *data, size_t len);

/* Sends what is left. False, with errno, when that cannot be done; EAGAIN: the
 * rest goes when the socket can be written. */
bool wire_flush(struct wire *wire);

bool wire_has_unsent(const struct wire *wire);

#endif
