#include "http/http.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/address.h"

enum {
    V1_MOST = 107, /* section 2.1, with CR LF */
    V2_HEAD = 16,
    V2_VERSION = 0x2,
    V2_LOCAL = 0x0,
    V2_PROXY = 0x1,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_FAMILY_MOST = 0x3, /* Unix; 1 and 2 are IPv4 and IPv6, 0 is unspecified */
    V2_TRANSPORT_MOST = 0x2,
};

static const struct span V1_BEGIN = {"PROXY ", 6};
static const struct span V2_BEGIN = {"\r\n\r\n\0\r\nQUIT\n", 12};

/* Takes the text up to the next space, or all of it. False when it is empty. */
static bool next_word(struct span *text, struct span *ret_word)
{
    (void)span_take(text, ' ', ret_word); /* the last one has no space */
    return ret_word->len > 0;
}

/* A port in decimal, without a leading zero. */
static bool parse_port(struct span word, uint64_t *ret_port)
{
    return span_number(word, 65535, ret_port) && (word.len == 1 || word.data[0] != '0');
}

static void set_client(int family, const void *number, uint64_t port,
                       struct sockaddr_storage *ret_client)
{
    const struct address client = address_make(family, number, (uint16_t)port);
    memcpy(ret_client, &client.any, client.len);
}

/* "SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT", where only the source matters to us. */
static bool parse_v1_addresses(int family, struct span text, struct sockaddr_storage *ret_client)
{
    struct span source, destination, source_port, destination_port;
    struct in6_addr number, other;
    uint64_t port, other_port;
    if (text.len == 0 || text.data[text.len - 1] == ' ' || !next_word(&text, &source) ||
        !next_word(&text, &destination) || !next_word(&text, &source_port) ||
        !next_word(&text, &destination_port) || text.len > 0 ||
        !address_number(family, source, &number) || !address_number(family, destination, &other) ||
        !parse_port(source_port, &port) || !parse_port(destination_port, &other_port))
        return false;
    set_client(family, &number, port, ret_client);
    return true;
}

static enum proxy_progress parse_v1(struct span input, size_t *ret_consumed,
                                    struct sockaddr_storage *ret_client)
{
    size_t most = input.len < V1_MOST ? input.len : V1_MOST;
    const char *end = memchr(input.data, '\n', most);
    struct span word, line;
    if (end == NULL)
        return most < V1_MOST ? PROXY_PARTIAL : PROXY_MALFORMED;
    if (end[-1] != '\r')
        return PROXY_MALFORMED;
    *ret_consumed = (size_t)(end - input.data) + 1;
    line = span_skip((struct span){input.data, *ret_consumed - 2}, V1_BEGIN.len);
    if (!next_word(&line, &word))
        return PROXY_MALFORMED;
    if (span_equal(word, span_of("UNKNOWN"))) /* whatever follows is ignored: section 2.1 */
        return PROXY_COMPLETE;
    int family = span_equal(word, span_of("TCP4"))   ? AF_INET
                 : span_equal(word, span_of("TCP6")) ? AF_INET6
                                                     : AF_UNSPEC;
    return family != AF_UNSPEC && parse_v1_addresses(family, line, ret_client) ? PROXY_COMPLETE
                                                                               : PROXY_MALFORMED;
}

static enum proxy_progress parse_v2(struct span input, size_t *ret_consumed,
                                    struct sockaddr_storage *ret_client)
{
    if (input.len < V2_HEAD)
        return PROXY_PARTIAL;
    const unsigned char *bytes = (const unsigned char *)input.data;
    unsigned command = bytes[12] & 0xfU, family = bytes[13];
    size_t len = (size_t)bytes[14] << 8 | bytes[15];
    const unsigned char *addresses = bytes + V2_HEAD;
    if (bytes[12] >> 4 != V2_VERSION || command > V2_PROXY || family >> 4 > V2_FAMILY_MOST ||
        (family & 0xfU) > V2_TRANSPORT_MOST || V2_HEAD + len > LIMIT_PROXY_HEADER)
        return PROXY_MALFORMED;
    if (input.len < V2_HEAD + len)
        return PROXY_PARTIAL;
    *ret_consumed = V2_HEAD + len;
    if (command == V2_LOCAL)
        return PROXY_COMPLETE;
    if (family != V2_TCP4 && family != V2_TCP6)
        return PROXY_COMPLETE;
    size_t size = family == V2_TCP4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    const unsigned char *port = addresses + 2 * size;
    if (len < 2 * size + 4) /* two addresses and two ports */
        return PROXY_MALFORMED;
    set_client(family == V2_TCP4 ? AF_INET : AF_INET6, addresses,
               (uint64_t)(port[0] << 8 | port[1]), ret_client);
    return PROXY_COMPLETE;
}

static bool begins_like(struct span input, struct span begin)
{
    size_t len = input.len < begin.len ? input.len : begin.len;
    return memcmp(input.data, begin.data, len) == 0;
}

enum proxy_progress proxy_parse(struct span input, size_t *ret_consumed,
                                struct sockaddr_storage *ret_client)
{
    *ret_client = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
    if (input.len == 0)
        return PROXY_PARTIAL;
    if (begins_like(input, V2_BEGIN))
        return input.len < V2_BEGIN.len ? PROXY_PARTIAL : parse_v2(input, ret_consumed, ret_client);
    if (begins_like(input, V1_BEGIN))
        return input.len < V1_BEGIN.len ? PROXY_PARTIAL : parse_v1(input, ret_consumed, ret_client);
    return PROXY_MALFORMED;
}
