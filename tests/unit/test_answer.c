/* Responses: every row is given whole, byte by byte and at every split. */
#include "probe/fetch.h"

#include <stdlib.h>

#include "unit.h"

#define BYTES(literal) literal, sizeof(literal) - 1
#define OK             "HTTP/1.1 200 OK\r\n"
#define CHUNKED        OK "Transfer-Encoding: chunked\r\n\r\n"

/* The connection: the data in two pieces or, with a split of 0, byte by byte, and then what is repeated
 * without an end. */
struct source {
    struct span data;
    size_t split, done;
    struct span repeated; /* or empty */
    size_t sent;          /* of it, bytes */
};

static ssize_t next_piece(void *context, char *buf, size_t size)
{
    struct source *source = context;
    struct span piece = source->repeated;
    if (source->done < source->data.len) {
        size_t end = source->split == 0             ? source->done + 1
                     : source->done < source->split ? source->split
                                                    : source->data.len;
        piece = (struct span){source->data.data + source->done, end - source->done};
        source->done = end;
    } else {
        source->sent += piece.len;
    }
    assert_true(piece.len <= size);
    memcpy(buf, piece.data == NULL ? "" : piece.data, piece.len);
    return (ssize_t)piece.len;
}

/* The answer to the data and the end of the connection. */
static void read_all(struct answer *answer, const char *data, size_t len, size_t split)
{
    struct source source = {.data = {data, len}, .split = split};
    assert_true(answer_read(answer, next_piece, &source));
}

static const struct {
    const char *data;
    size_t len;
    unsigned status;
    const char *body;
    const char *type;
} whole[] = {
    {BYTES(OK "Content-Length: 3\r\n\r\nabc"), 200, "abc", ""},
    {BYTES(OK "Content-Length: 3\r\n\r\nabcdef"), 200, "abc",
     ""}, /* what follows is nothing to us */
    {BYTES(OK "content-length:3\r\nCONTENT-TYPE:  text/plain \t\r\n\r\nabc"), 200, "abc",
     "text/plain"},
    {BYTES(OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), 200, "abc", ""},
    {BYTES(OK "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n"), 200, "", "a/b"},
    {BYTES(OK "Content-Length: 0\r\n\r\n"), 200, "", ""},
    {BYTES(OK "\r\nabc"), 200, "abc", ""},
    {BYTES("HTTP/1.0 200\r\n\r\nabc"), 200, "abc", ""},
    {BYTES("HTTP/1.1 200 \r\n\r\n"), 200, "", ""},
    {BYTES("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"), 204, "", ""},
    {BYTES("HTTP/1.1 304 Not Modified\r\n\r\n"), 304, "", ""},
    {BYTES("HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\nx"), 200, "x", ""},
    {BYTES("HTTP/1.1 103 E\r\nContent-Length: 9\r\n\r\n" OK "\r\nx"), 200, "x", ""},
    {BYTES(CHUNKED "3\r\nabc\r\n0\r\n\r\n"), 200, "abc", ""},
    {BYTES(CHUNKED "3\r\nabc\r\n002\r\nde\r\n0\r\n\r\n"), 200, "abcde", ""},
    {BYTES(CHUNKED "A;name=\"value\"\r\n0123456789\r\n0\r\n\r\n"), 200, "0123456789", ""},
    {BYTES(CHUNKED "a\r\n0123456789\r\n0\r\nTrailer: x\r\nMore: y\r\n\r\n"), 200, "0123456789", ""},
    {BYTES(OK "Transfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"), 200, "x", ""},
};

