#include "serve/wire.h"

#include <stdbool.h>

#include "base/limits.h"

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

static bool is_sound(const struct record *record, unsigned version)
{
    return record->type >= RECORD_CHANGE_CIPHER_SPEC && record->type <= RECORD_HANDSHAKE &&
           version <= NEWEST_VERSION && record->len > 0 && record->len <= RECORD_MOST;
}

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
        if (!is_sound(&record, (unsigned)bytes[1] << 8 | bytes[2]))
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
