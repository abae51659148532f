/*
 * Any bytes as a PEM file: the reader finds blocks in rising order, inside of
 * the input, and decodes each as a second, slower decoder does; and what the
 * input may be instead can be said.
 */
#include <assert.h>
#include <stdlib.h>

#include "certificates/pem.h"
#include "certificates/store_inside.h"
#include "fuzz.h"

static int digit_of(char byte)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = memchr(digits, byte, 64);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Digit by digit. Returns how many bytes there are, or SIZE_MAX when it is no base64. */
static size_t decode(struct span body, unsigned char *out)
{
    unsigned bits = 0, held = 0;
    size_t len = 0, digits = 0, padding = 0;
    for (size_t i = 0; i < body.len; i++) {
        char byte = body.data[i];
        if (byte == '\n' || byte == '\r' || byte == ' ' || byte == '\t')
            continue;
        padding += byte == '=';
        if (byte == '=')
            continue;
        if (digit_of(byte) < 0 || padding > 0)
            return SIZE_MAX;
        digits++;
        bits = (bits << 6 | (unsigned)digit_of(byte)) & 0xffffU;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        out[len++] = (unsigned char)(bits >> held & 0xffU);
    }
    return padding > 2 || digits == 0 || (digits + padding) % 4 != 0 ? SIZE_MAX : len;
}

static bool is_inside(struct span part, struct span whole)
{
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             (size_t)(part.data - whole.data) <= whole.len - part.len);
}

static uint32_t count_lines(struct span input)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < input.len; i++)
        lines += input.data[i] == '\n';
    return lines;
}

static void check_block(const struct pem_block *block, struct span input, uint32_t lines)
{
    assert(is_inside(block->label, input) && is_inside(block->body, input));
    assert(memchr(block->label.data, '\n', block->label.len) == NULL || block->label.len == 0);
    if (block->fault != PEM_SOUND) {
        assert(block->der_len == 0);
        assert(block->fault_line >= block->line && block->fault_line <= lines);
        return;
    }
    /* Of exactly this size, so that the sanitizer sees who writes more. */
    unsigned char *der = malloc(block->der_len), *again = malloc(block->body.len + 1);
    assert(der != NULL && again != NULL && block->der_len > 0);
    pem_decode(block, der);
    assert(decode(block->body, again) == block->der_len);
    assert(memcmp(der, again, block->der_len) == 0);
    free(again);
    free(der);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = {(const char *)data, size};
    struct pem_block block;
    uint32_t lines = count_lines(input), line = 0;
    for (struct pem_reader reader = pem_begin(input); pem_next(&reader, &block);) {
        assert(block.line > line && block.line <= lines);
        assert(is_inside(reader.rest, input));
        line = block.line;
        check_block(&block, input, lines);
    }
    const struct certificate_form *form = certificate_form_find(input);
    assert(form == NULL || (strlen(form->what) > 5 && strlen(form->before) > 5));
    return 0;
}
