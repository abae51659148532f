#include "serve/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct wire_saved {
    size_t in_len;
    size_t out_len;
    unsigned char bytes[]; /* both, one behind the other */
};

static size_t range_len(const struct wire_range *range)
{
    return range->end - range->begin;
}

/* So many bytes at its beginning are done with. */
static void range_consume(struct wire_range *range, size_t len)
{
    assert(len <= range_len(range));
    range->begin += len;
    if (range->begin == range->end)
        *range = (struct wire_range){0};
}

/* Makes the buffers those of this wire, and puts its saved bytes back. */
static struct wire_buffers *buffers_of(struct wire *wire)
{
    struct wire_buffers *buffers = wire->buffers;
    struct wire_saved *saved = wire->saved;
    assert(buffers->user == NULL || buffers->user == wire);
    buffers->user = wire;
    if (saved == NULL)
        return buffers;
    assert(range_len(&buffers->in) == 0 && range_len(&buffers->out) == 0);
    memcpy(buffers->in_bytes, saved->bytes, saved->in_len);
    memcpy(buffers->out_bytes, saved->bytes + saved->in_len, saved->out_len);
    buffers->in.end = saved->in_len;
    buffers->out.end = saved->out_len;
    free(saved);
    wire->saved = NULL;
    return buffers;
}

static void clear(struct wire_buffers *buffers)
{
    buffers->in = buffers->out = (struct wire_range){0};
    buffers->user = NULL;
}

bool wire_save(struct wire *wire)
{
    struct wire_buffers *buffers = wire->buffers;
    size_t in_len = range_len(&buffers->in), out_len = range_len(&buffers->out);
    if (buffers->user != wire)
        return true;
    buffers->user = NULL;
    if (in_len + out_len == 0)
        return true;
    struct wire_saved *saved = malloc(sizeof(*saved) + in_len + out_len);
    if (saved != NULL) {
        saved->in_len = in_len;
        saved->out_len = out_len;
        memcpy(saved->bytes, buffers->in_bytes + buffers->in.begin, in_len);
        memcpy(saved->bytes + in_len, buffers->out_bytes + buffers->out.begin, out_len);
    }
    wire->saved = saved;
    clear(buffers);
    return saved != NULL;
}

void wire_free(struct wire *wire)
{
    if (wire->buffers != NULL && wire->buffers->user == wire)
        clear(wire->buffers);
    free(wire->saved);
    wire->saved = NULL;
}

bool wire_has_unsent(struct wire *wire)
{
    return range_len(&buffers_of(wire)->out) > 0;
}

bool wire_flush(struct wire *wire)
{
    struct wire_buffers *buffers = buffers_of(wire);
    int flags = MSG_NOSIGNAL | (wire->is_ending ? MSG_MORE : 0);
    while (range_len(&buffers->out) > 0) {
        ssize_t sent = send(wire->fd, buffers->out_bytes + buffers->out.begin,
                            range_len(&buffers->out), flags);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        range_consume(&buffers->out, (size_t)sent);
    }
    return true;
}

/* Room at the end of the outgoing bytes: when what is there is not enough, some are sent. */
static size_t room_to_send(struct wire *wire, size_t len)
{
    struct wire_buffers *buffers = buffers_of(wire);
    if (sizeof(buffers->out_bytes) - buffers->out.end >= len)
        return len;
    if (!wire_flush(wire) && errno != EAGAIN)
        return 0;
    memmove(buffers->out_bytes, buffers->out_bytes + buffers->out.begin, range_len(&buffers->out));
    buffers->out = (struct wire_range){0, range_len(&buffers->out)};
    size_t room = sizeof(buffers->out_bytes) - buffers->out.end;
    errno = EAGAIN;
    return room < len ? room : len;
}

ssize_t wire_send(struct wire *wire, const unsigned char *data, size_t len)
{
    assert(len > 0);
    struct wire_buffers *buffers = wire->buffers;
    size_t taken = room_to_send(wire, len);
    if (taken == 0)
        return -1;
    memcpy(buffers->out_bytes + buffers->out.end, data, taken);
    buffers->out.end += taken;
    return (ssize_t)taken;
}

/* Asks the kernel, unless it would have nothing or this wire has had enough. What comes lies behind
 * what is there. */
static ssize_t fill(struct wire *wire)
{
    struct wire_buffers *buffers = wire->buffers;
    size_t size = sizeof(buffers->in_bytes) - buffers->in.end;
    bool is_dry = wire->is_dry;

    if (size > wire->receivable)
        size = wire->receivable;
    wire->is_dry = false;
    errno = EAGAIN;
    if (is_dry || size == 0)
        return -1;
    ssize_t got = recv(wire->fd, buffers->in_bytes + buffers->in.end, size, 0);
    if (got <= 0)
        return got;
    buffers->in.end += (size_t)got;
    wire->receivable -= (size_t)got;
    wire->is_dry = (size_t)got < size;
    return got;
}

ssize_t wire_gather(struct wire *wire)
{
    struct wire_buffers *buffers = buffers_of(wire);
    if (buffers->in.end == sizeof(buffers->in_bytes)) {
        errno = ENOBUFS;
        return -1;
    }
    return fill(wire);
}

struct span wire_unread(struct wire *wire)
{
    const struct wire_buffers *buffers = buffers_of(wire);
    return (struct span){(const char *)buffers->in_bytes + buffers->in.begin,
                         range_len(&buffers->in)};
}

bool wire_is_reset(const struct wire *wire)
{
    char byte;
    return recv(wire->fd, &byte, 1, MSG_PEEK) < 0 && errno != EAGAIN && errno != EINTR;
}

ssize_t wire_receive(struct wire *wire, unsigned char *buf, size_t size)
{
    struct wire_buffers *buffers = buffers_of(wire);
    if (range_len(&buffers->in) == 0) {
        if (!wire_flush(wire))
            return -1;
        ssize_t got = fill(wire);
        if (got <= 0)
            return got;
    }
    size_t len = size < range_len(&buffers->in) ? size : range_len(&buffers->in);
    memcpy(buf, buffers->in_bytes + buffers->in.begin, len);
    range_consume(&buffers->in, len);
    return (ssize_t)len;
}
