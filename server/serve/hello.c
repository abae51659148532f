#include "serve/hello.h"

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
    ALERT_CLOSE_NOTIFY = 0,
    ALERT_NO_RENEGOTIATION = 100,
    MESSAGE_HEADER = 4,
    MESSAGE_CLIENT_HELLO = 1,
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

/* Before the ClientHello the library ignores these. */
static bool is_ignored(const struct record *record)
{
    if (record->type == RECORD_CHANGE_CIPHER_SPEC)
        return record->len == 1 && (record->here == 0 || record->bytes[0] == 1);
    return record->type == RECORD_ALERT && record->len == 2 &&
           (record->here == 0 || record->bytes[0] == ALERT_WARNING) &&
           (record->here < 2 ||
            (record->bytes[1] != ALERT_CLOSE_NOTIFY && record->bytes[1] != ALERT_NO_RENEGOTIATION));
}

static void add(struct message *message, const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len && message->len + i < MESSAGE_HEADER; i++)
        message->header[message->len + i] = bytes[i];
    message->len += len;
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
            add(&message, record.bytes, record.here);
            enum hello_progress progress = look_at_message(&message, &record, ret_len);
            if (progress != HELLO_PARTIAL)
                return progress;
        } else if (message.len > 0 || !is_ignored(&record))
            return HELLO_OTHER;
        bytes += RECORD_HEADER + record.here;
        left -= RECORD_HEADER + record.here;
    }
    return input.len < LIMIT_CLIENT_HELLO_RECORDS ? HELLO_PARTIAL : HELLO_OTHER;
}
