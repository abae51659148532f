#include "probe/fetch.h"

/* What a size in a chunk can have at most: more digits would not fit 64 bits. */
enum { SIZE_DIGITS = 15, EXTENSION_MOST = 1024, TRAILER_MOST = 8192 };

/* The response as it is read. */
struct reader {
    struct answer *answer;
    answer_more *more;
    void *context;
    bool has_failed;
    struct span rest; /* what has come and was not read yet; points into buf */
    char buf[16 * 1024];
};

static const char CUT[] = "ends before its body does";

/* Waits for a byte, if none has come. False at the end. */
static bool has_more(struct reader *reader)
{
    if (reader->rest.len == 0) {
        ssize_t count = reader->more(reader->context, reader->buf, sizeof(reader->buf));
        reader->has_failed = count < 0;
        reader->rest = (struct span){reader->buf, count < 0 ? 0 : (size_t)count};
    }
    return reader->rest.len > 0;
}

/* -1 at the end. */
static int next_byte(struct reader *reader)
{
    if (!has_more(reader))
        return -1;
    int byte = (unsigned char)reader->rest.data[0];
    reader->rest = span_skip(reader->rest, 1);
    return byte;
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
    if (answer->has_length && answer->length != length)
        return "has two values of Content-Length";
    answer->has_length = true;
    answer->length = length;
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

static const char *parse_head(struct answer *answer)
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

/* The head ends with an empty line, also when lines end otherwise than they should: waiting for the right end
 * would tell the operator of a time-out. */
static const char *read_head(struct reader *reader)
{
    struct answer *answer = reader->answer;
    *answer = (struct answer){0};
    while (answer->head_len < sizeof(answer->head)) {
        int byte = next_byte(reader);
        if (byte < 0)
            return answer->head_len == 0 ? "is empty" : "ends within its head";
        answer->head[answer->head_len++] = (char)byte;
        const struct span head = {answer->head, answer->head_len};
        if (head.len <= 5 && memcmp(head.data, "HTTP/", head.len) != 0)
            return "does not begin with the status line of HTTP/1.1";
        if (byte == '\n' && head.len > 5 &&
            (head.data[head.len - 2] == '\n' || memcmp(head.data + head.len - 3, "\n\r", 2) == 0))
            return parse_head(answer);
    }
    return "has a head of more than 16 KB";
}

/* So many bytes of the body, or those before the end of the connection. False when they do not come. */
static bool read_body(struct reader *reader, uint64_t count)
{
    struct answer *answer = reader->answer;
    while (count > 0 && !answer->is_cut && has_more(reader)) {
        size_t len = count < reader->rest.len ? (size_t)count : reader->rest.len;
        size_t room = sizeof(answer->body) - answer->body_len, kept = len < room ? len : room;
        memcpy(answer->body + answer->body_len, reader->rest.data, kept);
        answer->body_len += kept;
        answer->is_cut = kept < len;
        reader->rest = span_skip(reader->rest, len);
        count -= len;
    }
    return count == 0 || answer->is_cut;
}

/* The two bytes that end a line, of which the first may have been read. */
static const char *read_end(struct reader *reader, int byte, const char *fault)
{
    if (byte == '\r' && (byte = next_byte(reader)) == '\n')
        return NULL;
    return byte < 0 ? CUT : fault;
}

/* The line before a chunk: "1f;name=value". */
static const char *read_size(struct reader *reader, uint64_t *ret_size)
{
    int byte, digits = 0, extension = 0;
    *ret_size = 0;
    while ((byte = next_byte(reader)) >= 0 && ascii_hex_value((char)byte) >= 0) {
        if (++digits > SIZE_DIGITS)
            return "has a chunk without a size";
        *ret_size = *ret_size * 16 + (unsigned)ascii_hex_value((char)byte);
    }
    if (byte >= 0 && digits == 0)
        return "has a chunk without a size";
    if (byte == ';') { /* llhttp minds space before it */
        do
            byte = next_byte(reader);
        while (byte >= 0 && byte != '\r' && byte != '\n' && ++extension <= EXTENSION_MOST);
        if (byte >= 0 && byte != '\r')
            return "has a chunk with a malformed extension";
    }
    return read_end(reader, byte, "has a chunk with a malformed size");
}

/* The lines behind the last chunk, up to the empty one. */
static const char *read_trailer(struct reader *reader)
{
    static const char MALFORMED[] = "has a malformed trailer";
    bool is_begin = true; /* of a line */
    for (int count = 0; count < TRAILER_MOST; count++) {
        int byte = next_byte(reader);
        if (byte < 0 || (is_begin && (byte == '\r' || byte == '\n')))
            return read_end(reader, byte, MALFORMED);
        is_begin = byte == '\n';
    }
    return MALFORMED;
}

static const char *read_chunks(struct reader *reader)
{
    uint64_t size;
    const char *fault = read_size(reader, &size);
    while (fault == NULL && size > 0) {
        if (!read_body(reader, size))
            return CUT;
        if (reader->answer->is_cut)
            return NULL;
        fault = read_end(reader, next_byte(reader), "has a chunk that is longer than it says");
        if (fault == NULL)
            fault = read_size(reader, &size);
    }
    return fault == NULL ? read_trailer(reader) : fault;
}

bool answer_read(struct answer *answer, answer_more *more, void *context)
{
    struct reader reader = {.answer = answer, .more = more, .context = context};
    const char *fault;
    do
        fault = read_head(&reader);
    while (fault == NULL && answer->status < 200); /* an interim response: the real one follows */
    /* What follows the head: RFC 9112 section 6.3. */
    if (fault != NULL || answer->status == 204 || answer->status == 304)
        answer->fault = fault;
    else if (answer->is_chunked)
        answer->fault = read_chunks(&reader);
    else if (!read_body(&reader, answer->has_length ? answer->length : UINT64_MAX) &&
             answer->has_length)
        answer->fault = CUT;
    if (reader.has_failed)
        answer->fault = NULL;
    return !reader.has_failed;
}
