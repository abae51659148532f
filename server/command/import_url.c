#include "command/import_url.h"

#include <stdio.h>
#include <string.h>

#include "load/certificate.h"
#include "probe/chain.h"
#include "probe/fetch.h"
#include "probe/resolve.h"
#include "probe/trust.h"

enum { HTTPS = 443 };

static const char PROBE[] = "\"mta-sts-httpd probe DOMAIN\" says more";

/* Asks one address after the other until one answers. False when none does. */
static bool fetch(const char *host, struct fetch *ret_fetch)
{
    struct address addresses[LIMIT_PROBE_ADDRESSES];
    size_t count = 0;
    if (resolve_host(host, HTTPS, addresses, LIMIT_PROBE_ADDRESSES, &count) != RESOLVE_DONE)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct fetch_request request = {
            .address = &addresses[i].any,
            .address_len = addresses[i].len,
            .host = host,
            .timeout_ms = LIMIT_IMPORT_FETCH_MS,
        };
        if (fetch_run(&request, ret_fetch) && ret_fetch->step == FETCH_DONE)
            return true;
        fetch_free(ret_fetch);
    }
    return false;
}

/* Whether the certificate is one that senders accept, but for details that only the probe looks at. */
static bool is_trusted(const struct fetch *fetch, const char *host, const struct trust *trust,
                       int64_t now)
{
    struct trust_verdict verdict = {0};
    if (trust == NULL || fetch->chain_len == 0 ||
        !trust_judge(trust, fetch->chain, fetch->chain_len, now, &verdict))
        return false;
    struct certificate_der *der = certificate_der_new(fetch->chain[0]);
    struct certificate *leaf = der == NULL ? NULL : certificate_new(der);
    bool good = leaf != NULL && leaf->fault == CERTIFICATE_SOUND && verdict.is_trusted &&
                !verdict.is_expired && leaf->not_before <= now && now <= leaf->not_after &&
                chain_covers(leaf, span_of(host));
    certificate_free(leaf);
    certificate_der_free(der);
    return good;
}

/* What the response comes to. The body is copied. */
static struct import_answer judge(struct import_hosts *hosts, const struct answer *response,
                                  const char *url)
{
    struct import_files *files = hosts->files;
    struct position at = {.file = url};
    if (response->status >= 300 && response->status < 400)
        return import_redirect(files, at, response->location);
    if (response->status != 200)
        return import_problem(
            at, import_format(files, "the policy is answered with %u", response->status),
            "senders accept the status 200 alone (RFC 8461 section 3.3)", PROBE);
    const char *body = arena_copy(files->arena, (struct span){response->body, response->body_len});
    files->shortage = files->shortage || body == NULL;
    return (struct import_answer){
        .kind = IMPORT_FETCHED,
        .at = at,
        .text = {body == NULL ? "" : body, body == NULL ? 0 : response->body_len},
    };
}

void import_url(struct import_hosts *hosts, const char *domain, const struct trust *trust,
                int64_t now)
{
    struct import_files *files = hosts->files;
    struct fetch fetched = {0};
    struct import_host host = {.is_tls = true};
    const char *name =
        import_is_host(span_of(domain)) ? domain : import_format(files, "mta-sts.%s", domain);
    const char *url = import_format(files, "https://%s" IMPORT_PATH, name);
    url = diag_intern(files->diag, span_of(url));
    host.at.file = url;
    if (!fetch(name, &fetched)) {
        host.answer = import_problem(host.at, "the policy cannot be fetched", NULL, PROBE);
    } else {
        host.answer = judge(hosts, fetched.answer, url);
        if (!is_trusted(&fetched, name, trust, now)) {
            diag_add(files->diag, DIAG_WARNING, host.at,
                     "the server has no certificate that senders accept");
            diag_reason(files->diag, "what it serves may be anybody's");
            diag_hint(files->diag, "read the policy before you use it; %s", PROBE);
        }
        fetch_free(&fetched);
    }
    import_hosts_add(hosts, span_of(domain), host);
}
