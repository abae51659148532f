#include "probe/resolve.h"

#include <arpa/nameser.h> /* numbers of types */
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

/* An answer over TCP can be as long as its length field tells (RFC 1035 section 4.2.2). */
enum { ANSWER_MOST = 65535 };

void resolve_begin(int64_t timeout_ms)
{
    if (res_init() != 0)
        return; /* then the questions themselves fail */
    /* Two rounds over the name servers; the second waits longer. */
    int seconds = (int)((timeout_ms + 2999) / 3000);
    _res.retrans = seconds < 1 ? 1 : seconds;
    _res.retry = 2;
    _res.options &= ~(unsigned long)(RES_DNSRCH | RES_DEFNAMES);
}

static enum resolve_result result_of(int code)
{
    switch (code) {
    case 0:
        return RESOLVE_DONE;
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
        return RESOLVE_NONE;
    default:
        return RESOLVE_FAILED;
    }
}

enum resolve_result resolve_host(const char *host, uint16_t port, struct address *ret_addresses,
                                 size_t most, size_t *ret_count)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    *ret_count = 0;
    enum resolve_result result = result_of(getaddrinfo(host, NULL, &hints, &list));
    if (result != RESOLVE_DONE)
        return result;
    for (const struct addrinfo *item = list; item != NULL && *ret_count < most;
         item = item->ai_next) {
        struct address address = {.len = item->ai_addrlen};
        if (item->ai_addrlen > sizeof(address.v6) ||
            (item->ai_family != AF_INET && item->ai_family != AF_INET6))
            continue;
        memcpy(&address.any, item->ai_addr, item->ai_addrlen);
        if (item->ai_family == AF_INET)
            address.v4.sin_port = htons(port);
        else
            address.v6.sin6_port = htons(port);
        address_print(&address);
        ret_addresses[(*ret_count)++] = address;
    }
    freeaddrinfo(list);
    return *ret_count > 0 ? RESOLVE_DONE : RESOLVE_NONE;
}

/* The strings of one record: each has its length before it (RFC 1035 section 3.3.14). */
static void join_strings(struct span data, struct text *value)
{
    text_append(value, span_of(""));
    while (data.len > 0) {
        size_t len = (unsigned char)data.data[0];
        data = span_skip(data, 1);
        if (len > data.len)
            len = data.len;
        text_append(value, (struct span){data.data, len});
        data = span_skip(data, len);
    }
}

static bool skip(struct span *rest, size_t count)
{
    if (rest->len < count)
        return false;
    *rest = span_skip(*rest, count);
    return true;
}

static bool take_number(struct span *rest, unsigned *ret_number)
{
    if (rest->len < 2)
        return false;
    *ret_number = (unsigned)(unsigned char)rest->data[0] << 8 | (unsigned char)rest->data[1];
    return skip(rest, 2);
}

/* Labels up to the empty one, or up to a pointer (RFC 1035 section 4.1.4), which nobody follows. */
static bool skip_name(struct span *rest)
{
    while (rest->len > 0) {
        unsigned len = (unsigned char)rest->data[0];
        if (len >= 0xc0)
            return skip(rest, 2);
        if (!skip(rest, 1 + (size_t)len))
            return false;
        if (len == 0)
            return true;
    }
    return false;
}

/* One record with the name before it (RFC 1035 section 4.1.3). */
static bool take_record(struct span *rest, unsigned *ret_type, struct span *ret_data)
{
    unsigned len;
    if (!skip_name(rest) || !take_number(rest, ret_type) || !skip(rest, 6) ||
        !take_number(rest, &len))
        return false;
    *ret_data = (struct span){rest->data, len};
    return skip(rest, len);
}

bool resolve_read_txt(struct span message, struct text *ret_values, size_t most, size_t *ret_count)
{
    unsigned questions, answers, type;
    struct span data;
    *ret_count = 0;
    if (!skip(&message, 4) || !take_number(&message, &questions) ||
        !take_number(&message, &answers) || !skip(&message, 4))
        return false;
    for (unsigned i = 0; i < questions; i++)
        if (!skip_name(&message) || !skip(&message, 4))
            return false;
    for (unsigned i = 0; i < answers && *ret_count < most; i++) {
        if (!take_record(&message, &type, &data))
            return false;
        if (type == ns_t_txt) /* else the canonical name on the way */
            join_strings(data, &ret_values[(*ret_count)++]);
    }
    return true;
}

enum resolve_result resolve_txt(const char *name, struct text *ret_values, size_t most,
                                size_t *ret_count)
{
    unsigned char answer[ANSWER_MOST];
    *ret_count = 0;
    int len = res_query(name, ns_c_in, ns_t_txt, answer, sizeof(answer));
    if (len < 0)
        return h_errno == HOST_NOT_FOUND || h_errno == NO_DATA ? RESOLVE_NONE : RESOLVE_FAILED;
    struct span message = {(const char *)answer,
                           (size_t)len < sizeof(answer) ? (size_t)len : sizeof(answer)};
    if (!resolve_read_txt(message, ret_values, most, ret_count))
        return RESOLVE_FAILED;
    return *ret_count > 0 ? RESOLVE_DONE : RESOLVE_NONE;
}
