/* The PROXY protocol: every header whole, split at each byte, and what is none. */
#include "http/http.h"

#include <string.h>

#include "base/address.h"
#include "base/limits.h"
#include "unit.h"

#define V2(version, family, len) "\r\n\r\n\0\r\nQUIT\n" version family len
#define TCP4_LOW                 "\xc0\x00\x02\x01\x7f\x00\x00\x01\xdc\x04\x01\xbb"
#define TCP6_LOW                                 \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07" \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x08\xdc\x04\x01\xbb"
#define BYTES(text)            \
    {                          \
        text, sizeof(text) - 1 \
    }

static const struct {
    struct span header;
    const char *client; /* NULL: the connection's own */
} good[] = {
    {BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 56324 443\r\n"), "192.0.2.1:56324"},
    {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255:65535"},
    {BYTES("PROXY TCP6 2001:db8::7 2001:db8::8 0 443\r\n"), "[2001:db8::7]:0"},
    {BYTES("PROXY UNKNOWN\r\n"), NULL},
    {BYTES("PROXY UNKNOWN ffff:f...f:ffff anything 65535 65535\r\n"), NULL},
    {BYTES(V2("\x21", "\x11", "\x00\x0c") TCP4_LOW), "192.0.2.1:56324"},
    {BYTES(V2("\x21", "\x21", "\x00\x24") TCP6_LOW), "[2001:db8::7]:56324"},
    {BYTES(V2("\x21", "\x11", "\x00\x13") TCP4_LOW "\x04\x00\x04\0\0\0\0"), "192.0.2.1:56324"},
    {BYTES(V2("\x20", "\x00", "\x00\x00")), NULL},
    {BYTES(V2("\x20", "\x11", "\x00\x0c") TCP4_LOW), NULL}, /* LOCAL: addresses are ignored */
    {BYTES(V2("\x21", "\x00", "\x00\x02") "ab"), NULL},
    {BYTES(V2("\x21", "\x12", "\x00\x0c") TCP4_LOW), NULL}, /* UDP is not ours */
    {BYTES(V2("\x21", "\x31", "\x00\x00")), NULL},
};

static void assert_client(const struct sockaddr_storage *client, const char *expected)
{
    struct address address = {0};
    if (expected == NULL) {
        assert_int_equal(client->ss_family, AF_UNSPEC);
        return;
    }
    memcpy(&address.v6, client, sizeof(address.v6));
    address_print(&address);
    assert_string_equal(address.text, expected);
}

static void reads_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct sockaddr_storage client;
        size_t consumed = 0;
        for (size_t len = 0; len < good[i].header.len; len++) {
            struct span part = guard_copy((struct span){good[i].header.data, len});
            assert_int_equal(proxy_parse(part, &consumed, &client), PROXY_PARTIAL);
            guard_free(part);
        }
        struct span whole = guard_copy(good[i].header);
        assert_int_equal(proxy_parse(whole, &consumed, &client), PROXY_COMPLETE);
        assert_int_equal(consumed, whole.len);
        assert_client(&client, good[i].client);
        guard_free(whole);
    }
}

static void leaves_what_follows(void **state)
{
    (void)state;
    static const struct span input = BYTES("PROXY UNKNOWN\r\n\x16\x03\x01");
    struct sockaddr_storage client;
    size_t consumed = 0;
    assert_int_equal(proxy_parse(input, &consumed, &client), PROXY_COMPLETE);
    assert_int_equal(consumed, input.len - 3);
}

static void refuses(void **state)
{
    (void)state;
    static const struct span rows[] = {
        BYTES("GET / HTTP/1.1\r\n"),
        BYTES("\x16\x03\x01"),
        BYTES("\r\n\r\nQ"),
        BYTES("proxy TCP4 192.0.2.1 127.0.0.1 1 2\r\n"),
        BYTES("PROXY \r\n"),
        BYTES("PROXY TCP5 192.0.2.1 127.0.0.1 1 2\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\n"),
        BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 1 2 \r\n"),
        BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 1 \r\n"),
        BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 1\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 1 2 3\r\n"),
        BYTES("PROXY TCP4 192.0.2.1  127.0.0.1 1 2\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 65536 2\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 01 2\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 127.0.0.1 -1 2\r\n"),
        BYTES("PROXY TCP4 2001:db8::7 2001:db8::8 1 2\r\n"),
        BYTES("PROXY TCP6 192.0.2.1 127.0.0.1 1 2\r\n"),
        BYTES("PROXY TCP4 192.0.2.1\0 127.0.0.1 1 2\r\n"),
        BYTES("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
              "aaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
        BYTES(V2("\x11", "\x11", "\x00\x0c") TCP4_LOW),
        BYTES(V2("\x22", "\x11", "\x00\x0c") TCP4_LOW),
        BYTES(V2("\x21", "\x41", "\x00\x0c") TCP4_LOW),
        BYTES(V2("\x21", "\x13", "\x00\x0c") TCP4_LOW),
        BYTES(V2("\x21", "\x11", "\x00\x0b") "\xc0\x00\x02\x01\x7f\x00\x00\x01\xdc\x04\x01"),
        BYTES(V2("\x21", "\x21", "\x00\x0c") TCP4_LOW),
        BYTES(V2("\x21", "\x11", "\xff\xff")),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sockaddr_storage client;
        size_t consumed = 0;
        struct span input = guard_copy(rows[i]);
        assert_int_equal(proxy_parse(input, &consumed, &client), PROXY_MALFORMED);
        guard_free(input);
    }
}

static void bounds_extensions(void **state)
{
    (void)state;
    char header[LIMIT_PROXY_HEADER] = V2("\x21", "\x11", "\x07\xf0") TCP4_LOW;
    struct sockaddr_storage client;
    size_t consumed = 0;
    struct span input = {header, sizeof(header)};
    assert_int_equal(proxy_parse(input, &consumed, &client), PROXY_COMPLETE);
    assert_int_equal(consumed, sizeof(header));
    header[15] = (char)0xf1; /* one byte more than the limit */
    assert_int_equal(proxy_parse(input, &consumed, &client), PROXY_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_headers),
        cmocka_unit_test(leaves_what_follows),
        cmocka_unit_test(refuses),
        cmocka_unit_test(bounds_extensions),
    };
    return cmocka_run_group_tests_name("proxy_header", tests, NULL, NULL);
}
