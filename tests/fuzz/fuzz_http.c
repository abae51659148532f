/*
 * Any bytes as a stream of requests: cut anywhere, they get the answer that they
 * get in one piece; what is taken for a request can be read in one way only,
 * which a second, simpler reader finds too; and every answer is well-formed.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "fuzz.h"
#include "http/http.h"

struct answer {
    enum http_progress progress;
    struct http_request request;
    size_t consumed;
    enum http_status status;
};

/* The input ends where it is cut, so that the sanitizer sees who reads beyond. */
static struct answer parse(struct span input)
{
    struct answer answer = {.status = HTTP_NONE};
    if (input.len > LIMIT_REQUEST_HEAD + 1)
        input.len = LIMIT_REQUEST_HEAD + 1; /* nobody looks further */
    char *copy = malloc(input.len + 1);
    assert(copy != NULL);
    char *begin = copy + 1; /* not aligned, as in a buffer */
    if (input.len > 0)
        memcpy(begin, input.data, input.len);
    answer.progress = http_parse((struct span){begin, input.len}, &answer.request, &answer.consumed,
                                 &answer.status);
    if (answer.progress == HTTP_COMPLETE) {
        /* Borrowed from the copy; the same place in what it was copied from. */
        if (answer.request.has_path)
            answer.request.path.data = input.data + (answer.request.path.data - begin);
        if (answer.request.has_host)
            answer.request.host.data = input.data + (answer.request.host.data - begin);
    }
    free(copy);
    return answer;
}

static void check_same(const struct answer *one, const struct answer *other)
{
    const struct http_request *a = &one->request, *b = &other->request;
    assert(one->progress == other->progress && one->status == other->status);
    if (one->progress != HTTP_COMPLETE)
        return;
    assert(one->consumed == other->consumed && a->method == b->method);
    assert(a->has_path == b->has_path && a->has_host == b->has_host && a->has_body == b->has_body);
    assert(a->plain_scheme == b->plain_scheme && a->persistence == b->persistence);
    assert(!a->has_path || (a->path.data == b->path.data && a->path.len == b->path.len));
    assert(!a->has_host || (a->host.data == b->host.data && a->host.len == b->host.len));
}

/* Where a cut may matter: near the begin and the ends of lines; elsewhere some stand for all. */
static bool is_worth_a_cut(struct span input, size_t at)
{
    return at < 64 || at % 61 == 0 || memchr(input.data + at - 2, '\r', 4) != NULL ||
           memchr(input.data + at - 2, '\n', 4) != NULL;
}

/* Partial up to some byte, and from there on the same as all of it. */
static void check_cuts(struct span input, const struct answer *whole)
{
    bool decided = false;
    size_t most = input.len < LIMIT_REQUEST_HEAD ? input.len : LIMIT_REQUEST_HEAD;
    for (size_t len = 0; len + 2 < most; len++) {
        if (!is_worth_a_cut(input, len))
            continue;
        struct answer part = parse((struct span){input.data, len});
        assert(!decided || part.progress != HTTP_PARTIAL);
        decided = part.progress != HTTP_PARTIAL;
        if (decided)
            check_same(&part, whole);
    }
}

static bool is_header(struct span line, const char *name)
{
    struct span prefix = span_of(name);
    return span_begins_fold(line, prefix) && line.len > prefix.len && line.data[prefix.len] == ':';
}

/* What the second reader counts behind the request line. */
struct headers {
    size_t count;
    size_t hosts;
    size_t bodies; /* headers that announce one */
};

static void count_header(struct span line, struct headers *headers)
{
    headers->count++;
    headers->hosts += is_header(line, "host");
    headers->bodies +=
        is_header(line, "transfer-encoding") ||
        (is_header(line, "content-length") && memchr(line.data, '0', line.len) == NULL);
}

