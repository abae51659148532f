#include "probe/fetch.h"

/* What a size in a chunk can have at most: more digits would not fit 64 bits. */
enum { SIZE_DIGITS = 15, EXTENSION_MOST = 1024, TRAILER_MOST = 8192 };

void answer_begin(struct answer *answer)
{
    *answer = (struct answer){.place = ANSWER_HEAD};
}

static enum answer_progress broken(struct answer *answer, const char *fault)
{
    answer->fault = fault;
    answer->place = ANSWER_FINISHED;
    return ANSWER_BROKEN;
}

static enum answer_progress finish(struct answer *answer)
{
    answer->place = ANSWER_FINISHED;
    return ANSWER_WHOLE;
}

/* "HTTP/1.1 200 OK"; the words behind the number may be missing. */
static const char *read_status(struct answer *answer, struct span line)
{
    if (line.len < 12 || memcmp(line.data, "HTTP/1.", 7) != 0 || !ascii_is_digit(line.data[7]) ||
        line.data[8] != ' ' || (line.len > 12 && line.data[12] != ' '))
        return "does not begin with the status line of HTTP/1.1";
    uint64_t status = 0;
    if (!span_number((struct span){line.data + 9, 3}, 999, &status))
        return "has a status that is not a number";
    if (status < 100)
        return "has a status below 100";
    answer->status = (unsigned)status;
    return NULL;
}

static const char *read_length(struct answer *answer, struct span value)
{
    uint64_t length = 0;
    if (!span_number(value, INT64_MAX, &length))
        return "has a Content-Length that is no size";
    if (answer->has_length && answer->left != length)
        return "has two values of Content-Length";
    answer->has_length = true;
    answer->left = length;
    return NULL;
}

static const char *read_coding(struct answer *answer, struct span value)
{
    if (answer->is_chunked || !span_equal_fold(value, span_of("chunked")))
        return "has a Transfer-Encoding other than chunked";
    answer->is_chunked = true;
    return NULL;
}

static const struct {
    const char *name;
    const char *(*read)(struct answer *answer, struct span value); /* NULL: it is kept */
    size_t place; /* where in the answer; the first of several counts, as with most readers */
} headers[] = {
    {"Content-Length", read_length, 0},
    {"Transfer-Encoding", read_coding, 0},
    {"Content-Type", NULL, offsetof(struct answer, content_type)},
    {"Content-Encoding", NULL, offsetof(struct answer, content_encoding)},
    {"Location", NULL, offsetof(struct answer, location)},
};

static const char *read_header(struct answer *answer, struct span line)
{
    struct span name, value = line;
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return "has a header that is folded over two lines";
    if (!span_take(&value, ':', &name))
        return "has a header line without a colon";
    if (!span_is_word(name, "!#$%&'*+-.^_`|~")) /* RFC 9110 section 5.6.2 */
        return "has a header with an invalid name";
    value = span_trim(value);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct span *place = (struct span *)((char *)answer + headers[i].place);
        if (!span_equal_fold(name, span_of(headers[i].name)))
            continue;
        if (headers[i].read != NULL)
            return headers[i].read(answer, value);
        if (place->data == NULL)
            *place = value;
    }
    return NULL;
}

/* A line without its CRLF off the head, whose last line is empty. */
static const char *take_line(struct span *rest, struct span *ret_line)
{
    for (size_t i = 0; i < rest->len; i++) {
        unsigned char byte = (unsigned char)rest->data[i];
        if (byte == '\r' && i + 1 < rest->len && rest->data[i + 1] == '\n') {
            *ret_line = (struct span){rest->data, i};
            *rest = span_skip(*rest, i + 2);
            return NULL;
        }
        if (byte == '\n')
            return "has a header line that ends with LF instead of CRLF";
        if ((byte < ' ' && byte != '\t') || byte == 0x7f)
            return "has a control character in its head";
    }
    return "has a head without an end"; /* not reached: the head ends with an empty line */
}

static const char *read_head(struct answer *answer)
{
    struct span rest = {answer->head, answer->head_len};
    struct span line;
    const char *fault = take_line(&rest, &line);
    if (fault == NULL)
        fault = read_status(answer, line);
    while (fault == NULL && rest.len > 0) {
        fault = take_line(&rest, &line);
        if (fault == NULL && line.len > 0)
            fault = read_header(answer, line);
    }
    if (fault == NULL && answer->is_chunked && answer->has_length)
        return "has both Content-Length and Transfer-Encoding"; /* llhttp, of many senders, minds */
    return fault;
}

/* The head is there: what follows it (RFC 9112 section 6.3). */
static enum answer_progress begin_body(struct answer *answer)
{
    const char *fault = read_head(answer);
    if (fault != NULL)
        return broken(answer, fault);
    if (answer->status < 200) { /* an interim response: the real one follows */
        answer_begin(answer);
        return ANSWER_MORE;
    }
    if (answer->status == 204 || answer->status == 304)
        return finish(answer);
    if (answer->is_chunked) {
        answer->place = ANSWER_CHUNK_SIZE;
        answer->left = 0;
    } else if (answer->has_length) {
        answer->place = ANSWER_COUNTED;
        if (answer->left == 0)
            return finish(answer);
    } else {
        answer->place = ANSWER_UNCOUNTED;
    }
    return ANSWER_MORE;
}

/* One byte of the head. It ends with an empty line, also when lines end otherwise than they should:
 * waiting for the right end would tell the operator of a time-out. */
