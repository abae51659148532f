/*
 * JSON (RFC 8259) at the end of a text. Whether a comma belongs before a value
 * follows from what the text ends with, so that no caller counts. A value has a
 * key within an object, and NULL as its key in an array and outside of both. A
 * failed allocation shows in the text, as ever.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* The bracket opens an object, '{', or an array, '['. Keys are literals. */
void json_open(struct text *text, const char *key, char bracket);
void json_close(struct text *text, char bracket);

/* The next value of this object or array begins on a line of its own. */
void json_new_line(struct text *text);

/* A string; null for NULL and for an empty one. */
void json_text(struct text *text, const char *key, const char *value);

/* A string, which may be empty. */
void json_span(struct text *text, const char *key, struct span value);

void json_number(struct text *text, const char *key, int64_t value);

/* A number that is never 0, such as a line; null for 0. */
void json_ordinal(struct text *text, const char *key, uint32_t value);

void json_flag(struct text *text, const char *key, bool value);
void json_null(struct text *text, const char *key);

/* A value that is JSON already: a fraction, or a string that needs no escape. */
void json_printf(struct text *text, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
