#include "serve/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    /* What a client sends at once: a ClientHello, or its last words of the handshake and the
     * request. Bytes. */
    RECEIVE_SIZE = 4096,
    /* The longest flight of a server: a chain of LIMIT_CHAIN_BYTES and the messages around it. */
    SEND_SIZE = 16 * 1024,
};

struct wire wire_of(int fd)
{
    return (struct wire){.fd = fd};
}

static size_t buffered(const struct wire_buffer *buffer)
{
    return buffer->end - buffer->begin;
}

static bool buffer_open(struct wire_buffer *buffer, size_t size)
{
    if (buffer->bytes == NULL)
        buffer->bytes = malloc(size);
    return buffer->bytes != NULL;
}

static void buffer_close(struct wire_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct wire_buffer){0};
}

/* So many bytes at its beginning are done with. */
static void buffer_consume(struct wire_buffer *buffer, size_t len)
{
    assert(len <= buffered(buffer));
    buffer->begin += len;
    if (buffer->begin == buffer->end)
        buffer_close(buffer);
}

void wire_free(struct wire *wire)
{
    buffer_close(&wire->in);
    buffer_close(&wire->out);
}

void wire_allow(struct wire *wire, size_t receivable)
{
    wire->receivable = receivable;
}

bool wire_has_unsent(const struct wire *wire)
{
    return wire->out.bytes != NULL;
}

bool wire_flush(struct wire *wire)
{
    while (wire_has_unsent(wire)) {
        ssize_t sent =
            send(wire->fd, wire->out.bytes + wire->out.begin, buffered(&wire->out), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        buffer_consume(&wire->out, (size_t)sent);
    }
    return true;
}

/* A place to put bytes where the buffer ends: what was sent is given up, and when that is not
 * enough, more is sent. */
static bool make_room(struct wire *wire, size_t len)
{
    struct wire_buffer *out = &wire->out;
    if (SEND_SIZE - out->end < len && !wire_flush(wire) && errno != EAGAIN)
        return false;
    if (!buffer_open(out, SEND_SIZE))
        return false;
    if (SEND_SIZE - out->end < len && out->begin > 0) {
        memmove(out->bytes, out->bytes + out->begin, buffered(out));
        out->end = buffered(out);
        out->begin = 0;
    }
    errno = EAGAIN;
    return out->end < SEND_SIZE;
}

ssize_t wire_send(struct wire *wire, const unsigned char *data, size_t len)
{
    struct wire_buffer *out = &wire->out;
    assert(len > 0);
    if (!make_room(wire, len))
        return -1;
    size_t taken = len < SEND_SIZE - out->end ? len : SEND_SIZE - out->end;
    memcpy(out->bytes + out->end, data, taken);
    out->end += taken;
    return (ssize_t)taken;
}

/* Fills the empty buffer from the kernel. */
static ssize_t fill(struct wire *wire)
{
    size_t size = wire->receivable < RECEIVE_SIZE ? wire->receivable : RECEIVE_SIZE;
    bool is_empty = wire->is_empty;

    wire->is_empty = false;
    if (is_empty || size == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (!buffer_open(&wire->in, size))
        return -1;
    ssize_t got = recv(wire->fd, wire->in.bytes, size, 0);
    if (got <= 0) {
        int reason = errno;
        buffer_close(&wire->in);
        errno = reason;
        return got;
    }
    wire->in.end = (size_t)got;
    wire->receivable -= (size_t)got;
    wire->is_empty = (size_t)got < size;
    return got;
}

ssize_t wire_receive(struct wire *wire, unsigned char *buf, size_t size)
{
    if (wire->in.bytes == NULL) {
        if (!wire_flush(wire))
            return -1;
        ssize_t got = fill(wire);
        if (got <= 0)
            return got;
    }
    size_t len = size < buffered(&wire->in) ? size : buffered(&wire->in);
    memcpy(buf, wire->in.bytes + wire->in.begin, len);
    buffer_consume(&wire->in, len);
    return (ssize_t)len;
}
