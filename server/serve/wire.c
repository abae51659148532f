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

/* What the records had of the message until now. */
struct message {
    unsigned char header[MESSAGE_HEADER];
    size_t len; /* bytes of it that are there */
};

struct record {
    unsigned char type;
    size_t len;
    const unsigned char *bytes;
    size_t here; /* of its bytes */
};

/* Before the ClientHello the library ignores these whole records. */
static bool is_ignored(const struct record *record)
{
    if (record->type == RECORD_CHANGE_CIPHER_SPEC)
        return record->len == 1 && record->bytes[0] == 1;
    if (record->type != RECORD_ALERT || record->len != 2 || record->bytes[0] == ALERT_FATAL)
        return false;
    return record->bytes[0] != ALERT_WARNING ||
           (record->bytes[1] != ALERT_CLOSE_NOTIFY && record->bytes[1] != ALERT_NO_RENEGOTIATION);
}

/* A message of another kind is seen by the library when its first record is there; one that claims to
 * be too long is waited for until there are too many bytes. */
static enum hello_progress look_at_message(const struct message *message,
                                           const struct record *record, size_t *ret_len)
{
    const unsigned char *header = message->header;
    if (message->len >= 1 && header[0] != MESSAGE_CLIENT_HELLO)
        return record->here == record->len ? HELLO_OTHER : HELLO_PARTIAL;
    if (message->len < MESSAGE_HEADER)
        return HELLO_PARTIAL;
    *ret_len =
        MESSAGE_HEADER + ((size_t)header[1] << 16 | (size_t)header[2] << 8 | (size_t)header[3]);
    return *ret_len <= LIMIT_CLIENT_HELLO && message->len >= *ret_len ? HELLO_WHOLE : HELLO_PARTIAL;
}

enum hello_progress hello_look(struct span input, size_t *ret_len)
{
    const unsigned char *bytes = (const unsigned char *)input.data;
    struct message message = {0};

    for (size_t left = input.len; left >= RECORD_HEADER;) {
        struct record record = {
            .type = bytes[0],
            .len = (size_t)bytes[3] << 8 | bytes[4],
            .bytes = bytes + RECORD_HEADER,
        };
        record.here = left - RECORD_HEADER < record.len ? left - RECORD_HEADER : record.len;
        if (record.type < RECORD_CHANGE_CIPHER_SPEC || record.type > RECORD_HANDSHAKE ||
            (bytes[1] << 8 | bytes[2]) > NEWEST_VERSION || record.len == 0 ||
            record.len > RECORD_MOST)
            return HELLO_OTHER;
        if (record.type == RECORD_HANDSHAKE) {
            for (size_t i = 0; i < record.here && message.len + i < MESSAGE_HEADER; i++)
                message.header[message.len + i] = record.bytes[i];
            message.len += record.here;
            enum hello_progress progress = look_at_message(&message, &record, ret_len);
            if (progress != HELLO_PARTIAL)
                return progress;
        } else if (record.here == record.len && (message.len > 0 || !is_ignored(&record))) {
            return HELLO_OTHER;
        }
        bytes += RECORD_HEADER + record.here;
        left -= RECORD_HEADER + record.here;
    }
    return input.len < LIMIT_CLIENT_HELLO_RECORDS ? HELLO_PARTIAL : HELLO_OTHER;
}

/* The bytes of the message, one after the other, across its records. */
struct reader {
    const unsigned char *bytes;
    size_t left;   /* of the input */
    size_t record; /* left of this record */
    bool failed;   /* there were not enough */
};

static unsigned next_byte(struct reader *reader)
{
    while (reader->record == 0 && reader->left >= RECORD_HEADER) {
        size_t len = (size_t)reader->bytes[3] << 8 | reader->bytes[4];
        size_t skipped = reader->bytes[0] == RECORD_HANDSHAKE ? 0 : len;
        reader->record = len - skipped;
        if (skipped > reader->left - RECORD_HEADER)
            skipped = reader->left - RECORD_HEADER;
        reader->bytes += RECORD_HEADER + skipped;
        reader->left -= RECORD_HEADER + skipped;
    }
    if (reader->record == 0 || reader->left == 0) {
        reader->failed = true;
        return 0;
    }
    reader->record--;
    reader->left--;
    return *reader->bytes++;
}

static size_t next_number(struct reader *reader, int len)
{
    size_t number = 0;
    for (int i = 0; i < len; i++)
        number = number << 8 | next_byte(reader);
    return number;
}

static void skip(struct reader *reader, size_t len)
{
    for (size_t i = 0; i < len && !reader->failed; i++)
        (void)next_byte(reader);
}

size_t hello_server_name(struct span input, char *name, size_t size)
{
    struct reader reader = {.bytes = (const unsigned char *)input.data, .left = input.len};

    skip(&reader, MESSAGE_HEADER + 2 + 32); /* version and random */
    skip(&reader, next_number(&reader, 1)); /* session */
    skip(&reader, next_number(&reader, 2)); /* cipher suites */
    skip(&reader, next_number(&reader, 1)); /* compression */
    (void)next_number(&reader, 2);          /* length of all extensions */
    while (!reader.failed) {
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
            name[i] = (char)next_byte(&reader);
        return reader.failed ? 0 : name_len < size ? name_len : size;
    }
    return 0;
}
