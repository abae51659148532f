#include "samples.h"

#include <string.h>

#include "unit.h"

/* SplitMix64 (public domain). */
void samples_fill(struct samples *samples, void *bytes, size_t len)
{
    unsigned char *next = bytes;

    for (size_t i = 0; i < len; i++) {
        uint64_t word = (samples->state += UINT64_C(0x9e3779b97f4a7c15));
        word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
        next[i] = (unsigned char)(word ^ word >> 31);
    }
}

int samples_random(void *context, unsigned char *bytes, size_t len)
{
    samples_fill(context, bytes, len);
    return 0;
}

void samples_hex(const char *text, uint8_t *ret_bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    assert_int_equal(strlen(text), 2 * len);
    memset(ret_bytes, 0, len);
    for (size_t i = 0; i < 2 * len; i++) {
        const char *digit = strchr(digits, text[i]);
        assert_non_null(digit);
        ret_bytes[i / 2] = (uint8_t)(ret_bytes[i / 2] << 4 | (digit - digits));
    }
}
