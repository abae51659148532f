#include "base/prefix.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum { V6_BITS = 128, MAPPED_BITS = 96 };

static void map_v4(const void *v4, unsigned char bytes[static 16])
{
    memset(bytes, 0, 10);
    memset(bytes + 10, 0xff, 2);
    memcpy(bytes + 12, v4, 4);
}

static bool parse_length(struct span text, unsigned most, unsigned *ret_length)
{
    unsigned length = 0;
    if (text.len == 0 || text.len > 3)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.data[i]))
            return false;
        length = length * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret_length = length;
    return length <= most;
}

/* The mask of the byte at index for a prefix of that many bits. */
static unsigned mask_of(unsigned length, unsigned index)
{
    unsigned before = index * 8;
    if (length >= before + 8)
        return 0xff;
    return length <= before ? 0 : 0xffU << (before + 8 - length) & 0xffU;
}

enum prefix_fault prefix_parse(struct span text, struct prefix *ret_prefix)
{
    const char *slash = text.len == 0 ? NULL : memchr(text.data, '/', text.len);
    size_t host_len = slash == NULL ? text.len : (size_t)(slash - text.data);
    char host[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct prefix prefix;
    if (host_len == 0 || host_len >= sizeof(host))
        return PREFIX_MALFORMED;
    memcpy(host, text.data, host_len);
    host[host_len] = '\0';
    unsigned most = V6_BITS;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        map_v4(&v4, prefix.bytes);
        most = V6_BITS - MAPPED_BITS;
    } else if (inet_pton(AF_INET6, host, prefix.bytes) != 1) {
        return PREFIX_MALFORMED;
    }
    prefix.length = most;
    if (slash != NULL && !parse_length(span_skip(text, host_len + 1), most, &prefix.length))
        return PREFIX_MALFORMED;
    prefix.length += V6_BITS - most;
    for (unsigned i = 0; i < sizeof(prefix.bytes); i++)
        if ((prefix.bytes[i] & ~mask_of(prefix.length, i)) != 0)
            return PREFIX_HOST_BITS;
    *ret_prefix = prefix;
    return PREFIX_OK;
}

bool prefix_contains(const struct prefix *prefix, const struct sockaddr *address)
{
    unsigned char bytes[16];
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        map_v4(&v4.sin_addr, bytes);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        memcpy(bytes, &v6.sin6_addr, sizeof(bytes));
    } else {
        return false;
    }
    for (unsigned i = 0; i < sizeof(bytes); i++)
        if ((bytes[i] & mask_of(prefix->length, i)) != prefix->bytes[i])
            return false;
    return true;
}
