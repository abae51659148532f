/* When the first message of a client is whole, in how many records and pieces it may come. */
#include "serve/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "unit.h"

enum { ROOM = 8 * LIMIT_CLIENT_HELLO };

static void add_record(char *out, size_t *len, unsigned char type, const char *bytes, size_t count)
{
    const unsigned char header[] = {type, 3, 1, (unsigned char)(count >> 8), (unsigned char)count};
    memcpy(out + *len, header, sizeof(header));
    memcpy(out + *len + sizeof(header), bytes, count);
    *len += sizeof(header) + count;
}

/* A message of this type and length with its header, in records of at most size bytes. */
static struct span message(char *out, unsigned char type, size_t len, size_t size)
{
    char *bytes = calloc(1, len);
    size_t out_len = 0;
    assert_non_null(bytes);
    bytes[0] = (char)type;
    bytes[1] = (char)((len - 4) >> 16);
    bytes[2] = (char)((len - 4) >> 8);
    bytes[3] = (char)(len - 4);
    for (size_t at = 0; at < len; at += size)
        add_record(out, &out_len, 22, bytes + at, len - at < size ? len - at : size);
    free(bytes);
    return (struct span){out, out_len};
}

/* What is said of every beginning of the input, which ends at a guard page. */
static void is_whole_at_its_end(struct span input, size_t len)
{
    size_t step = 1 + input.len / 500;
    for (size_t cut = 0; cut < input.len; cut += step) {
        struct span part = guard_copy((struct span){input.data, cut});
        size_t told = 0;
        assert_int_equal(hello_look(part, &told), HELLO_PARTIAL);
        guard_free(part);
    }
    size_t told = 0;
    struct span all = guard_copy(input);
    assert_int_equal(hello_look(all, &told), HELLO_WHOLE);
    assert_int_equal(told, len);
    guard_free(all);
}

static void comes_in_any_records(void **state)
{
    (void)state;
    static const struct {
        size_t len, size;
    } rows[] = {
        {4, 100},     {300, 300},     {300, 1},      {300, 3},          {300, 299},
        {5000, 5000}, {16384, 16384}, {16384, 4096}, {16384, 64 + 100}, {3000, 1},
    };
    char *out = malloc(ROOM);
    for (size_t i = 0; i < COUNT(rows); i++)
        is_whole_at_its_end(message(out, 1, rows[i].len, rows[i].size), rows[i].len);
    free(out);
}

/* What follows it is not looked at. */
static void may_be_followed(void **state)
{
    (void)state;
    char *out = malloc(ROOM);
    struct span input = message(out, 1, 300, 300);
    size_t len = input.len, told;
    add_record(out, &len, 77, "x", 1);
    assert_int_equal(hello_look((struct span){out, len}, &told), HELLO_WHOLE);
    assert_int_equal(told, 300);
    free(out);
}

static void is_something_else(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        enum hello_progress progress;
    } rows[] = {
        {"GET ", 4, HELLO_PARTIAL}, /* the library says so when it has a header */
        {"GET /", 5, HELLO_OTHER},
        {"\x15\x03\x01\x00\x02", 5, HELLO_PARTIAL},
        {"\x17\x03\x01\x00\x02", 5, HELLO_OTHER},
        {"\x16\x03\x05\x00\x02", 5, HELLO_OTHER},
        {"\x16\x02\x00\x00\x02", 5, HELLO_PARTIAL},
        {"\x16\x03\x01\x00\x00", 5, HELLO_OTHER},
        {"\x16\x03\x01\x40\x01", 5, HELLO_OTHER},
        {"\x16\x03\x01\x40\x00", 5, HELLO_PARTIAL},
        {"\x16\x03\x01\x00\x05\x02\x00\x00\x01", 9, HELLO_PARTIAL},
        {"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", 10, HELLO_OTHER},
        {"\x16\x03\x01\x00\x05\x01\x00\x3f\xfc", 9, HELLO_PARTIAL},
        /* Longer than a record: until there are too many bytes. */
        {"\x16\x03\x01\x00\x05\x01\x00\x3f\xfd", 9, HELLO_PARTIAL},
        /* Another record between the parts, which the library judges when it is whole. */
        {"\x16\x03\x01\x00\x01\x01\x15\x03\x01\x00\x02\x01", 12, HELLO_PARTIAL},
        {"\x16\x03\x01\x00\x01\x01\x15\x03\x01\x00\x02\x01\x5a", 13, HELLO_OTHER},
        /* What the library ignores. */
        {"\x15\x03\x01\x00\x02\x01\x5a", 7, HELLO_PARTIAL},
        {"\x15\x03\x01\x00\x02\x00\x01", 7, HELLO_PARTIAL}, /* of no level that there is */
        {"\x15\x03\x01\x00\x02\x01\x00", 7, HELLO_OTHER},
        {"\x15\x03\x01\x00\x02\x01\x64", 7, HELLO_OTHER},
        {"\x15\x03\x01\x00\x02\x02", 6, HELLO_PARTIAL},
        {"\x15\x03\x01\x00\x02\x02\x01", 7, HELLO_OTHER},
        {"\x14\x03\x01\x00\x01\x01", 6, HELLO_PARTIAL},
        {"\x14\x03\x01\x00\x01\x02", 6, HELLO_OTHER},
        {"\x14\x03\x01\x00\x02\x01", 6, HELLO_PARTIAL},
        {"\x14\x03\x01\x00\x02\x01\x01", 7, HELLO_OTHER},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct span input = guard_copy((struct span){rows[i].bytes, rows[i].len});
        size_t len;
        assert_int_equal(hello_look(input, &len), rows[i].progress);
        guard_free(input);
    }
}

