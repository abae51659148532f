/*
 * A span is a borrowed run of bytes: what came from a client or a file, before
 * and after it was judged. It owns nothing, is not NUL-terminated and may hold
 * any byte. Every process uses it.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *data; /* borrowed; may be NULL when len is 0 */
    size_t len;       /* bytes */
};

/* The bytes of a C string without its NUL; borrowed as long as text is. */
static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

/* The bytes of an object; borrowed as long as that is. */
#define SPAN_OF(object) ((struct span){(const char *)&(object), sizeof(object)})

/* One ASCII letter in lower case; every other byte as it is. No locale. */
static inline char ascii_lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

static inline bool ascii_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static inline bool ascii_is_alpha(char byte)
{
    return ascii_lower(byte) >= 'a' && ascii_lower(byte) <= 'z';
}

/* The value of a hexadecimal digit of either case; -1: it is none. */
static inline int ascii_hex_value(char byte)
{
    if (ascii_is_digit(byte))
        return byte - '0';
    char lower = ascii_lower(byte);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool span_equal(struct span left, struct span right);

/* Equality that ignores the case of ASCII letters. */
bool span_equal_fold(struct span left, struct span right);

/* True when the span begins with prefix; in the second the case of ASCII letters is ignored. */
bool span_begins(struct span span, struct span prefix);
bool span_begins_fold(struct span span, struct span prefix);

/* FNV-1a, 64 bits (RFC 9923): the same on every machine. Not for tables: keys that collide are easy
 * to find. */
uint64_t span_hash(struct span span);

/* Whether it is not empty and has only letters, digits and bytes of the others. */
bool span_is_word(struct span span, const char *others);

/* Reads a decimal number of digits alone. False when it is no such number, or greater than most. */
bool span_number(struct span span, uint64_t most, uint64_t *ret_number);

/* The span without spaces and tabs at its ends. */
struct span span_trim(struct span span);

/* Takes what is before the first such byte off the rest, with the byte, which is left out. False when there is
 * none: then the part is all of the rest. */
bool span_take(struct span *rest, char end, struct span *ret_part);

/* Takes the next line, which an LF ends or the end, off the bytes; without the LF. */
struct span span_take_line(struct span *bytes);

/* The span without its first count bytes; count is at most span.len. */
struct span span_skip(struct span span, size_t count);

#endif