static enum answer_progress take_head(struct answer *answer, char byte)
{
    if (answer->head_len == sizeof(answer->head))
        return broken(answer, "has a head of more than 16 KB");
    answer->head[answer->head_len++] = byte;
    struct span head = {answer->head, answer->head_len};
    if (head.len <= 5 && memcmp(head.data, "HTTP/", head.len) != 0)
        return broken(answer, "does not begin with the status line of HTTP/1.1");
    if (byte != '\n' || head.len < 4)
        return ANSWER_MORE;
    char before = head.data[head.len - 2];
    if (before != '\n' && !(before == '\r' && head.data[head.len - 3] == '\n'))
        return ANSWER_MORE;
    return begin_body(answer);
}

/* As many bytes of the body as belong there and are wanted. Returns how many of the bytes it took. */
static size_t take_body(struct answer *answer, struct span bytes)
{
    size_t len = bytes.len;
    if (answer->place != ANSWER_UNCOUNTED && answer->left < len)
        len = (size_t)answer->left;
    size_t room = sizeof(answer->body) - answer->body_len;
    size_t kept = len < room ? len : room;
    memcpy(answer->body + answer->body_len, bytes.data, kept);
    answer->body_len += kept;
    answer->is_cut = kept < len;
    if (answer->place != ANSWER_UNCOUNTED)
        answer->left -= len;
    return len;
}

static enum answer_progress take_chunk_size(struct answer *answer, char byte)
{
    int value = ascii_hex_value(byte);
    if (value >= 0 && answer->count < SIZE_DIGITS) {
        answer->count++;
        answer->left = answer->left * 16 + (unsigned)value;
        return ANSWER_MORE;
    }
    if (answer->count == 0 || value >= 0)
        return broken(answer, "has a chunk without a size");
    answer->count = 0;
    if (byte == '\r')
        answer->place = ANSWER_CHUNK_SIZE_LF;
    else if (byte == ';') /* llhttp minds space before it */
        answer->place = ANSWER_CHUNK_EXTENSION;
    else
        return broken(answer, "has a chunk with a malformed size");
    return ANSWER_MORE;
}

/* A byte between the data of chunks and behind the last. */
static enum answer_progress take_frame(struct answer *answer, char byte)
{
    bool is_lf = byte == '\n';
    switch (answer->place) {
    case ANSWER_CHUNK_SIZE:
        return take_chunk_size(answer, byte);
    case ANSWER_CHUNK_EXTENSION:
        if (is_lf || ++answer->count > EXTENSION_MOST)
            return broken(answer, "has a chunk with a malformed extension");
        if (byte == '\r')
            answer->place = ANSWER_CHUNK_SIZE_LF;
        return ANSWER_MORE;
    case ANSWER_CHUNK_SIZE_LF:
        answer->count = 0;
        answer->place = answer->left > 0 ? ANSWER_CHUNK_DATA : ANSWER_TRAILER;
        return is_lf ? ANSWER_MORE : broken(answer, "has a chunk with a malformed size");
    case ANSWER_CHUNK_CR:
        answer->place = ANSWER_CHUNK_LF;
        return byte == '\r' ? ANSWER_MORE
                            : broken(answer, "has a chunk that is longer than it says");
    case ANSWER_CHUNK_LF:
        answer->place = ANSWER_CHUNK_SIZE;
        return is_lf ? ANSWER_MORE : broken(answer, "has a chunk that is longer than it says");
    case ANSWER_TRAILER:
        answer->place = byte == '\r' ? ANSWER_TRAILER_LF : ANSWER_TRAILER_LINE;
        return is_lf ? broken(answer, "has a malformed trailer") : ANSWER_MORE;
    case ANSWER_TRAILER_LINE:
        if (++answer->count > TRAILER_MOST)
            return broken(answer, "has a malformed trailer");
        if (is_lf)
            answer->place = ANSWER_TRAILER;
        return ANSWER_MORE;
    case ANSWER_TRAILER_LF:
        return is_lf ? finish(answer) : broken(answer, "has a malformed trailer");
    case ANSWER_HEAD:
    case ANSWER_COUNTED:
    case ANSWER_UNCOUNTED:
    case ANSWER_CHUNK_DATA:
    case ANSWER_FINISHED:
        break;
    }
    return broken(answer, "continues after its end");
}

enum answer_progress answer_feed(struct answer *answer, struct span bytes)
{
    enum answer_progress progress = ANSWER_MORE;
    while (bytes.len > 0 && progress == ANSWER_MORE) {
        size_t len = 1;
        enum answer_place place = answer->place;
        if (place == ANSWER_FINISHED)
            return ANSWER_WHOLE;
        if (place == ANSWER_HEAD) {
            progress = take_head(answer, bytes.data[0]);
        } else if (place == ANSWER_COUNTED || place == ANSWER_UNCOUNTED ||
                   place == ANSWER_CHUNK_DATA) {
            len = take_body(answer, bytes);
            if (answer->is_cut || (place == ANSWER_COUNTED && answer->left == 0))
                progress = finish(answer);
            else if (place == ANSWER_CHUNK_DATA && answer->left == 0)
                answer->place = ANSWER_CHUNK_CR;
        } else {
            progress = take_frame(answer, bytes.data[0]);
        }
        bytes = span_skip(bytes, len);
    }
    return progress;
}

enum answer_progress answer_end(struct answer *answer)
{
    if (answer->place == ANSWER_UNCOUNTED)
        return finish(answer);
    if (answer->head_len == 0)
        return broken(answer, "is empty");
    return broken(answer, answer->place == ANSWER_HEAD ? "ends within its head"
                                                       : "ends before its body does");
}
