#include "certificates/pem.h"

#include <assert.h>

/* What was counted in a body so far. */
struct base64 {
    size_t digits;
    size_t padding;
};

/* What a byte is that is no digit. */
enum { NO_DIGIT = 64, BLANK = 65, PADDING = 66 };

struct pem_reader pem_begin(struct span bytes)
{
    /* Some editors put a byte order mark before the first line. */
    struct span mark = span_of("\xef\xbb\xbf");
    if (span_begins(bytes, mark))
        bytes = span_skip(bytes, mark.len);
    return (struct pem_reader){bytes, 1};
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Takes one line off the reader, without its end and the blanks before that. */
static struct span take_line(struct pem_reader *reader)
{
    struct span line = span_take_line(&reader->rest);
    reader->line++;
    while (line.len > 0 && is_blank(line.data[line.len - 1]))
        line.len--;
    return line;
}

/* True for "-----BEGIN LABEL-----" with the word given; the label is borrowed from the line. */
static bool is_boundary(struct span line, const char *word, struct span *ret_label)
{
    struct span dashes = span_of("-----"), middle = span_of(word);
    if (line.len < 2 * dashes.len + middle.len || !span_begins(line, dashes) ||
        !span_begins(span_skip(line, dashes.len), middle) ||
        !span_begins(span_skip(line, line.len - dashes.len), dashes))
        return false;
    *ret_label =
        (struct span){line.data + dashes.len + middle.len, line.len - 2 * dashes.len - middle.len};
    return true;
}

/* The value of each byte as a digit (RFC 4648 section 4), or one of the three above. A table,
 * because a store of ten thousand certificates has fifty million digits. */
static const unsigned char values[256] = {
    64, 64, 64, 64, 64, 64, 64, 64, 64, 65, 65, 64, 64, 65, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 65, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 64, 64, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 66, 64, 64, 64, 0,  1,  2,  3,  4,  5,  6,
    7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 64,
    64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
    49, 50, 51, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
};

static bool count_line(struct base64 *base64, struct span line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned value = values[(unsigned char)line.data[i]];
        if (value == PADDING)
            base64->padding++;
        else if (value == BLANK)
            continue;
        else if (value == NO_DIGIT || base64->padding > 0)
            return false;
        else
            base64->digits++;
    }
    return base64->padding <= 2;
}

/* Headers are "Name: value" up to an empty line (RFC 1421 section 4.4); most blocks have none. */
static void take_headers(struct pem_reader *reader, struct pem_block *block)
{
    struct pem_reader ahead = *reader;
    bool found = false;
    while (ahead.rest.len > 0) {
        struct span line = take_line(&ahead), label;
        if (is_boundary(line, "END ", &label) || is_boundary(line, "BEGIN ", &label))
            break;
        bool header = line.len > 0 && memchr(line.data, ':', line.len) != NULL;
        bool continued = found && line.len > 0 && is_blank(line.data[0]);
        if (line.len > 0 && !header && !continued)
            break;
        *reader = ahead;
        if (line.len == 0 && found)
            break;
        found = found || header;
        if (span_begins_fold(line, span_of("Proc-Type:")) &&
            memmem(line.data, line.len, "ENCRYPTED", strlen("ENCRYPTED")) != NULL)
            block->encrypted = true;
    }
}

static void add_fault(struct pem_block *block, enum pem_fault fault, uint32_t line)
{
    if (block->fault != PEM_SOUND)
        return;
    block->fault = fault;
    block->fault_line = line;
}

/* At the END line: is what was counted a whole number of bytes? */
static void finish_body(struct pem_block *block, struct base64 base64, uint32_t last_line)
{
    if (base64.digits == 0)
        add_fault(block, PEM_EMPTY, block->line);
    if ((base64.digits + base64.padding) % 4 != 0)
        add_fault(block, PEM_NOT_BASE64, last_line);
    if (block->fault == PEM_SOUND)
        block->der_len = base64.digits / 4 * 3 + base64.digits % 4 * 3 / 4;
}

/* "-----END X----------BEGIN Y-----", or base64 before END: somebody has joined files whose last line
 * had no end. The reader then is at BEGIN, or behind the line. */
static bool is_glued(struct pem_reader *reader, const struct pem_reader *before, struct span line)
{
    struct span end = span_of("-----END "), begin = span_of("-----BEGIN ");
    const char *at = line.len == 0 ? NULL : memmem(line.data, line.len, end.data, end.len);
    if (at == NULL)
        return false;
    size_t rest = line.len - (size_t)(at - line.data);
    const char *next = memmem(at, rest, begin.data, begin.len);
    if (next != NULL)
        *reader = (struct pem_reader){span_skip(before->rest, (size_t)(next - before->rest.data)),
                                      before->line};
    return next != NULL || at != line.data;
}

static void take_body(struct pem_reader *reader, struct pem_block *block)
{
    struct base64 base64 = {0};
    take_headers(reader, block);
    block->body = (struct span){reader->rest.data, 0};
    for (;;) {
        struct pem_reader before = *reader;
        struct span label = {0}, line = {0};
        if (reader->rest.len > 0)
            line = take_line(reader);
        if (before.rest.len == 0 || is_boundary(line, "BEGIN ", &label)) {
            *reader = before;
            add_fault(block, PEM_NO_END, block->line);
            return;
        }
        if (is_glued(reader, &before, line)) {
            add_fault(block, PEM_GLUED, before.line);
            return;
        }
        if (is_boundary(line, "END ", &label)) {
            if (!span_equal(label, block->label))
                add_fault(block, PEM_OTHER_END, before.line);
            finish_body(block, base64, before.line - 1);
            return;
        }
        if (block->fault == PEM_SOUND && !count_line(&base64, line))
            add_fault(block, PEM_NOT_BASE64, before.line);
        block->body.len = (size_t)(reader->rest.data - block->body.data);
    }
}

bool pem_next(struct pem_reader *reader, struct pem_block *ret_block)
{
    while (reader->rest.len > 0) {
        struct pem_block block = {.line = reader->line};
        struct span line = take_line(reader);
        if (!is_boundary(line, "BEGIN ", &block.label))
            continue;
        take_body(reader, &block);
        *ret_block = block;
        return true;
    }
    return false;
}

void pem_decode(const struct pem_block *block, unsigned char *ret_der)
{
    assert(block->fault == PEM_SOUND);
    unsigned bits = 0, held = 0;
    size_t written = 0;
    for (size_t i = 0; written < block->der_len; i++) {
        assert(i < block->body.len);
        unsigned value = values[(unsigned char)block->body.data[i]];
        if (value >= NO_DIGIT)
            continue;
        bits = (bits << 6 | value) & 0xffffU;
        held += 6;
        if (held >= 8) {
            held -= 8;
            ret_der[written++] = (unsigned char)(bits >> held & 0xffU);
        }
    }
}
