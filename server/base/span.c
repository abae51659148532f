#include "base/span.h"

#include <assert.h>

bool span_equal(struct span left, struct span right)
{
    return left.len == right.len && (left.len == 0 || memcmp(left.data, right.data, left.len) == 0);
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
