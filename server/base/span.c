#include "base/span.h"

#include <assert.h>

bool span_equal(struct span left, struct span right)
{
    return left.len == right.len && (left.len == 0 || memcmp(left.data, right.data, left.len) == 0);
}

bool span_begins(struct span span, struct span prefix)
{
    return span.len >= prefix.len && span_equal((struct span){span.data, prefix.len}, prefix);
}

bool span_begins_fold(struct span span, struct span prefix)
{
    if (span.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (ascii_lower(span.data[i]) != ascii_lower(prefix.data[i]))
            return false;
    return true;
}

bool span_equal_fold(struct span left, struct span right)
{
    return left.len == right.len && span_begins_fold(left, right);
}

uint64_t span_hash(struct span span)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < span.len; i++) {
        hash ^= (unsigned char)span.data[i];
        hash *= UINT64_C(0x100000001b3);
    }
    return hash;
}

struct span span_skip(struct span span, size_t count)
{
    assert(count <= span.len);
    return count == 0 ? span : (struct span){span.data + count, span.len - count};
}

struct span span_trim(struct span span)
{
    while (span.len > 0 && (span.data[0] == ' ' || span.data[0] == '\t'))
        span = span_skip(span, 1);
    while (span.len > 0 && (span.data[span.len - 1] == ' ' || span.data[span.len - 1] == '\t'))
        span.len--;
    return span;
}

bool span_take(struct span *rest, char end, struct span *ret_part)
{
    const char *found = rest->len == 0 ? NULL : memchr(rest->data, end, rest->len);
    *ret_part = (struct span){rest->data, found == NULL ? rest->len : (size_t)(found - rest->data)};
    *rest = span_skip(*rest, ret_part->len + (found == NULL ? 0 : 1));
    return found != NULL;
}

struct span span_take_line(struct span *bytes)
{
    struct span line;
    (void)span_take(bytes, '\n', &line); /* the last has no end */
    return line;
}

bool span_is_word(struct span span, const char *others)
{
    for (size_t i = 0; i < span.len; i++)
        if (!ascii_is_alpha(span.data[i]) && !ascii_is_digit(span.data[i]) &&
            memchr(others, span.data[i], strlen(others)) == NULL)
            return false;
    return span.len > 0;
}

bool span_number(struct span span, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < span.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)span.data[i] - '0';
        if (digit > 9 || digit > most || number > (most - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return span.len > 0;
}
