#include "serve/authority.h"

#include "base/address.h"

static bool is_hex(char byte)
{
    return ascii_is_digit(byte) || (ascii_lower(byte) >= 'a' && ascii_lower(byte) <= 'f');
}

/* Of unreserved and sub-delims (RFC 3986 section 2), what is no letter or digit. */
static const char punctuation[] = "-._~!$&'()*+,;=";

/* RFC 3986 section 3.2.2: unreserved, sub-delims or percent-encoded. */
static bool is_reg_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (ascii_is_alpha(byte) || ascii_is_digit(byte) ||
            memchr(punctuation, byte, sizeof(punctuation) - 1) != NULL)
            continue;
        if (byte != '%' || text.len - i < 3 || !is_hex(text.data[i + 1]) ||
            !is_hex(text.data[i + 2]))
            return false;
        i += 2;
    }
    return text.len > 0;
}

/* How many bytes of the text are the host. */
static size_t host_len(struct span text)
{
    char end = text.len > 0 && text.data[0] == '[' ? ']' : ':';
    const char *found = text.len == 0 ? NULL : memchr(text.data, end, text.len);

    if (found == NULL)
        return text.len;
    return (size_t)(found - text.data) + (end == ']' ? 1 : 0);
}

bool authority_parse(struct span text, struct authority *ret_authority)
{
    struct span host = {text.data, host_len(text)};
    struct span rest = span_skip(text, host.len);
    enum authority_port port = AUTHORITY_PORT_NONE;
    uint64_t number = 0;

    if (host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']') {
        /* A zone is local to the client and IPvFuture has no version yet: it is an address. */
        struct in6_addr address;
        if (!address_number(AF_INET6, (struct span){host.data + 1, host.len - 2}, &address))
            return false;
    } else if (!is_reg_name(host)) {
        return false;
    }
    if (rest.len > 0) {
        if (rest.data[0] != ':')
            return false;
        rest = span_skip(rest, 1);
        port = rest.len == 0 ? AUTHORITY_PORT_EMPTY : AUTHORITY_PORT_GIVEN;
        if (port == AUTHORITY_PORT_GIVEN && (!span_number(rest, 65535, &number) || number == 0))
            return false;
    }
    *ret_authority = (struct authority){host, port};
    return true;
}
