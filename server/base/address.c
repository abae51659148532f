#include "base/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct span PREFIX_LOCAL = {"unix:", 5};
static const struct span INHERITED = {"systemd", 7};

static bool parse_local(struct span path, struct address *ret_address)
{
    struct address address = {.local.sun_family = AF_UNIX, .len = sizeof(address.local)};
    if (path.len < 2 || path.len >= sizeof(address.local.sun_path) || path.data[0] != '/' ||
        memchr(path.data, '\0', path.len) != NULL)
        return false;
    memcpy(address.local.sun_path, path.data, path.len);
    address_print(&address);
    *ret_address = address;
    return true;
}

/* "systemd", or "systemd:" and a name of printable bytes without a colon (systemd.socket(5)). */
static bool parse_inherited(struct span text, struct address *ret_address)
{
    struct address address = {.any.sa_family = AF_UNSPEC};
    if (text.len >= sizeof(address.text) || text.len == INHERITED.len + 1)
        return false;
    for (size_t i = INHERITED.len; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' ||
            (text.data[i] == ':') != (i == INHERITED.len))
            return false;
    memcpy(address.text, text.data, text.len);
    *ret_address = address;
    return true;
}

bool address_parse(struct span text, struct address *ret_address)
{
    size_t colon = text.len;
    if (span_begins(text, PREFIX_LOCAL))
        return parse_local(span_skip(text, PREFIX_LOCAL.len), ret_address);
    if (span_begins(text, INHERITED))
        return parse_inherited(text, ret_address);
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    struct span name = {text.data, colon - 1};
    uint64_t number;
    if (text.len - colon > 5 || !span_number(span_skip(text, colon), 65535, &number))
        return false;
    struct in6_addr v6;
    bool bracketed = name.len >= 2 && name.data[0] == '[' && name.data[name.len - 1] == ']';
    if (bracketed)
        name = (struct span){name.data + 1, name.len - 2};
    else if (name.len == 0 || span_equal(name, span_of("*")))
        name = span_of("::");
    else if (memchr(name.data, ':', name.len) != NULL)
        return false;

    int family = !bracketed && address_number(AF_INET, name, &v6) ? AF_INET : AF_INET6;
    if (family == AF_INET6 && !address_number(AF_INET6, name, &v6))
        return false;
    *ret_address = address_make(family, &v6, (uint16_t)number);
    return true;
}

struct address address_make(int family, const void *number, uint16_t port)
{
    struct address address = {.len = family == AF_INET ? sizeof(address.v4) : sizeof(address.v6)};
    address.any.sa_family = (sa_family_t)family;
    address.v4.sin_port = htons(port); /* at the same place in both */
    if (family == AF_INET)
        memcpy(&address.v4.sin_addr, number, sizeof(address.v4.sin_addr));
    else
        memcpy(&address.v6.sin6_addr, number, sizeof(address.v6.sin6_addr));
    address_print(&address);
    return address;
}

bool address_number(int family, struct span text, void *ret_number)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.data, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, ret_number) == 1;
}

unsigned address_port(const struct address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohs(address->v4.sin_port);
    return address->any.sa_family == AF_INET6 ? ntohs(address->v6.sin6_port) : 0;
}

bool address_is_v6_wildcard(const struct address *address)
{
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

/* The number of an IPv4 address, also of one that is mapped into IPv6. */
static bool has_v4_number(const struct address *address, struct in_addr *ret_number)
{
    if (address->any.sa_family == AF_INET)
        *ret_number = address->v4.sin_addr;
    else if (address->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr))
        memcpy(ret_number, &address->v6.sin6_addr.s6_addr[12], sizeof(*ret_number));
    else
        return false;
    return true;
}

bool address_is_v4_wildcard(const struct address *address)
{
    struct in_addr number;
    return has_v4_number(address, &number) && number.s_addr == htonl(INADDR_ANY);
}

bool address_overlaps(const struct address *one, const struct address *other, bool v6_only)
{
    struct in_addr left, right;
    if (one->any.sa_family == AF_UNIX || other->any.sa_family == AF_UNIX)
        return strcmp(one->text, other->text) == 0;
    if (address_port(one) != address_port(other) || address_port(one) == 0)
        return false;
    bool one_v4 = has_v4_number(one, &left), other_v4 = has_v4_number(other, &right);
    if (one_v4 && other_v4)
        return left.s_addr == right.s_addr || address_is_v4_wildcard(one) ||
               address_is_v4_wildcard(other);
    if (one_v4 || other_v4)
        return !v6_only && address_is_v6_wildcard(one_v4 ? other : one);
    return strcmp(one->text, other->text) == 0 || address_is_v6_wildcard(one) ||
           address_is_v6_wildcard(other);
}

void address_print(struct address *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_UNIX) {
        (void)snprintf(address->text, sizeof(address->text), "%s%s", PREFIX_LOCAL.data,
                       address->local.sun_path);
        return;
    }
    bool v4 = address->any.sa_family == AF_INET;
    const void *number = v4 ? (const void *)&address->v4.sin_addr : &address->v6.sin6_addr;
    unsigned port = ntohs(v4 ? address->v4.sin_port : address->v6.sin6_port);
    const char *printed = inet_ntop(address->any.sa_family, number, host, sizeof(host));
    assert(printed != NULL);
    (void)snprintf(address->text, sizeof(address->text), v4 ? "%s:%u" : "[%s]:%u", host, port);
}

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
    struct span digits = span_skip(text, host.len + (slash == NULL ? 0 : 1));
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
