#include "serve/monitor.h"

#include <string.h>

#include "base/limits.h"
#include "serve/exposition.h"
#include "serve/senders.h"
#include "site/verdict.h"

static const char plain_type[] = "text/plain";
/* By which "list --senders" knows that it is this server that answers. */
static const char senders_type[] = "text/tab-separated-values; header=absent";

typedef enum http_status monitor_view(const struct monitor *monitor, struct span query,
                                      struct text *body);

/* A name as a query holds it; longer ones are none. */
struct parameter {
    char bytes[LIMIT_NAME + 2]; /* with a final dot */
    size_t len;
    bool is_too_long;
};

/* Of a hexadecimal digit; -1: it is none. */
static int digit_value(char byte)
{
    if (ascii_is_digit(byte))
        return byte - '0';
    char lower = ascii_lower(byte);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Percent-encoded bytes as themselves (RFC 3986 section 2.1); "%" without two digits stands for itself. */
static struct parameter decode(struct span text)
{
    struct parameter decoded = {0};
    while (text.len > 0 && !decoded.is_too_long) {
        int high = text.len > 2 ? digit_value(text.data[1]) : -1;
        int low = text.len > 2 ? digit_value(text.data[2]) : -1;
        bool is_encoded = text.data[0] == '%' && high >= 0 && low >= 0;
        decoded.is_too_long = decoded.len == sizeof(decoded.bytes);
        if (!decoded.is_too_long)
            decoded.bytes[decoded.len++] = is_encoded ? (char)(high << 4 | low) : text.data[0];
        text = span_skip(text, is_encoded ? 3 : 1);
    }
    return decoded;
}

/* Takes parameters off the query up to the next "domain=". Others are for somebody else. */
static bool next_domain(struct span *query, struct parameter *ret_name)
{
    while (query->len > 0) {
        const char *mark = memchr(query->data, '&', query->len);
        struct span pair = {query->data, mark == NULL ? query->len : (size_t)(mark - query->data)};
        *query = span_skip(*query, pair.len + (mark == NULL ? 0 : 1));
        const char *equals = pair.len == 0 ? NULL : memchr(pair.data, '=', pair.len);
        size_t len = equals == NULL ? pair.len : (size_t)(equals - pair.data);
        struct parameter key = decode((struct span){pair.data, len});
        if (!span_equal_fold((struct span){key.bytes, key.len}, span_of("domain")))
            continue;
        *ret_name = decode(span_skip(pair, equals == NULL ? len : len + 1));
        return true;
    }
    return false;
}

/* NULL when it is not configured. */
static const struct site_domain *find(const struct monitor *monitor, const struct parameter *name)
{
    return name->is_too_long
               ? NULL
               : site_find_domain(monitor->site, (struct span){name->bytes, name->len});
}

/* One domain for each "domain=" of the query: all of a hundred thousand nobody
 * wants at every scrape. What is not configured or has no certificate is left out. */
static enum http_status tell_metrics(const struct monitor *monitor, struct span query,
                                     struct text *body)
{
    struct parameter name;
    bool begun = false;
    exposition_print(monitor->board, body);
    while (next_domain(&query, &name)) {
        const struct site_domain *domain = find(monitor, &name);
        const struct credential *credential = domain == NULL ? NULL : verdict_first_to_end(domain);
        if (credential == NULL)
            continue;
        exposition_domain(domain->name, credential_not_after(credential), !begun, body);
        begun = true;
    }
    exposition_end(body);
    return HTTP_OK;
}

/* Strictly: as configured, and with a certificate that is valid now. */
static const char *ailment_of(const struct monitor *monitor, const struct parameter *name)
{
    const struct credential *credential; /* the words do not name it */
    const struct site_domain *domain = find(monitor, name);
    if (domain == NULL)
        return "the domain is not configured";
    switch (domain->state) {
    case SITE_REFUSED:
        return "the policy is refused";
    case SITE_STALE:
        return "the policy is the last valid one, not the configured one";
    case SITE_SERVED:
        break;
    }
    switch (verdict_certificate(domain, monitor->now, &credential)) {
    case CREDENTIAL_SOUND:
        return NULL;
    case CREDENTIAL_MISSING:
        return "there is no certificate";
    case CREDENTIAL_EXPIRED:
        return "the certificate has expired";
    case CREDENTIAL_NOT_YET:
        return "the certificate is not valid yet";
    case CREDENTIAL_MUST_STAPLE:
        return "the certificate demands an OCSP response, which is not stapled";
    case CREDENTIAL_SELF_SIGNED:
    case CREDENTIAL_INCOMPLETE:
    case CREDENTIAL_CHAIN_EXPIRED:
        break;
    }
    return "the certificate cannot be verified";
}

/* A monitor that restarts what is not well must not do so for what a restart does not mend. */
static enum http_status tell_health(const struct monitor *monitor, struct span query,
                                    struct text *body)
{
    struct parameter name;
    const char *ailment = monitor->draining ? "the worker is about to end" : NULL;
    bool serves = board_figure(monitor->board, BOARD_DOMAINS_SERVED) > 0 ||
                  board_figure(monitor->board, BOARD_DOMAINS_STALE) > 0;
    bool asks = false;
    while (ailment == NULL && next_domain(&query, &name)) {
        ailment = ailment_of(monitor, &name);
        asks = true;
    }
    if (ailment == NULL && !asks && !serves) {
        text_append(body, span_of("alive, but no domain is served\n"));
        return HTTP_OK;
    }
    text_printf(body, "%s\n", ailment == NULL ? "ok" : ailment);
    return ailment == NULL ? HTTP_OK : HTTP_UNAVAILABLE;
}

static enum http_status tell_senders(const struct monitor *monitor, struct span query,
                                     struct text *body)
{
    struct parameter name;
    const struct site_domain *domain = next_domain(&query, &name) ? find(monitor, &name) : NULL;
    if (domain == NULL)
        return HTTP_NOT_FOUND;
    senders_print(monitor->board, (struct span){domain->name, domain->name_len}, body);
    return HTTP_OK;
}

static const struct {
    const char *path;
    monitor_view *tell;
    const char *type;
} views[] = {
    {"/metrics", tell_metrics, exposition_type},
    {"/health", tell_health, plain_type},
    {"/senders", tell_senders, senders_type},
};

enum http_status monitor_answer(const struct monitor *monitor, const struct http_request *request,
                                struct text *ret_body, const char **ret_type)
{
    struct span path = request->has_path ? request->path : (struct span){"", 0};
    const char *mark = path.len == 0 ? NULL : memchr(path.data, '?', path.len);
    size_t len = mark == NULL ? path.len : (size_t)(mark - path.data);
    struct span query = mark == NULL ? (struct span){"", 0} : span_skip(path, len + 1);
    path.len = len;
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        if (!span_equal(path, span_of(views[i].path)))
            continue;
        if (request->method != HTTP_GET && request->method != HTTP_HEAD)
            return HTTP_METHOD_NOT_ALLOWED;
        *ret_type = views[i].type;
        return views[i].tell(monitor, query, ret_body);
    }
    return HTTP_NOT_FOUND;
}
