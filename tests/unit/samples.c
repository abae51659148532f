#include "samples.h"

#include <stdio.h>
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
    assert_int_equal(strlen(text), 2 * len);
    for (size_t i = 0; i < len; i++) {
        unsigned int byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        ret_bytes[i] = (uint8_t)byte;
    }
}