/* Who sends more headers than message is not waited for without an end. */
static void has_an_end(void **state)
{
    (void)state;
    char *out = malloc(ROOM);
    struct span input = message(out, 1, 16384, 1);
    size_t len;
    assert_true(input.len > LIMIT_CLIENT_HELLO_RECORDS);
    input.len = LIMIT_CLIENT_HELLO_RECORDS - 1;
    assert_int_equal(hello_look(input, &len), HELLO_PARTIAL);
    input.len = LIMIT_CLIENT_HELLO_RECORDS;
    assert_int_equal(hello_look(input, &len), HELLO_OTHER);
    free(out);
}

/* A hello with this body of its extensions. */
static struct span hello_with(char *out, const char *extensions, size_t len, size_t size)
{
    char bytes[600] = {1, 0, 0, 0, 3, 3};
    size_t at = 6 + 32;
    bytes[at++] = 0; /* session */
    memcpy(bytes + at, "\0\2\x13\1\1\0", 6);
    at += 6;
    bytes[at++] = (char)(len >> 8);
    bytes[at++] = (char)len;
    memcpy(bytes + at, extensions, len);
    at += len;
    bytes[2] = (char)((at - 4) >> 8);
    bytes[3] = (char)(at - 4);
    size_t out_len = 0;
    for (size_t done = 0; done < at; done += size)
        add_record(out, &out_len, 22, bytes + done, at - done < size ? at - done : size);
    return (struct span){out, out_len};
}

#define SNI(kind, text) "\0\0\0\x8\0\x6" kind "\0\x3" text

static void tells_the_name(void **state)
{
    (void)state;
    static const struct {
        const char *extensions;
        size_t len;
        const char *name;
    } rows[] = {
        {SNI("\0", "a.b"), 12, "a.b"},
        {"\0\x17\0\0" SNI("\0", "A b"), 16, "A b"},
        {SNI("\1", "a.b"), 12, ""}, /* no name of a host */
        {"\0\x17\0\0", 4, ""},
        {"", 0, ""},
        {"\0\0\0\x8\0\x6\0\xff\xffxyz", 12, ""}, /* longer than its extension */
    };
    char *out = malloc(ROOM);
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t size = 1; size < 100; size += 7) {
            char name[3];
            struct span input = guard_copy(hello_with(out, rows[i].extensions, rows[i].len, size));
            size_t len = hello_server_name(input, name, sizeof(name));
            assert_true(span_equal((struct span){name, len}, span_of(rows[i].name)));
            guard_free(input);
        }
    }
    char two[2];
    assert_int_equal(
        hello_server_name(hello_with(out, SNI("\0", "a.b"), 12, 100), two, sizeof(two)), 2);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_in_any_records), cmocka_unit_test(may_be_followed),
        cmocka_unit_test(is_something_else),    cmocka_unit_test(has_an_end),
        cmocka_unit_test(tells_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