static const struct {
    const char *data;
    size_t len;
    const char *fault;
} broken[] = {
    {BYTES(""), "is empty"},
    {BYTES("HTT"), "ends within its head"},
    {BYTES(OK "Content-Le"), "ends within its head"},
    {BYTES("SSH-2.0-OpenSSH"), "does not begin with the status line of HTTP/1.1"},
    {BYTES("HTTP/2 200 OK\r\n\r\n"), "does not begin with the status line of HTTP/1.1"},
    {BYTES("HTTP/1.1\r\n\r\n"), "does not begin with the status line of HTTP/1.1"},
    {BYTES("HTTP/1.1 2000\r\n\r\n"), "does not begin with the status line of HTTP/1.1"},
    {BYTES("HTTP/1.1 2x0 OK\r\n\r\n"), "has a status that is not a number"},
    {BYTES("HTTP/1.1 099 OK\r\n\r\n"), "has a status below 100"},
    {BYTES("HTTP/1.1 200 OK\n\n"), "has a header line that ends with LF instead of CRLF"},
    {BYTES(OK "A: b\n\r\n"), "has a header line that ends with LF instead of CRLF"},
    {BYTES(OK "A: b\r\n\n"), "has a header line that ends with LF instead of CRLF"},
    {BYTES(OK "A: b\r\n folded\r\n\r\n"), "has a header that is folded over two lines"},
    {BYTES(OK "A\r\n\r\n"), "has a header line without a colon"},
    {BYTES(OK "A : b\r\n\r\n"), "has a header with an invalid name"},
    {BYTES(OK ": b\r\n\r\n"), "has a header with an invalid name"},
    {BYTES(OK "A: \0\r\n\r\n"), "has a control character in its head"},
    {BYTES(OK "A: \r\r\n\r\n"), "has a control character in its head"},
    {BYTES(OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"),
     "has two values of Content-Length"},
    {BYTES(OK "Content-Length: -1\r\n\r\n"), "has a Content-Length that is no size"},
    {BYTES(OK "Content-Length: \r\n\r\n"), "has a Content-Length that is no size"},
    {BYTES(OK "Content-Length: 9999999999999999999\r\n\r\n"),
     "has a Content-Length that is no size"},
    {BYTES(OK "Content-Length: 4\r\n\r\nabc"), "ends before its body does"},
    {BYTES(OK "Transfer-Encoding: gzip\r\n\r\n"), "has a Transfer-Encoding other than chunked"},
    {BYTES(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "has a Transfer-Encoding other than chunked"},
    {BYTES(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
     "has both Content-Length and Transfer-Encoding"},
    {BYTES(OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
     "has both Content-Length and Transfer-Encoding"},
    {BYTES(CHUNKED "3\r\nab"), "ends before its body does"},
    {BYTES(CHUNKED "3\r\nabc\r\n0\r\n"), "ends before its body does"},
    {BYTES(CHUNKED "\r\n"), "has a chunk without a size"},
    {BYTES(CHUNKED "g\r\n"), "has a chunk without a size"},
    {BYTES(CHUNKED "1000000000000000\r\n"), "has a chunk without a size"},
    {BYTES(CHUNKED "3x\r\n"), "has a chunk with a malformed size"},
    {BYTES(CHUNKED "3\n"), "has a chunk with a malformed size"},
    {BYTES(CHUNKED "3 \r\nabc\r\n0\r\n\r\n"), "has a chunk with a malformed size"},
    {BYTES(CHUNKED "3 ;x\r\nabc\r\n0\r\n\r\n"), "has a chunk with a malformed size"},
    {BYTES(CHUNKED "3\rx"), "has a chunk with a malformed size"},
    {BYTES(CHUNKED "3;x\n"), "has a chunk with a malformed extension"},
    {BYTES(CHUNKED "3\r\nabcd"), "has a chunk that is longer than it says"},
    {BYTES(CHUNKED "3\r\nabc\rx"), "has a chunk that is longer than it says"},
    {BYTES(CHUNKED "0\r\n\n"), "has a malformed trailer"},
    {BYTES(CHUNKED "0\r\n\rx"), "has a malformed trailer"},
};

static struct answer *new_answer(void)
{
    struct answer *answer = malloc(sizeof(*answer));
    assert_non_null(answer);
    return answer;
}

static void whole_responses_are_read(void **state)
{
    (void)state;
    struct answer *answer = new_answer();
    for (size_t i = 0; i < COUNT(whole); i++) {
        for (size_t split = 0; split < whole[i].len; split++) {
            read_all(answer, whole[i].data, whole[i].len, split);
            assert_int_equal(answer->status, whole[i].status);
            struct span body = {answer->body, answer->body_len};
            assert_true(span_equal(body, span_of(whole[i].body)));
            assert_true(span_equal(answer->content_type, span_of(whole[i].type)));
            assert_null(answer->fault);
            assert_false(answer->is_cut);
        }
    }
    free(answer);
}

static void broken_responses_are_named(void **state)
{
    (void)state;
    struct answer *answer = new_answer();
    for (size_t i = 0; i < COUNT(broken); i++) {
        for (size_t split = 0; split == 0 || split < broken[i].len; split++) {
            read_all(answer, broken[i].data, broken[i].len, split);
            assert_non_null(answer->fault);
            assert_string_equal(answer->fault, broken[i].fault);
        }
    }
    free(answer);
}

/* A server that goes on forever fills no more than there is. */
static void endless_responses_are_cut(void **state)
{
    (void)state;
    static const char *const heads[] = {
        OK "\r\n",
        OK "Content-Length: 999999999999999999\r\n\r\n",
        CHUNKED "fffffffffffffff\r\n",
    };
    char block[1000];
    struct answer *answer = new_answer();
    memset(block, 'x', sizeof(block));
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct source source = {.data = span_of(heads[i]), .repeated = {block, sizeof(block)}};
        assert_true(answer_read(answer, next_piece, &source));
        assert_true(source.sent <= LIMIT_BODY_MOST + sizeof(block));
        assert_int_equal(answer->body_len, LIMIT_BODY_MOST);
        assert_true(answer->is_cut);
        assert_null(answer->fault);
    }
    free(answer);
}

static void body_of_the_largest_size_is_whole(void **state)
{
    (void)state;
    struct answer *answer = new_answer();
    size_t head = strlen(OK "\r\n");
    char *bytes = calloc(1, head + LIMIT_BODY_MOST);
    assert_non_null(bytes);
    memcpy(bytes, OK "\r\n", head);
    read_all(answer, bytes, head + LIMIT_BODY_MOST, 0);
    assert_null(answer->fault);
    assert_int_equal(answer->body_len, LIMIT_BODY_MOST);
    assert_false(answer->is_cut);
    free(bytes);
    free(answer);
}

/* What has come of a response before the connection fails says whether there was any. */
static ssize_t fail_behind(void *context, char *buf, size_t size)
{
    struct source *source = context;
    return source->done < source->data.len ? next_piece(source, buf, size) : -1;
}

static void failed_connections_are_no_fault_of_the_response(void **state)
{
    (void)state;
    struct answer *answer = new_answer();
    static const char *const begun[] = {"", "HTT", OK "\r\n", OK "Content-Length: 3\r\n\r\nab",
                                        CHUNKED "3\r\nab"};
    for (size_t i = 0; i < COUNT(begun); i++) {
        struct source source = {.data = span_of(begun[i])};
        assert_false(answer_read(answer, fail_behind, &source));
        assert_null(answer->fault);
        assert_true((answer->head_len == 0) == (i == 0));
    }
    free(answer);
}

static const struct {
    const char *begin;
    const char *repeated;
    const char *fault;
} endless[] = {
    {OK, "A: b\r\n", "has a head of more than 16 KB"},
    {CHUNKED "1;", "x", "has a chunk with a malformed extension"},
    {CHUNKED "0\r\n", "A: b\r\n", "has a malformed trailer"},
};

static void endless_frames_are_refused(void **state)
{
    (void)state;
    struct answer *answer = new_answer();
    for (size_t i = 0; i < COUNT(endless); i++) {
        struct source source = {.data = span_of(endless[i].begin),
                                .repeated = span_of(endless[i].repeated)};
        assert_true(answer_read(answer, next_piece, &source));
        assert_true(source.sent < 64 * 1024);
        assert_non_null(answer->fault);
        assert_string_equal(answer->fault, endless[i].fault);
    }
    free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_responses_are_read),
        cmocka_unit_test(broken_responses_are_named),
        cmocka_unit_test(endless_responses_are_cut),
        cmocka_unit_test(body_of_the_largest_size_is_whole),
        cmocka_unit_test(endless_frames_are_refused),
        cmocka_unit_test(failed_connections_are_no_fault_of_the_response),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
