/* The wire over a pair of sockets with small kernel buffers, and a desk that two wires share. */
#include "serve/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
