/* Responses, byte for byte. */
#include "http/http.h"

#include <stdio.h>

#include "unit.h"

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define COMMON                            \
    "X-Content-Type-Options: nosniff\r\n" \
    "Strict-Transport-Security: max-age=31557600\r\n"
#define ERROR(status, len, extra, body)                                               \
    "HTTP/1.1 " status "\r\n" DATE "Content-Type: text/plain\r\nContent-Length: " len \
    "\r\nCache-Control: no-store\r\n" COMMON extra "Connection: close\r\n\r\n" body

static const int64_t date = 784111777;
static const char policy[] = "version: STSv1\r\nmode: none\r\n";

static void assert_renders(struct response response, const char *expected)
{
    char out[RESPONSE_SIZE];
    size_t len = response_render(&response, out);

    assert_true(len <= sizeof(out));
    if (len != strlen(expected) || memcmp(out, expected, len) != 0)
        print_error("got:\n%.*sexpected:\n%s", (int)len, out, expected);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(out, expected, len);
}

static void renders_policies(void **state)
{
    (void)state;
    struct response response = {HTTP_OK, date, span_of(policy), false, HTTP_PERSIST, false, NULL};
    static const char head[] =
        "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: 28\r\n"
        "Cache-Control: no-cache\r\n" COMMON;
    static const struct {
        enum http_persistence persistence;
        const char *line;
    } rows[] = {
        {HTTP_PERSIST, ""},
        {HTTP_KEEP_ALIVE, "Connection: keep-alive\r\n"},
        {HTTP_CLOSE, "Connection: close\r\n"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char expected[512];
        response.persistence = rows[i].persistence;
        response.head_only = false;
        (void)snprintf(expected, sizeof(expected), "%s%s\r\n%s", head, rows[i].line, policy);
        assert_renders(response, expected);
        response.head_only = true;
        (void)snprintf(expected, sizeof(expected), "%s%s\r\n", head, rows[i].line);
        assert_renders(response, expected);
    }
}

/* RFC 6797 section 7.2: nothing about TLS in clear text; the proxy knows what it speaks. */
static void renders_clear_text(void **state)
{
    (void)state;
    struct response response = {HTTP_OK, date, span_of(policy), false, HTTP_PERSIST, true, NULL};
    assert_renders(response,
                   "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: 28\r\n"
                   "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n\r\n"
                   "version: STSv1\r\nmode: none\r\n");
}

static void renders_errors(void **state)
{
    (void)state;
    static const struct {
        enum http_status status;
        const char *expected;
    } rows[] = {
        {HTTP_BAD_REQUEST, ERROR("400 Bad Request", "12", "", "bad-request\n")},
        {HTTP_NOT_FOUND, ERROR("404 Not Found", "10", "", "not-found\n")},
        {HTTP_METHOD_NOT_ALLOWED,
         ERROR("405 Method Not Allowed", "19", "Allow: GET, HEAD\r\n", "method-not-allowed\n")},
        {HTTP_MISDIRECTED, ERROR("421 Misdirected Request", "20", "", "misdirected-request\n")},
        {HTTP_HEADERS_TOO_LARGE,
         ERROR("431 Request Header Fields Too Large", "25", "", "request-header-too-large\n")},
        {HTTP_UNAVAILABLE,
         ERROR("503 Service Unavailable", "19", "Retry-After: 3600\r\n", "policy-unavailable\n")},
        {HTTP_VERSION_NOT_SUPPORTED,
         ERROR("505 HTTP Version Not Supported", "27", "", "http-version-not-supported\n")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct response response = {rows[i].status, date,  {NULL, 0}, false,
                                    HTTP_CLOSE,     false, NULL};
        assert_renders(response, rows[i].expected);
        /* An error never shows a policy, even when it is given one. */
        response.policy = span_of(policy);
        assert_renders(response, rows[i].expected);
        /* Senders that don't look at the status find no "key: value". */
        const char *body = strstr(rows[i].expected, "\r\n\r\n");
        if (body == NULL || strchr(body, ':') != NULL)
            fail_msg("%s", rows[i].expected);
    }
}

static void renders_the_largest(void **state)
{
    (void)state;
    char body[LIMIT_BODY];
    char out[RESPONSE_SIZE];
    memset(body, 'a', sizeof(body));
    struct response response = {
        HTTP_OK, date, {body, sizeof(body)}, false, HTTP_KEEP_ALIVE, false, NULL,
    };

    size_t len = response_render(&response, out);
    assert_true(len > LIMIT_BODY && len <= RESPONSE_SIZE);
    assert_memory_equal(out + len - LIMIT_BODY, body, LIMIT_BODY);
}

/* The longest there can be fits. */
static void leads_elsewhere(void **state)
{
    static char location[sizeof("https://") + LIMIT_NAME + LIMIT_REDIRECT_PATH];
    char head[LIMIT_RESPONSE_HEAD + 1];
    (void)state;
    memset(location, 'x', sizeof(location) - 1);
    const struct response response = {
        .status = HTTP_PERMANENT_REDIRECT,
        .persistence = HTTP_KEEP_ALIVE,
        .location = location,
    };
    size_t len = response_render_head(&response, "text/plain", 10, head);
    head[len] = '\0';
    const char *found = strstr(head, "\r\nLocation: ");
    assert_non_null(found);
    found += strlen("\r\nLocation: ");
    assert_int_equal(strncmp(found, location, strlen(location)), 0);
    assert_int_equal(strncmp(found + strlen(location), "\r\n", 2), 0);
    assert_true(span_equal(response_body(&response), span_of("permanent-redirect\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_policies),    cmocka_unit_test(renders_clear_text),
        cmocka_unit_test(renders_errors),      cmocka_unit_test(leads_elsewhere),
        cmocka_unit_test(renders_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
