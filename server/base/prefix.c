#include "base/prefix.h"

#include <netinet/in.h>
#include <string.h>

#include "base/address.h"

enum { V6_BITS = 128, MAPPED_BITS = 96 };

static void map_v4(const void *v4, unsigned char bytes[static 16])
{
    memset(bytes, 0, 10);
    memset(bytes + 10, 0xff, 2);
    memcpy(bytes + 12, v4, 4);
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
    struct span host = {text.data, slash == NULL ? text.len : (size_t)(slash - text.data)};
    struct in_addr v4;
    struct prefix prefix;
    unsigned most = V6_BITS;
    if (address_number(AF_INET, host, &v4)) {
        map_v4(&v4, prefix.bytes);
        most = V6_BITS - MAPPED_BITS;
    } else if (!address_number(AF_INET6, host, prefix.bytes)) {
        return PREFIX_MALFORMED;
    }
    uint64_t length = most;
    struct span digits = slash == NULL ? (struct span){0} : span_skip(text, host.len + 1);
    if (slash != NULL && (digits.len > 3 || !span_number(digits, most, &length)))
        return PREFIX_MALFORMED;
    prefix.length = (unsigned)length + V6_BITS - most;
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
