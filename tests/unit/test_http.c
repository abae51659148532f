/* Request heads: every row ends at a guard page and is also given at every split. */
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "unit.h"

#define PATH           "/.well-known/mta-sts.txt"
#define HOST           "Host: mta-sts.example.com\r\n"
#define GET            "GET " PATH " HTTP/1.1\r\n"
#define BYTES(literal) literal, sizeof(literal) - 1

struct answer {
    enum http_progress progress;
    struct http_request request;
    size_t consumed;
    enum http_status status;
};

static struct answer parse(const char *data, size_t len)
{
    struct span input = guard_copy((struct span){data, len});
    struct answer answer = {.status = HTTP_NONE};

    answer.progress = http_parse(input, &answer.request, &answer.consumed, &answer.status);
    if (answer.progress == HTTP_COMPLETE) {
        /* The spans outlive the copy only as offsets into what it was made from. */
        if (answer.request.has_path)
            answer.request.path.data = data + (answer.request.path.data - input.data);
        if (answer.request.has_host)
            answer.request.host.data = data + (answer.request.host.data - input.data);
    }
    guard_free(input);
    return answer;
}

static void assert_same_answer(const struct answer *left, const struct answer *right)
{
    assert_int_equal(left->progress, right->progress);
    assert_int_equal(left->status, right->status);
    if (left->progress == HTTP_REFUSED)
        assert_int_equal(left->request.method, right->request.method);
    if (left->progress != HTTP_COMPLETE)
        return;
    assert_int_equal(left->consumed, right->consumed);
    assert_int_equal(left->request.method, right->request.method);
    assert_int_equal(left->request.persistence, right->request.persistence);
    assert_int_equal(left->request.has_body, right->request.has_body);
    assert_true(span_equal(left->request.host, right->request.host));
    assert_true(span_equal(left->request.path, right->request.path));
}

/* Whatever is decided before the end is decided as at the end, and stays so. */
static struct answer parse_at_every_split(const char *data, size_t len)
{
    struct answer whole = parse(data, len);
    bool decided = false;

    for (size_t i = 0; i < len; i++) {
        struct answer part = parse(data, i);
        if (part.progress == HTTP_PARTIAL) {
            assert_false(decided);
            continue;
        }
        decided = true;
        assert_same_answer(&part, &whole);
    }
    return whole;
}

