#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

/* Room for count more bytes and the NUL. */
static bool reserve(struct text *text, size_t count)
{
    if (text->failed)
        return false;
    if (text->data != NULL && count < text->capacity - text->len)
        return true;
    size_t capacity = text->capacity == 0 ? 256 : text->capacity;
    while (capacity - text->len <= count) {
        if (capacity > SIZE_MAX / 2)
            goto fail;
        capacity *= 2;
    }
    char *data = realloc(text->data, capacity);
    if (data == NULL)
        goto fail;
    text->data = data;
    text->capacity = capacity;
    return true;
fail:
    text->failed = true;
    return false;
}

void text_append(struct text *text, struct span span)
{
    if (!reserve(text, span.len))
        return;
    if (span.len > 0)
        memcpy(text->data + text->len, span.data, span.len);
    text->len += span.len;
    text->data[text->len] = '\0';
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(text, format, arguments);
    va_end(arguments);
}

void text_vprintf(struct text *text, const char *format, va_list arguments)
{
    va_list print;
    va_copy(print, arguments);
    int len = vsnprintf(NULL, 0, format, arguments);
    if (len < 0)
        text->failed = true;
    else if (reserve(text, (size_t)len)) {
        (void)vsnprintf(text->data + text->len, (size_t)len + 1, format, print); /* measured */
        text->len += (size_t)len;
    }
    va_end(print);
}

static void escape(struct text *text, struct span span, size_t limit, const char *prefix)
{
    size_t shown = span.len < limit ? span.len : limit;
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)span.data[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '"')
            text_append(text, (struct span){span.data + i, 1});
        else
            text_printf(text, "%s%02x", prefix, byte);
    }
    if (shown < span.len)
        text_append(text, span_of("..."));
}

void text_escape(struct text *text, struct span span, size_t limit)
{
    escape(text, span, limit, "\\x");
}

void text_escape_json(struct text *text, struct span span, size_t limit)
{
    escape(text, span, limit, "\\u00");
}

/* What a terminal obeys, or what nobody sees: controls, ends of lines, marks of direction, and Unicode's
 * Default_Ignorable_Code_Point with the tag characters. Ranges may have a few unassigned characters. */
static bool is_hidden(uint32_t point)
{
    static const struct {
        uint32_t least, most;
    } ranges[] = {
        {0, 0x1f},          {0x7f, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},
        {0x61c, 0x61c},     {0x115f, 0x1160},   {0x17b4, 0x17b5},   {0x180b, 0x180f},
        {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},   {0x3164, 0x3164},
        {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
        {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (point >= ranges[i].least && point <= ranges[i].most)
            return true;
    return false;
}

/* RFC 3629 section 3: no longer than needed, and no half of a pair of surrogates. */
void text_character(struct span span, struct text_character *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)span.data[0];
    size_t len = first < 0x80         ? 1
                 : first >> 5 == 0x06 ? 2
                 : first >> 4 == 0x0e ? 3
                 : first >> 3 == 0x1e ? 4
                                      : 0;
    uint32_t point = len > 1 ? first & (0x7fU >> len) : first;
    bool is_valid = len > 0 && len <= span.len;
    for (size_t i = 1; is_valid && i < len; i++) {
        is_valid = ((unsigned char)span.data[i] & 0xc0) == 0x80;
        point = point << 6 | ((unsigned char)span.data[i] & 0x3fU);
    }
    if (!is_valid || point < least[len] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        *ret = (struct text_character){.len = 1, .point = first};
    else
        *ret = (struct text_character){len, point, true, !is_hidden(point)};
}

/* RFC 8259 section 7: what does not fit four digits is a pair of surrogates. */
static void append_json_escape(struct text *text, uint32_t point)
{
    if (point > 0xffff) {
        point -= 0x10000;
        text_printf(text, "\\u%04" PRIx32, 0xd800 + (point >> 10));
        point = 0xdc00 + (point & 0x3ff);
    }
    text_printf(text, "\\u%04" PRIx32, point);
}

void text_json(struct text *text, struct span span)
{
    text_append(text, span_of("\""));
    while (span.len > 0) {
        struct text_character next;
        text_character(span, &next);
        if (!next.is_valid)
            text_append(text, span_of("\xef\xbf\xbd"));
        else if (next.point == '"' || next.point == '\\')
            text_printf(text, "\\%c", (char)next.point);
        else if (next.point == '\n')
            text_append(text, span_of("\\n"));
        else if (!next.is_shown)
            append_json_escape(text, next.point);
        else
            text_append(text, (struct span){span.data, next.len});
        span = span_skip(span, next.len);
    }
    text_append(text, span_of("\""));
}

bool text_write(const struct text *text, int fd)
{
    if (text->failed) {
        errno = ENOMEM;
        return false;
    }
    for (size_t done = 0; done < text->len;) {
        ssize_t count = write(fd, text->data + done, text->len - done);
        if (count < 0 && errno != EINTR)
            return false;
        if (count > 0)
            done += (size_t)count;
    }
    return true;
}
