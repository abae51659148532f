/* The wire over a pair of sockets with small kernel buffers, and buffers that two wires share; and when the
 * first message of a client is whole, in how many records and pieces it may come. */
#include "serve/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "unit.h"

/* Larger than any desk. */
enum { MUCH = 100000 };

struct pair {
    struct wire_buffers buffers;
    struct wire wire;
    int client;
    int server;
};

static int set_up(void **state)
{
    const int least = 1; /* the kernel raises it to the least it allows */
    struct pair *pair = calloc(1, sizeof(*pair));
    int fds[2];
    assert_non_null(pair);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    pair->server = fds[0];
    pair->client = fds[1];
    pair->wire = (struct wire){.fd = pair->server, .buffers = &pair->buffers};
    pair->wire.receivable = MUCH;
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    wire_free(&pair->wire);
    close(pair->server);
    close(pair->client);
    free(pair);
    return 0;
}

static void assert_sends(struct pair *pair, const char *text)
{
    assert_int_equal(wire_send(&pair->wire, (const unsigned char *)text, strlen(text)),
                     strlen(text));
}

static void assert_client_has(const struct pair *pair, const char *text)
{
    char got[100];
    assert_int_equal(recv(pair->client, got, sizeof(got), 0), strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void assert_client_has_nothing(const struct pair *pair)
{
    char byte;
    assert_int_equal(recv(pair->client, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void assert_receives(struct pair *pair, const char *text, size_t size)
{
    unsigned char got[100];
    assert_true(size <= sizeof(got));
    assert_int_equal(wire_receive(&pair->wire, got, size), strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void assert_receives_nothing(struct pair *pair)
{
    unsigned char byte;
    assert_int_equal(wire_receive(&pair->wire, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

static void client_sends(const struct pair *pair, const char *text)
{
    assert_int_equal(send(pair->client, text, strlen(text), 0), strlen(text));
}

static void sends_in_one_piece(void **state)
{
    struct pair *pair = *state;
    assert_false(wire_has_unsent(&pair->wire));
    assert_sends(pair, "hello, ");
    assert_sends(pair, "certificate, ");
    assert_sends(pair, "finished");
    assert_true(wire_has_unsent(&pair->wire));
    assert_client_has_nothing(pair);
    assert_true(wire_flush(&pair->wire));
    assert_false(wire_has_unsent(&pair->wire));
    assert_client_has(pair, "hello, certificate, finished");
    assert_true(wire_flush(&pair->wire));
    assert_client_has_nothing(pair);
}

static void flushes_before_it_asks_for_an_answer(void **state)
{
    struct pair *pair = *state;
    client_sends(pair, "ab");
    assert_receives(pair, "a", 1);
    assert_sends(pair, "one");
    assert_receives(pair, "b", 1); /* it was here already */
    assert_client_has_nothing(pair);
    assert_receives_nothing(pair);
    assert_client_has(pair, "one");
}

static void takes_what_comes_at_once(void **state)
{
    struct pair *pair = *state;
    int left = -1;
    client_sends(pair, "header and body");
    assert_receives(pair, "header", 6);
    assert_int_equal(ioctl(pair->server, FIONREAD, &left), 0);
    assert_int_equal(left, 0);
    assert_true(wire_unread(&pair->wire).len > 0);
    assert_receives(pair, " and", 4);
    assert_receives(pair, " body", 100);
    assert_false(wire_unread(&pair->wire).len > 0);
}

/* The kernel gave less than it could, so it is not asked again at once; what comes later is not lost,
 * because whoever was told EAGAIN asks the socket. */
static void tells_once_that_there_is_no_more(void **state)
{
    struct pair *pair = *state;
    client_sends(pair, "first");
    assert_receives(pair, "first", 100);
    client_sends(pair, "second");
    assert_receives_nothing(pair);
    assert_receives(pair, "second", 100);
}

static void tells_the_end(void **state)
{
    struct pair *pair = *state;
    unsigned char byte;
    client_sends(pair, "last");
    assert_int_equal(shutdown(pair->client, SHUT_WR), 0);
    assert_receives(pair, "last", 100);
    assert_receives_nothing(pair);
    assert_int_equal(wire_receive(&pair->wire, &byte, 1), 0);
    assert_int_equal(wire_receive(&pair->wire, &byte, 1), 0);
}

static void takes_no_more_than_allowed(void **state)
{
    struct pair *pair = *state;
    client_sends(pair, "0123456789");
    pair->wire.receivable = 4;
    assert_receives(pair, "01", 2);
    assert_receives(pair, "23", 100);
    assert_receives_nothing(pair);
    assert_receives_nothing(pair);
    pair->wire.receivable = 3;
    assert_receives(pair, "456", 100);
    assert_receives_nothing(pair);
    pair->wire.receivable = 100;
    assert_receives(pair, "789", 100);
}

/* Bytes that tell where they stand. */
static void fill(unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251);
}

/* A client that reads a little at a time gets every byte once and in order, while pieces of every
 * size meet a desk and a kernel that are full, and another wire uses the desk in between. */
static void loses_nothing_to_a_slow_reader(void **state)
{
    struct pair *pair = *state;
    static unsigned char sent[MUCH], got[MUCH];
    struct wire other = {.fd = -1, .buffers = &pair->buffers};
    size_t given = 0, taken = 0, blocked = 0;
    fill(sent, sizeof(sent));
    for (size_t size = 1; taken < sizeof(sent); size = size * 5 % 20011) {
        size_t len = sizeof(sent) - given < size ? sizeof(sent) - given : size;
        ssize_t count = len == 0 ? 0 : wire_send(&pair->wire, sent + given, len);
        if (count < 0) {
            assert_int_equal(errno, EAGAIN);
            blocked++;
            count = 0;
        }
        given += (size_t)count;
        if (len == 0 && !wire_flush(&pair->wire))
            assert_int_equal(errno, EAGAIN);
        assert_true(wire_save(&pair->wire));
        assert_false(wire_has_unsent(&other));
        assert_false(wire_unread(&other).len > 0);
        assert_true(wire_save(&other));
        size_t wanted = 1 + size % 3000;
        if (wanted > sizeof(got) - taken)
            wanted = sizeof(got) - taken;
        count = recv(pair->client, got + taken, wanted, 0);
        taken += count > 0 ? (size_t)count : 0;
        assert_true(taken <= given);
    }
    assert_true(blocked > 0);
    assert_memory_equal(got, sent, sizeof(sent));
    assert_client_has_nothing(pair);
}

/* As long as the client does not read, it is not read from. */
static void reads_nothing_from_who_does_not_read(void **state)
{
    struct pair *pair = *state;
    static unsigned char bytes[MUCH];
    unsigned char discarded[MUCH];
    while (wire_send(&pair->wire, bytes, sizeof(bytes)) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    client_sends(pair, "more, please");
    assert_receives_nothing(pair);
    assert_true(wire_has_unsent(&pair->wire));
    while (wire_has_unsent(&pair->wire)) {
        assert_true(recv(pair->client, discarded, sizeof(discarded), 0) > 0);
        (void)wire_flush(&pair->wire);
    }
    assert_receives(pair, "more, please", 100);
}

static void shares_the_desk(void **state)
{
    struct pair *pair = *state;
    struct wire other = {.fd = -1, .buffers = &pair->buffers};
    client_sends(pair, "0123456789");
    assert_receives(pair, "0123", 4);
    assert_sends(pair, "answer");
    assert_true(wire_save(&pair->wire));
    assert_false(wire_unread(&other).len > 0);
    assert_false(wire_has_unsent(&other));
    assert_int_equal(wire_send(&other, (const unsigned char *)"theirs", 6), 6);
    assert_true(wire_save(&other));
    assert_true(wire_save(&pair->wire));
    assert_receives(pair, "456789", 100);
    assert_true(wire_flush(&pair->wire));
    assert_client_has(pair, "answer");
    /* Another one may be freed at any time: what lies on the desk is not its. */
    client_sends(pair, "abc");
    pair->wire.receivable = MUCH;
    assert_receives_nothing(pair); /* for it gave less than it could before */
    assert_receives(pair, "a", 1);
    wire_free(&other);
    assert_receives(pair, "bc", 100);
    assert_false(wire_has_unsent(&pair->wire));
}

static void gathers_behind_what_is_there(void **state)
{
    struct pair *pair = *state;
    client_sends(pair, "abc");
    assert_int_equal(wire_gather(&pair->wire), 3);
    assert_int_equal(wire_gather(&pair->wire), -1);
    assert_int_equal(errno, EAGAIN);
    client_sends(pair, "de");
    assert_true(wire_save(&pair->wire));
    assert_int_equal(wire_gather(&pair->wire), 2);
    assert_true(span_equal(wire_unread(&pair->wire), span_of("abcde")));
    assert_false(wire_is_reset(&pair->wire));
    assert_receives(pair, "abcde", 100);
    assert_int_equal(wire_unread(&pair->wire).len, 0);
    for (size_t i = 0; i < sizeof(pair->buffers.in_bytes) / 1000 + 1; i++) {
        char bytes[1000] = "";
        assert_int_equal(send(pair->client, bytes, sizeof(bytes), 0), sizeof(bytes));
        (void)wire_gather(&pair->wire);
    }
    while (wire_gather(&pair->wire) > 0)
        ;
    assert_int_equal(errno, ENOBUFS);
    assert_int_equal(wire_unread(&pair->wire).len, sizeof(pair->buffers.in_bytes));
}

static void tells_that_the_client_is_gone(void **state)
{
    (void)state;
    struct wire_buffers buffers = {0};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct wire wire = {.fd = fds[0], .buffers = &buffers};
    close(fds[1]);
    assert_int_equal(wire_send(&wire, (const unsigned char *)"x", 1), 1);
    assert_false(wire_flush(&wire));
    assert_int_equal(errno, EPIPE);
    assert_false(wire_is_reset(&wire));       /* it has ended its side, which is something else */
    assert_int_equal(wire_gather(&wire), -1); /* as much as was allowed */
    wire.receivable = 1;
    assert_int_equal(wire_gather(&wire), 0);
    wire_free(&wire);
    close(fds[0]);
}

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
#define WIRE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WIRE_TEST(sends_in_one_piece),
        WIRE_TEST(flushes_before_it_asks_for_an_answer),
        WIRE_TEST(takes_what_comes_at_once),
        WIRE_TEST(tells_once_that_there_is_no_more),
        WIRE_TEST(tells_the_end),
        WIRE_TEST(takes_no_more_than_allowed),
        WIRE_TEST(loses_nothing_to_a_slow_reader),
        WIRE_TEST(reads_nothing_from_who_does_not_read),
        WIRE_TEST(shares_the_desk),
        WIRE_TEST(gathers_behind_what_is_there),
        cmocka_unit_test(tells_that_the_client_is_gone),
        cmocka_unit_test(comes_in_any_records),
        cmocka_unit_test(may_be_followed),
        cmocka_unit_test(is_something_else),
        cmocka_unit_test(has_an_end),
        cmocka_unit_test(tells_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