static const struct {
    const char *data;
    size_t len;
    enum http_status status;
} refused[] = {
    /* The ends of lines. */
    {BYTES("GET " PATH " HTTP/1.1\n" HOST "\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET "Host: mta-sts.example.com\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "\r\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTP/1.1\r" HOST "\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "A: b\rc\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES("\n" GET HOST "\r\n"), HTTP_BAD_REQUEST},
    {BYTES("\r\n\r\n" GET HOST "\r\n"), HTTP_BAD_REQUEST},
    /* Bytes that no line has. */
    {BYTES("GET " PATH "\0 HTTP/1.1\r\n" HOST "\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "A: b\0c\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "A: b\x01\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "A: b\x7f\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES("\x16\x03\x01"), HTTP_BAD_REQUEST},
    /* The request line. */
    {BYTES("GET " PATH "\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET\r\n"), HTTP_BAD_REQUEST},
    {BYTES(" GET " PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET  " PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH "  HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTP/1.1 \r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET\t" PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("G(T " PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " http/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTP/1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTP/1.10\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTP/11.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTP/1,1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTPS/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTP/0.9\r\n"), HTTP_VERSION_NOT_SUPPORTED},
    {BYTES("GET " PATH " HTTP/2.0\r\n"), HTTP_VERSION_NOT_SUPPORTED},
    {BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), HTTP_VERSION_NOT_SUPPORTED},
    /* The target. */
    {BYTES("GET /\xc3\xbc HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET mta-sts.txt HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH "#a HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET https://a#/b HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET /.well-known\\mta-sts.txt HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET /{a} HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET * HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET mta-sts.example.com:443 HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("CONNECT mta-sts.example.com HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("CONNECT / HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET ftp://mta-sts.example.com" PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET https:" PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET https://" PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET https://a@mta-sts.example.com" PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET https://mta-sts.example.com:x" PATH " HTTP/1.1\r\n"), HTTP_BAD_REQUEST},
    /* The syntax of headers. */
    {BYTES(GET HOST " folded\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "\tfolded\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET " " HOST "\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET "Host : mta-sts.example.com\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "no colon\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST ": no name\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "n\xc3\xa4me: b\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "a/b: c\r\n\r\n"), HTTP_BAD_REQUEST},
    /* Host. */
    {BYTES(GET "\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST HOST "\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET " PATH " HTTP/1.0\r\n" HOST HOST "\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET "Host:\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET "Host: a b\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET "Host: a@b\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET "Host: a,b/c\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET https://mta-sts.example.com" PATH " HTTP/1.1\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES("GET https://mta-sts.example.com" PATH " HTTP/1.1\r\nHost: a b\r\n"), HTTP_BAD_REQUEST},
    /* Bodies. */
    {BYTES(GET HOST "Content-Length: 1\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "Content-Length: 00\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "Content-Length: +0\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "Content-Length:\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "Content-Length: 0, 0\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "Transfer-Encoding: chunked\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES(GET HOST "Transfer-Encoding: identity\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES("HEAD / HTTP/1.1\r\n" HOST "Transfer-Encoding: x\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
     HTTP_BAD_REQUEST},
    {BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n"), HTTP_BAD_REQUEST},
    {BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
     HTTP_BAD_REQUEST},
    {BYTES("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
     HTTP_BAD_REQUEST},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct answer answer = parse_at_every_split(refused[i].data, refused[i].len);
        if (answer.progress != HTTP_REFUSED || answer.status != refused[i].status)
            print_error("row %zu: %s\n", i, refused[i].data);
        assert_int_equal(answer.progress, HTTP_REFUSED);
        assert_int_equal(answer.status, refused[i].status);
    }
}

/* Who refuses a HEAD must know that it was one: its answer has no body. */
static void knows_a_refused_head(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum http_method method;
    } rows[] = {
        {"HEAD / HTTP/2.0\r\n", HTTP_HEAD},     {"HEAD /# HTTP/1.1\r\n", HTTP_HEAD},
        {"HEAD / HTTP/1.1\r\n\r\n", HTTP_HEAD}, {"HEAD / HTTP/1.1\r\nA\r\n", HTTP_HEAD},
        {"GET / HTTP/1.1\r\n\r\n", HTTP_GET},   {"HEAD\r\n", HTTP_GET},
        {"HEAD / HTTP/1.1\n", HTTP_GET},        {"POST / HTTP/1.1\r\n\r\n", HTTP_OTHER},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct answer answer = parse_at_every_split(rows[i].text, strlen(rows[i].text));
        assert_int_equal(answer.progress, HTTP_REFUSED);
        assert_int_equal(answer.request.method, rows[i].method);
    }
}

static void reads(void **state)
{
    (void)state;
    static const struct {
        const char *text; /* everything up to here is one head */
        enum http_method method;
        enum http_persistence persistence;
        const char *path; /* NULL: none */
        const char *host; /* NULL: none */
        bool plain_scheme;
        bool has_body;
    } rows[] = {
        {GET HOST "\r\n", HTTP_GET, HTTP_PERSIST, PATH, "mta-sts.example.com", false, false},
        {"\r\n" GET HOST "\r\n", HTTP_GET, HTTP_PERSIST, PATH, "mta-sts.example.com", false, false},
        {"GET / HTTP/1.9\r\nhOST:a:\r\n\r\n", HTTP_GET, HTTP_PERSIST, "/", "a", false, false},
        {"HEAD /?a HTTP/1.1\r\nHost:\t a:443 \t\r\n\r\n", HTTP_HEAD, HTTP_PERSIST, "/?a", "a",
         false, false},
        {"GET / HTTP/1.0\r\n\r\n", HTTP_GET, HTTP_CLOSE, "/", NULL, false, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", HTTP_GET, HTTP_KEEP_ALIVE, "/", NULL,
         false, false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", HTTP_GET, HTTP_CLOSE, "/", NULL,
         false, false},
        {GET HOST "Connection: foo , CLOSE\r\n\r\n", HTTP_GET, HTTP_CLOSE, PATH,
         "mta-sts.example.com", false, false},
        {GET HOST "Connection:\r\nConnection: ,,close,\r\n\r\n", HTTP_GET, HTTP_CLOSE, PATH,
         "mta-sts.example.com", false, false},
        {GET HOST "Connection: closed\r\n\r\n", HTTP_GET, HTTP_PERSIST, PATH, "mta-sts.example.com",
         false, false},
        {GET HOST "A: b\tc \xfc\r\nB:\r\nExpect: 100-continue\r\nUpgrade: h2c\r\n\r\n", HTTP_GET,
         HTTP_PERSIST, PATH, "mta-sts.example.com", false, false},
        {GET HOST "Content-Length: 0\r\n\r\n", HTTP_GET, HTTP_PERSIST, PATH, "mta-sts.example.com",
         false, false},
        {"get / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OTHER, HTTP_PERSIST, "/", "a", false, false},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", HTTP_OTHER, HTTP_PERSIST, "/",
         "a", false, false},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n", HTTP_OTHER, HTTP_CLOSE, "/",
         "a", false, true},
        {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_OTHER, HTTP_CLOSE,
         "/", "a", false, true},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OPTIONS, HTTP_PERSIST, NULL, "a", false,
         false},
        {"CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n", HTTP_CONNECT, HTTP_CLOSE, NULL, "b", false,
         false},
        {"GET HTTPS://a:1/b HTTP/1.1\r\nHost: c\r\n\r\n", HTTP_GET, HTTP_PERSIST, "/b", "a", false,
         false},
        {"GET hTTp://a?b HTTP/1.1\r\nHost: c\r\n\r\n", HTTP_GET, HTTP_PERSIST, "?b", "a", true,
         false},
        {"GET https://[::1] HTTP/1.0\r\n\r\n", HTTP_GET, HTTP_CLOSE, "", "[::1]", false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char input[512];
        size_t len = strlen(rows[i].text);
        (void)snprintf(input, sizeof(input), "%s%s", rows[i].text, GET HOST "\r\n\n\n");
        struct answer answer = parse_at_every_split(input, strlen(input));
        if (answer.progress != HTTP_COMPLETE)
            print_error("row %zu: %s\n", i, rows[i].text);
        assert_int_equal(answer.progress, HTTP_COMPLETE);
        assert_int_equal(answer.consumed, len);
        const struct http_request *request = &answer.request;
        assert_int_equal(request->method, rows[i].method);
        assert_int_equal(request->persistence, rows[i].persistence);
        assert_int_equal(request->has_path, rows[i].path != NULL);
        if (request->has_path)
            assert_true(span_equal(request->path, span_of(rows[i].path)));
        assert_int_equal(request->has_host, rows[i].host != NULL);
        if (request->has_host)
            assert_true(span_equal(request->host, span_of(rows[i].host)));
        assert_int_equal(request->plain_scheme, rows[i].plain_scheme);
        assert_int_equal(request->has_body, rows[i].has_body);
        assert_int_equal(parse(input, len - 1).progress, HTTP_PARTIAL);
    }
}

/* A request of exactly this many bytes, then an a. */
static char *request_of(size_t len)
{
    static const char begin[] = GET HOST "A: ";
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, 'a', len + 1);
    memcpy(text, begin, sizeof(begin) - 1);
    memcpy(text + len - 4, "\r\n\r\n", 4);
    return text;
}

static void limits_bytes(void **state)
{
    (void)state;
    char *text = request_of(LIMIT_REQUEST_HEAD);
    assert_int_equal(parse_at_every_split(text, LIMIT_REQUEST_HEAD + 1).consumed,
                     LIMIT_REQUEST_HEAD);
    free(text);

    text = request_of(LIMIT_REQUEST_HEAD + 1);
    struct answer answer = parse_at_every_split(text, LIMIT_REQUEST_HEAD + 1);
    assert_int_equal(answer.progress, HTTP_REFUSED);
    assert_int_equal(answer.status, HTTP_HEADERS_TOO_LARGE);
    assert_int_equal(parse(text, LIMIT_REQUEST_HEAD - 1).progress, HTTP_PARTIAL);
    free(text);
}

static void limits_headers(void **state)
{
    (void)state;
    char text[LIMIT_REQUEST_HEAD] = GET HOST;
    size_t len = strlen(text);

    for (int i = 1; i < LIMIT_REQUEST_HEADERS; i++, len += 5)
        memcpy(text + len, "A:b\r\n", 5);
    memcpy(text + len, "\r\n", 2);
    assert_int_equal(parse_at_every_split(text, len + 2).progress, HTTP_COMPLETE);
    memcpy(text + len, "A:b\r\n", 5);
    assert_int_equal(parse_at_every_split(text, len + 5).status, HTTP_HEADERS_TOO_LARGE);
}

static void judges(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool at_home, has_policy;
        enum http_status status;
    } rows[] = {
        {"GET " PATH, true, true, HTTP_OK},
        {"HEAD " PATH, true, true, HTTP_OK},
        {"GET https://a" PATH, true, true, HTTP_OK},
        {"GET " PATH, true, false, HTTP_UNAVAILABLE},
        {"GET " PATH, false, true, HTTP_MISDIRECTED},
        {"POST /", false, true, HTTP_MISDIRECTED},
        {"GET /", true, true, HTTP_NOT_FOUND},
        {"GET /", true, false, HTTP_NOT_FOUND},
        {"POST /", true, true, HTTP_NOT_FOUND},
        {"GET " PATH "?", true, true, HTTP_NOT_FOUND},
        {"GET " PATH "/", true, true, HTTP_NOT_FOUND},
        {"GET /" PATH, true, true, HTTP_NOT_FOUND},
        {"GET /.well-known/mta%2Dsts.txt", true, true, HTTP_NOT_FOUND},
        {"GET /.well-known/MTA-STS.txt", true, true, HTTP_NOT_FOUND},
        {"GET /./.well-known/mta-sts.txt", true, true, HTTP_NOT_FOUND},
        {"GET https://a", true, true, HTTP_NOT_FOUND},
        {"POST " PATH, true, true, HTTP_METHOD_NOT_ALLOWED},
        {"POST " PATH, true, false, HTTP_METHOD_NOT_ALLOWED},
        {"OPTIONS *", true, true, HTTP_METHOD_NOT_ALLOWED},
        {"CONNECT a:443", true, true, HTTP_METHOD_NOT_ALLOWED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char input[256];
        int len = snprintf(input, sizeof(input), "%s HTTP/1.1\r\nHost: a\r\n\r\n", rows[i].line);
        struct answer answer = parse(input, (size_t)len);
        assert_int_equal(answer.progress, HTTP_COMPLETE);
        assert_int_equal(http_judge(&answer.request, rows[i].at_home, rows[i].has_policy),
                         rows[i].status);
    }
}

static void reads_authorities(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        bool has_port;
    } rows[] = {
        {"a", "a", false},
        {"a.example.", "a.example.", false},
        {"a:", "a", false},
        {"a:1", "a", true},
        {"a:00443", "a", true},
        {"a:65535", "a", true},
        {"192.0.2.1:443", "192.0.2.1", true},
        {"[2001:db8::1]", "[2001:db8::1]", false},
        {"[::ffff:192.0.2.1]:443", "[::ffff:192.0.2.1]", true},
        {"a_b~!$&'()*+,;=%41", "a_b~!$&'()*+,;=%41", false},
        {"", NULL, false},
        {":443", NULL, false},
        {"a:0", NULL, false},
        {"a:65536", NULL, false},
        {"a:99999999999999999999", NULL, false},
        {"a:-1", NULL, false},
        {"a:1:2", NULL, false},
        {"2001:db8::1", NULL, false},
        {"[]", NULL, false},
        {"[", NULL, false},
        {"[::1", NULL, false},
        {"[::1]443", NULL, false},
        {"[::1]]", NULL, false},
        {"[::1%25eth0]", NULL, false},
        {"[v1.a]", NULL, false},
        {"[192.0.2.1]", NULL, false},
        {"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]", NULL, false},
        {"a@b", NULL, false},
        {"a/b", NULL, false},
        {"a b", NULL, false},
        {"a%4", NULL, false},
        {"a%4g", NULL, false},
        {"b\xc3\xbc"
         "cher.example",
         NULL, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct host_port authority;
        struct span text = guard_copy(span_of(rows[i].text));
        bool parsed = host_port_parse(text, &authority);
        if (parsed != (rows[i].host != NULL))
            print_error("row %zu: %s\n", i, rows[i].text);
        assert_int_equal(parsed, rows[i].host != NULL);
        if (parsed) {
            assert_true(span_equal(authority.host, span_of(rows[i].host)));
            assert_int_equal(authority.has_port, rows[i].has_port);
        }
        guard_free(text);
    }
}

/* Any byte at any place: no crash, and still one answer however it is split. */
static void withstands_mutations(void **state)
{
    (void)state;
    static const char text[] =
        "GET https://[::1]:4/a HTTP/1.0\r\nHost: a:1\r\nConnection: a\r\n\r\n";
    static const char bytes[] = "\0\t\n\r :/[]@%*\x7f\x80\xff";

    for (size_t i = 0; i + 1 < sizeof(text); i++)
        for (size_t k = 0; k + 1 < sizeof(bytes); k++) {
            char mutant[sizeof(text)];
            memcpy(mutant, text, sizeof(text));
            mutant[i] = bytes[k];
            (void)parse_at_every_split(mutant, sizeof(text) - 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),
        cmocka_unit_test(knows_a_refused_head),
        cmocka_unit_test(reads),
        cmocka_unit_test(limits_bytes),
        cmocka_unit_test(limits_headers),
        cmocka_unit_test(judges),
        cmocka_unit_test(reads_authorities),
        cmocka_unit_test(withstands_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
