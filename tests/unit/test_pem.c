/* Blocks of PEM, sound and broken; every input ends at a guard page. */
#include "unit.h"

#include <string.h>

#include "certificates/pem.h"

#define BEGIN "-----BEGIN X-----\n"
#define END   "-----END X-----\n"

struct expected {
    const char *label;
    uint32_t line;
    enum pem_fault fault;
    uint32_t fault_line;
    bool encrypted;
    const char *der;
};

struct example {
    const char *name;
    const char *input;
    struct expected blocks[3];
    size_t count;
};

static const struct example examples[] = {
    {"nothing", "", {{0}}, 0},
    {"text only", "no block\nat all\n", {{0}}, 0},
    {"one", BEGIN "Zm9v\n" END, {{"X", 1, PEM_SOUND, 0, false, "foo"}}, 1},
    {"one digit short of padding", BEGIN "Zm8=\n" END, {{"X", 1, PEM_SOUND, 0, false, "fo"}}, 1},
    {"two of padding", BEGIN "Zg==\n" END, {{"X", 1, PEM_SOUND, 0, false, "f"}}, 1},
    {"no line end at the end",
     BEGIN "Zm9v\n-----END X-----",
     {{"X", 1, PEM_SOUND, 0, false, "foo"}},
     1},
    {"CRLF",
     "-----BEGIN X-----\r\nZm9v\r\nYmFy\r\n-----END X-----\r\n",
     {{"X", 1, PEM_SOUND, 0, false, "foobar"}},
     1},
    {"byte order mark",
     "\xef\xbb\xbf" BEGIN "Zm9v\n" END,
     {{"X", 1, PEM_SOUND, 0, false, "foo"}},
     1},
    {"blanks and odd lines",
     BEGIN "Z\n m9v  \n\n\tYmFy \n" END,
     {{"X", 1, PEM_SOUND, 0, false, "foobar"}},
     1},
    {"text around",
     "Bag Attributes\n    friendlyName: x\nsubject=CN = y\n" BEGIN "Zm9v\n" END
     "issuer: z\n-----BEGIN RSA PRIVATE KEY-----\nYmFy\n-----END RSA PRIVATE KEY-----\ntail",
     {{"X", 4, PEM_SOUND, 0, false, "foo"}, {"RSA PRIVATE KEY", 8, PEM_SOUND, 0, false, "bar"}},
     2},
    {"glued",
     BEGIN "Zm9v\n-----END X----------BEGIN Y-----\nYmFy\n-----END Y-----\n",
     {{"X", 1, PEM_GLUED, 3, false, NULL}, {"Y", 3, PEM_SOUND, 0, false, "bar"}},
     2},
    {"glued, with blanks between and base64 before",
     BEGIN "Zm9v-----END X----- \t-----BEGIN Y-----\nYmFy-----END Y-----\n",
     {{"X", 1, PEM_GLUED, 2, false, NULL}, {"Y", 2, PEM_GLUED, 3, false, NULL}},
     2},
    {"three glued",
     BEGIN
     "Zm9v\n-----END X----------BEGIN Y-----\nYmFy\n-----END Y----------BEGIN X-----\nYg==\n" END,
     {{"X", 1, PEM_GLUED, 3, false, NULL},
      {"Y", 3, PEM_GLUED, 5, false, NULL},
      {"X", 5, PEM_SOUND, 0, false, "b"}},
     3},
    {"old encryption",
     BEGIN "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nZm9v\n" END,
     {{"X", 1, PEM_SOUND, 0, true, "foo"}},
     1},
    {"headers without encryption",
     BEGIN "Comment: a\n  b\n\nZm9v\n" END,
     {{"X", 1, PEM_SOUND, 0, false, "foo"}},
     1},
    {"headers only", BEGIN "Proc-Type: 4,ENCRYPTED\n" END, {{"X", 1, PEM_EMPTY, 1, true, ""}}, 1},
    {"cut within the base64", BEGIN "Zm9v\nYm", {{"X", 1, PEM_NO_END, 1, false, ""}}, 1},
    {"cut after BEGIN", BEGIN, {{"X", 1, PEM_NO_END, 1, false, ""}}, 1},
    {"cut within BEGIN", "-----BEGIN X----", {{0}}, 0},
    {"cut within END", BEGIN "Zm9v\n-----END X---", {{"X", 1, PEM_NOT_BASE64, 3, false, ""}}, 1},
    {"no END before the next block",
     BEGIN "Zm9v\n" BEGIN "YmFy\n" END,
     {{"X", 1, PEM_NO_END, 1, false, ""}, {"X", 3, PEM_SOUND, 0, false, "bar"}},
     2},
    {"other END",
     BEGIN "Zm9v\n-----END Y-----\n" BEGIN "YmFy\n" END,
     {{"X", 1, PEM_OTHER_END, 3, false, ""}, {"X", 4, PEM_SOUND, 0, false, "bar"}},
     2},
    {"a character that is none",
     "\n" BEGIN "Zm9v\nYm*y\nZm9v\n" END BEGIN "YmFy\n" END,
     {{"X", 2, PEM_NOT_BASE64, 4, false, ""}, {"X", 7, PEM_SOUND, 0, false, "bar"}},
     2},
    {"a digit after the padding",
     BEGIN "Zg==\nZg==\n" END,
     {{"X", 1, PEM_NOT_BASE64, 3, false, ""}},
     1},
    {"too much padding", BEGIN "Zg===\n" END, {{"X", 1, PEM_NOT_BASE64, 2, false, ""}}, 1},
    {"a digit is missing", BEGIN "Zm9v\nYmF\n" END, {{"X", 1, PEM_NOT_BASE64, 3, false, ""}}, 1},
    {"empty", BEGIN END, {{"X", 1, PEM_EMPTY, 1, false, ""}}, 1},
    {"an END of its own", END BEGIN "Zm9v\n" END, {{"X", 2, PEM_SOUND, 0, false, "foo"}}, 1},
    {"not at the line's begin", " " BEGIN "Zm9v\n" END, {{0}}, 0},
    {"an empty label",
     "-----BEGIN -----\nZm9v\n-----END -----\n",
     {{"", 1, PEM_SOUND, 0, false, "foo"}},
     1},
};