/* The second reader: lines end at CR LF and nowhere else, and the first empty one is the end. */
static struct headers read_headers(struct span head)
{
    struct headers headers = {0};
    for (size_t lines = 0; head.len > 0; lines++) {
        const char *end = memmem(head.data, head.len, "\r\n", 2);
        assert(end != NULL);
        struct span line = {head.data, (size_t)(end - head.data)};
        for (size_t i = 0; i < line.len; i++)
            assert((unsigned char)line.data[i] >= ' ' || line.data[i] == '\t');
        head = span_skip(head, line.len + 2);
        assert((line.len == 0) == (head.len == 0));
        if (lines > 0 && line.len > 0)
            count_header(line, &headers);
    }
    return headers;
}

static void check_complete(struct span head, const struct http_request *request)
{
    assert(head.len <= LIMIT_REQUEST_HEAD && head.len >= 4);
    assert(memcmp(head.data + head.len - 4, "\r\n\r\n", 4) == 0);
    if (memcmp(head.data, "\r\n", 2) == 0)
        head = span_skip(head, 2);
    struct headers headers = read_headers(head);
    bool first_version = memmem(head.data, head.len, " HTTP/1.0\r\n", 11) != NULL;
    assert(headers.count <= LIMIT_REQUEST_HEADERS && headers.hosts <= 1);
    assert(headers.hosts == 1 || first_version);
    assert(headers.bodies == 0 || request->has_body);
    assert(!request->has_body || (request->method != HTTP_GET && request->method != HTTP_HEAD));
    assert(!request->has_body || request->persistence == HTTP_CLOSE);
}

static void check_response(const struct response *response)
{
    static char bytes[RESPONSE_SIZE];
    size_t len = response_render(response, bytes), lines = 0;
    struct span rest = {bytes, len};
    size_t content = SIZE_MAX;
    assert(len <= sizeof(bytes) && memcmp(bytes, "HTTP/1.1 ", 9) == 0);
    for (;;) {
        const char *end = memmem(rest.data, rest.len, "\r\n", 2);
        assert(end != NULL);
        struct span line = {rest.data, (size_t)(end - rest.data)};
        rest = span_skip(rest, line.len + 2);
        if (line.len == 0)
            break;
        if (is_header(line, "content-length"))
            content = strtoul(line.data + 15, NULL, 10);
        assert(lines++ == 0 || memchr(line.data, ':', line.len) != NULL);
    }
    assert(rest.len == (response->head_only ? 0 : content) && content != SIZE_MAX);
    assert(response->status == HTTP_OK || memchr(rest.data, ':', rest.len) == NULL);
}

static void check_answer(struct span input, const struct answer *answer)
{
    struct response response = {
        .status = answer->status,
        .policy = span_of("version: STSv1\r\n"),
        .persistence = HTTP_CLOSE,
    };
    if (answer->progress == HTTP_COMPLETE) {
        struct host_port again;
        const struct http_request *request = &answer->request;
        check_complete((struct span){input.data, answer->consumed}, request);
        assert(!request->has_host ||
               (host_port_parse(request->host, &again) && span_equal(again.host, request->host)));
        response.status = http_judge(request, true, true);
        response.head_only = request->method == HTTP_HEAD;
        response.persistence = request->persistence;
        assert(http_judge(request, false, true) == HTTP_MISDIRECTED);
        assert(response.status != HTTP_OK || http_judge(request, true, false) == HTTP_UNAVAILABLE);
    }
    check_response(&response);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = {(const char *)data, size};
    for (int requests = 0; requests < LIMIT_REQUESTS_A_CONNECTION; requests++) {
        struct answer answer = parse(input);
        check_cuts(input, &answer);
        if (answer.progress == HTTP_PARTIAL)
            break;
        assert((answer.status == HTTP_NONE) == (answer.progress == HTTP_COMPLETE));
        check_answer(input, &answer);
        if (answer.progress == HTTP_REFUSED)
            break;
        assert(answer.consumed > 0 && answer.consumed <= input.len);
        input = span_skip(input, answer.consumed);
    }
    return 0;
}
