/*
 * One TCP connection that is never waited for longer than a deadline allows.
 * It knows bytes only. Runs in a child of the probe, and in the health check.
 */
#ifndef PROBE_STREAM_H
#define PROBE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"

/* What the server said first: enough to tell TLS from other protocols, and an alert. */
enum { STREAM_OPENING = 64 };

struct stream {
    int fd;              /* owned; -1 when it is closed */
    int64_t deadline_us; /* of the clock that never jumps */
    int error;           /* errno of what failed last; ETIMEDOUT when the deadline had passed */
    size_t opening_len;
    char opening[STREAM_OPENING]; /* the first bytes that came */
};

/* Connects. False with the reason in stream->error. End with stream_close in any case. */
bool stream_open(struct stream *stream, const struct sockaddr *address, socklen_t len,
                 int64_t deadline_us);
void stream_close(struct stream *stream);

/* Waits for at least one byte, or for room for one. Returns how many bytes were moved, 0 at
 * the end of the stream (reading only), or -1 with the reason in stream->error. */
ssize_t stream_read(struct stream *stream, void *buf, size_t size);
ssize_t stream_write(struct stream *stream, const void *data, size_t len);

/* The first bytes that the server sent; borrowed. */
struct span stream_opening(const struct stream *stream);

#endif