static void check_block(const struct example *example, const struct pem_block *block,
                        const struct expected *expected)
{
    char der[16] = {0};
    if (!span_equal(block->label, span_of(expected->label)) || block->line != expected->line ||
        block->fault != expected->fault || block->encrypted != expected->encrypted ||
        (block->fault != PEM_SOUND && block->fault_line != expected->fault_line))
        fail_msg("%s: label %.*s line %u fault %d at %u", example->name, (int)block->label.len,
                 block->label.data, block->line, block->fault, block->fault_line);
    if (block->fault != PEM_SOUND) {
        assert_int_equal(block->der_len, 0);
        return;
    }
    assert_int_equal(block->der_len, strlen(expected->der));
    pem_decode(block, (unsigned char *)der);
    assert_string_equal(der, expected->der);
}

static void test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(examples); i++) {
        struct span input = guard_copy(span_of(examples[i].input));
        struct pem_reader reader = pem_begin(input);
        struct pem_block block;
        size_t count = 0;
        for (; pem_next(&reader, &block); count++)
            if (count < examples[i].count)
                check_block(&examples[i], &block, &examples[i].blocks[count]);
        if (count != examples[i].count)
            fail_msg("%s: %zu blocks", examples[i].name, count);
        guard_free(input);
    }
}

/* However a file is cut off, nothing is read beyond it and no block is taken that has no end. */
static void test_every_prefix(void **state)
{
    (void)state;
    static const char whole[] = "text\n" BEGIN "Proc-Type: 4,ENCRYPTED\n\nZm9v\n" END
                                "-----BEGIN X-----\r\nZm9vYg==\r\n-----END X-----\r\n";
    for (size_t len = 0; len < sizeof(whole); len++) {
        struct span input = guard_copy((struct span){whole, len});
        struct pem_reader reader = pem_begin(input);
        struct pem_block block;
        size_t sound = 0;
        unsigned char der[8];
        while (pem_next(&reader, &block))
            if (block.fault == PEM_SOUND) {
                sound++;
                pem_decode(&block, der);
            }
        const char *first = strstr(whole, END);
        size_t begun = len >= (size_t)(first - whole) + strlen(END) - 1;
        assert_int_equal(sound, begun + (len >= sizeof(whole) - 3));
        guard_free(input);
    }
}

/* All 256 values survive, in lines as openssl writes them. */
static void test_every_byte(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char input[512] = BEGIN;
    size_t len = strlen(input);
    for (unsigned i = 0; i < 255; i += 3) {
        unsigned bits = i << 16 | (i + 1) << 8 | (i + 2);
        for (int shift = 18; shift >= 0; shift -= 6)
            input[len++] = digits[bits >> shift & 63];
        if (i % 48 == 45)
            input[len++] = '\n';
    }
    memcpy(input + len, "\n" END, strlen("\n" END));
    struct span bytes = guard_copy((struct span){input, len + strlen("\n" END)});
    struct pem_reader reader = pem_begin(bytes);
    struct pem_block block;
    unsigned char der[255];
    assert_true(pem_next(&reader, &block));
    assert_int_equal(block.der_len, sizeof(der));
    pem_decode(&block, der);
    for (unsigned i = 0; i < sizeof(der); i++)
        assert_int_equal(der[i], i);
    guard_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
