#include "serve/monitor.h"

#include <string.h>

#include "serve/exposition.h"
#include "serve/senders.h"
#include "site/verdict.h"

static const char plain_type[] = "text/plain";
/* By which "list --senders" knows that it is this server that answers. */
static const char senders_type[] = "text/tab-separated-values; header=absent";

typedef enum http_status monitor_view(const struct monitor *monitor, struct span query,
                                      struct text *body);

/* One domain for each "domain=" of the query: all of a hundred thousand nobody
 * wants at every scrape. What is not configured or has no certificate is left out. */
static enum http_status tell_metrics(const struct monitor *monitor, struct span query,
                                     struct text *body)
{
    const struct span key = span_of("domain=");
    bool begun = false;
    exposition_print(monitor->board, body);
    while (query.len > 0) {
        const char *mark = memchr(query.data, '&', query.len);
        struct span pair = {query.data, mark == NULL ? query.len : (size_t)(mark - query.data)};
        query = span_skip(query, pair.len + (mark == NULL ? 0 : 1));
        if (!span_begins_fold(pair, key))
            continue;
        const struct site_domain *domain =
            site_find_domain(monitor->site, span_skip(pair, key.len));
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
static const char *ailment_of(const struct monitor *monitor, struct span name)
{
    const struct credential *credential; /* the words do not name it */
    const struct site_domain *domain = site_find_domain(monitor->site, name);
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
    const struct span key = span_of("domain=");
    const char *ailment = monitor->draining ? "the worker is about to end" : NULL;
    bool serves = board_figure(monitor->board, BOARD_DOMAINS_SERVED) > 0 ||
                  board_figure(monitor->board, BOARD_DOMAINS_STALE) > 0;
    if (ailment == NULL && span_begins_fold(query, key))
        ailment = ailment_of(monitor, span_skip(query, key.len));
    else if (ailment == NULL && !serves) {
        text_append(body, span_of("alive, but no domain is served\n"));
        return HTTP_OK;
    }
    text_printf(body, "%s\n", ailment == NULL ? "ok" : ailment);
    return ailment == NULL ? HTTP_OK : HTTP_UNAVAILABLE;
}

static enum http_status tell_senders(const struct monitor *monitor, struct span query,
                                     struct text *body)
{
    const struct span key = span_of("domain=");
    const struct site_domain *domain = NULL;
    if (span_begins_fold(query, key))
        domain = site_find_domain(monitor->site, span_skip(query, key.len));
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
