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

void text_trim(struct text *text)
{
    char *data = text->data == NULL ? NULL : realloc(text->data, text->len + 1);
    if (data != NULL) {
        text->data = data;
        text->capacity = text->len + 1;
    }
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

void text_escape(struct text *text, struct span span, size_t limit)
{
    size_t shown = span.len < limit ? span.len : limit;
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)span.data[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '"')
            text_append(text, (struct span){span.data + i, 1});
        else
            text_printf(text, "\\x%02x", byte);
    }
    if (shown < span.len)
        text_append(text, span_of("..."));
}

/* Length of the valid UTF-8 sequence that the span begins with (RFC 3629 section 4), or 0. */
static size_t utf8_sequence(struct span span)
{
    static const struct {
        unsigned char first_least, first_most, second_least, second_most;
        size_t len;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *bytes = (const unsigned char *)span.data;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (bytes[0] < forms[i].first_least || bytes[0] > forms[i].first_most)
            continue;
        size_t len = forms[i].len;
        if (span.len < len)
            return 0;
        if (len > 1 && (bytes[1] < forms[i].second_least || bytes[1] > forms[i].second_most))
            return 0;
        for (size_t k = 2; k < len; k++)
            if ((bytes[k] & 0xc0) != 0x80)
                return 0;
        return len;
    }
    return 0;
}

/* The character that a valid sequence encodes. */
static uint32_t utf8_decode(struct span sequence)
{
    uint32_t point = (unsigned char)sequence.data[0];
    if (sequence.len > 1)
        point &= 0x7fU >> sequence.len;
    for (size_t i = 1; i < sequence.len; i++)
        point = point << 6 | ((unsigned char)sequence.data[i] & 0x3fU);
    return point;
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

size_t text_character(struct span span, bool *ret_is_shown)
{
    size_t len = utf8_sequence(span);
    *ret_is_shown = len > 0 && !is_hidden(utf8_decode((struct span){span.data, len}));
    return len > 0 ? len : 1;
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
        unsigned char byte = (unsigned char)span.data[0];
        bool is_shown = false;
        size_t len = text_character(span, &is_shown);
        if (utf8_sequence(span) == 0)
            text_append(text, span_of("\xef\xbf\xbd"));
        else if (byte == '"' || byte == '\\')
            text_printf(text, "\\%c", byte);
        else if (byte == '\n')
            text_append(text, span_of("\\n"));
        else if (!is_shown)
            append_json_escape(text, utf8_decode((struct span){span.data, len}));
        else
            text_append(text, (struct span){span.data, len});
        span = span_skip(span, len);
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
