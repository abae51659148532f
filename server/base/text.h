/*
 * Text that grows: every line that this program prints is first built here and
 * then written with one call. A failed allocation is remembered and makes every
 * later call a no-op, so that a caller asks once, at the end.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Begin with {0}; end with text_free. */
struct text {
    char *data; /* owned; NUL-terminated once something was appended */
    size_t len; /* bytes without the NUL */
    size_t capacity;
    bool failed; /* memory was short; data is what fitted before */
};

void text_free(struct text *text);

void text_append(struct text *text, struct span span);

void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *text, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* Appends bytes of unknown origin so that they cannot end a line, forge one or
 * move a terminal's cursor: printable ASCII as it is except for the backslash
 * and the quote, everything else as \xHH. At most limit bytes of the span are
 * shown; three dots tell that there were more. */
void text_escape(struct text *text, struct span span, size_t limit);

/* The same within a JSON string: everything else as \u00HH, the character of that number. */
void text_escape_json(struct text *text, struct span span, size_t limit);

/* A character of UTF-8 (RFC 3629). Not shown is what a terminal would obey instead: a control character (C0,
 * DEL, C1), one that ends a line or turns its direction; and what nobody would see, such as a byte order mark
 * or a tag. A byte that is not UTF-8 counts as a character, which is not valid and not shown. */
struct text_character {
    size_t len; /* bytes */
    uint32_t point;
    bool is_valid, is_shown;
};

/* The first character of the span, which is not empty. */
void text_character(struct span span, struct text_character *ret);

/* Appends the span as a JSON string with its quotes (RFC 8259 section 7).
 * Bytes that are not valid UTF-8 become U+FFFD; what is not shown is escaped. */
void text_json(struct text *text, struct span span);

/* Writes all of the text to the descriptor. False when that failed (errno
 * tells why) or when the text had failed (errno is ENOMEM). */
bool text_write(const struct text *text, int fd);

#endif
