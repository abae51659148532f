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

enum {
    RECORD_HEADER = 5,
    RECORD_CHANGE_CIPHER_SPEC = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_MOST = 16384,     /* RFC 8446 section 5.1 */
    NEWEST_VERSION = 0x0304, /* the library takes no newer one, and looks no closer at older ones */
    ALERT_WARNING = 1,
    ALERT_FATAL = 2,
    ALERT_CLOSE_NOTIFY = 0,
    ALERT_NO_RENEGOTIATION = 100,
    MESSAGE_HEADER = 4,
    MESSAGE_CLIENT_HELLO = 1,
    EXTENSION_SERVER_NAME = 0,
};

/* The bytes of the message, one after the other, across its records. */
struct reader {
    const unsigned char *bytes;
    size_t left;                  /* of the input */
    size_t record;                /* left of this record, which may be more */
    bool is_begun;                /* a byte of the message was there */
    enum hello_progress progress; /* HELLO_WHOLE as long as there were enough bytes */
};

static struct reader reader_of(struct span input)
{
    return (struct reader){(const unsigned char *)input.data, input.len, 0, false, HELLO_WHOLE};
}

/* Before the ClientHello the library ignores these whole records. */
static bool is_ignored(unsigned type, const unsigned char *bytes, size_t len)
{
    if (type == RECORD_CHANGE_CIPHER_SPEC)
        return len == 1 && bytes[0] == 1;
    if (type != RECORD_ALERT || len != 2 || bytes[0] == ALERT_FATAL)
        return false;
    return bytes[0] != ALERT_WARNING ||
           (bytes[1] != ALERT_CLOSE_NOTIFY && bytes[1] != ALERT_NO_RENEGOTIATION);
}

static void begin_record(struct reader *reader)
{
    const unsigned char *header = reader->bytes;
    if (reader->left < RECORD_HEADER) {
        reader->progress = HELLO_PARTIAL;
        return;
    }
    unsigned type = header[0];
    size_t len = (size_t)header[3] << 8 | header[4];
    reader->bytes += RECORD_HEADER;
    reader->left -= RECORD_HEADER;
    bool is_sound = type >= RECORD_CHANGE_CIPHER_SPEC && type <= RECORD_HANDSHAKE && len > 0 &&
                    len <= RECORD_MOST && (header[1] << 8 | header[2]) <= NEWEST_VERSION;
    if (is_sound && type == RECORD_HANDSHAKE) {
        reader->record = len;
    } else if (is_sound && reader->left < len) {
        reader->progress = HELLO_PARTIAL;
    } else if (is_sound && !reader->is_begun && is_ignored(type, reader->bytes, len)) {
        reader->bytes += len;
        reader->left -= len;
    } else {
        reader->progress = HELLO_OTHER;
    }
}

/* Whether there is a byte of the message at which the reader stands now. */
static bool find_byte(struct reader *reader)
{
    while (reader->record == 0 && reader->progress == HELLO_WHOLE)
        begin_record(reader);
    if (reader->left == 0 && reader->progress == HELLO_WHOLE)
        reader->progress = HELLO_PARTIAL;
    return reader->progress == HELLO_WHOLE;
}

static void skip(struct reader *reader, size_t len)
{
    while (len > 0 && find_byte(reader)) {
        size_t step = reader->record < reader->left ? reader->record : reader->left;
        step = len < step ? len : step;
        reader->is_begun = true;
        reader->bytes += step;
        reader->left -= step;
        reader->record -= step;
        len -= step;
    }
}

/* 0 when it is not there. */
static size_t next_number(struct reader *reader, int len)
{
    size_t number = 0;
    for (int i = 0; i < len && find_byte(reader); i++) {
        number = number << 8 | *reader->bytes;
        skip(reader, 1);
    }
    return reader->progress == HELLO_WHOLE ? number : 0;
}

/* A message of another kind is seen by the library when its first record is there; one that claims to
 * be too long is waited for until there are too many bytes. */
enum hello_progress hello_look(struct span input, size_t *ret_len)
{
    struct reader reader = reader_of(input);
    if (find_byte(&reader) && *reader.bytes != MESSAGE_CLIENT_HELLO) {
        reader.progress = reader.left < reader.record ? HELLO_PARTIAL : HELLO_OTHER;
    } else {
        skip(&reader, 1);
        size_t len = next_number(&reader, 3);
        if (reader.progress == HELLO_WHOLE)
            *ret_len = MESSAGE_HEADER + len;
        skip(&reader, MESSAGE_HEADER + len <= LIMIT_CLIENT_HELLO ? len : SIZE_MAX);
    }
    return reader.progress == HELLO_PARTIAL && input.len >= LIMIT_CLIENT_HELLO_RECORDS
               ? HELLO_OTHER
               : reader.progress;
}

size_t hello_server_name(struct span input, char *name, size_t size)
{
    struct reader reader = reader_of(input);

    skip(&reader, MESSAGE_HEADER + 2 + 32); /* version and random */
    skip(&reader, next_number(&reader, 1)); /* session */
    skip(&reader, next_number(&reader, 2)); /* cipher suites */
    skip(&reader, next_number(&reader, 1)); /* compression */
    (void)next_number(&reader, 2);          /* length of all extensions */
    while (reader.progress == HELLO_WHOLE) {
        size_t type = next_number(&reader, 2), len = next_number(&reader, 2);
        if (type != EXTENSION_SERVER_NAME) {
            skip(&reader, len);
            continue;
        }
        (void)next_number(&reader, 2); /* length of the list, of which the first entry counts */
        size_t kind = next_number(&reader, 1), name_len = next_number(&reader, 2);
        if (kind != 0 || name_len > len)
            return 0;
        for (size_t i = 0; i < name_len && i < size; i++)
            name[i] = (char)next_number(&reader, 1);
        return reader.progress != HELLO_WHOLE ? 0 : name_len < size ? name_len : size;
    }
    return 0;
}
