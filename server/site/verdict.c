#include "site/verdict.h"

#include "site/image.h"

const struct credential *verdict_first_to_end(const struct site_domain *domain)
{
    const struct credential *first = NULL;
    for (size_t kind = 0; kind < CREDENTIAL_KINDS && !site_is_proxied(domain); kind++) {
        const struct credential *credential = site_credential(domain, kind);
        if (credential != NULL && (first == NULL || credential->not_after < first->not_after))
            first = credential;
    }
    return first;
}

enum domain_state verdict_state(const struct site_domain *domain)
{
    switch (site_state(domain)) {
    case SITE_REFUSED:
        return DOMAIN_REFUSED;
    case SITE_STALE:
        return DOMAIN_STALE;
    case SITE_SERVED:
        break;
    }
    return site_is_proxied(domain) || verdict_first_to_end(domain) != NULL ? DOMAIN_SERVED
                                                                           : DOMAIN_NO_CERTIFICATE;
}

const char *verdict_state_text(enum domain_state state)
{
    switch (state) {
    case DOMAIN_REFUSED:
        return "refused";
    case DOMAIN_STALE:
        return "stale";
    case DOMAIN_NO_CERTIFICATE:
        return "no-certificate";
    case DOMAIN_SERVED:
        break;
    }
    return "served";
}

enum credential_fault verdict_certificate(const struct site_domain *domain, int64_t now,
                                          const struct credential **ret_credential)
{
    *ret_credential = NULL;
    if (site_is_proxied(domain))
        return CREDENTIAL_SOUND;
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        const struct credential *credential = site_credential(domain, kind);
        if (credential == NULL)
            continue;
        *ret_credential = credential;
        enum credential_fault fault = credential_judge(credential, now);
        if (fault != CREDENTIAL_SOUND)
            return fault;
    }
    return *ret_credential == NULL ? CREDENTIAL_MISSING : CREDENTIAL_SOUND;
}

bool verdict_is_blocked(const struct site *site, size_t denied)
{
    for (size_t i = 0; denied > 0 && i < site_count(site); i++)
        if (site_is_proxied(site_at(site, i)) || verdict_first_to_end(site_at(site, i)) != NULL)
            return false;
    return denied > 0 && site_count(site) > 0;
}

int64_t verdict_warning_time(int64_t not_before, int64_t not_after, int64_t setting)
{
    int64_t lifetime = not_after > not_before ? not_after - not_before : 0;
    int64_t fifth = lifetime / 5;
    if (setting != VERDICT_WARNING_DEFAULT)
        return not_after - setting;
    return not_after - (fifth < LIMIT_CERTIFICATE_WARNING ? fifth : LIMIT_CERTIFICATE_WARNING);
}
