#include "site/site.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "site/image.h"

static_assert(LIMIT_IMAGE <= INT32_MAX, "a distance has four bytes");

/* Whether so many bytes are at the place; what lies there begins at a multiple of align. */
static bool has(struct span image, size_t at, size_t len, size_t align)
{
    return at <= image.len && len <= image.len - at && at % align == 0;
}

/* Where the reference leads to. SIZE_MAX: out of the image. */
static size_t place_of(struct span image, const int32_t *distance)
{
    int64_t at = (int64_t)((const char *)distance - image.data) + *distance;
    return at < 0 || at >= (int64_t)image.len ? SIZE_MAX : (size_t)at;
}

static bool is_bytes(struct span image, const struct image_bytes *bytes)
{
    return has(image, place_of(image, &bytes->distance), bytes->len, 1);
}

static bool is_text(struct span image, const struct image_reference *reference)
{
    size_t at = place_of(image, &reference->distance);
    return reference->distance != 0 && at != SIZE_MAX &&
           memchr(image.data + at, '\0', image.len - at) != NULL;
}

static bool is_credential(struct span image, const struct image_reference *reference, size_t kind)
{
    size_t at = place_of(image, &reference->distance);
    if (!has(image, at, sizeof(struct credential), alignof(struct credential)))
        return false;
    const struct credential *credential = (const void *)(image.data + at);
    if (credential->kind != kind || credential->fault >= CREDENTIAL_FAULTS ||
        credential->chain_len < 1 || credential->chain_len > LIMIT_CHAIN ||
        !is_bytes(image, &credential->key) || !is_text(image, &credential->algorithm) ||
        !is_text(image, &credential->file))
        return false;
    for (size_t i = 0; i < credential->chain_len; i++)
        if (!is_bytes(image, &credential->chain[i]))
            return false;
    return true;
}

static bool is_name(struct span image, const struct site_domain *domain)
{
    size_t at = place_of(image, &domain->name.distance);
    return domain->name_len > 0 && domain->name_len <= LIMIT_NAME &&
           has(image, at, domain->name_len + 1U, 1) &&
           memchr(image.data + at, '\0', domain->name_len + 1U) ==
               image.data + at + domain->name_len;
}

static bool is_domain(struct span image, const struct site_domain *domain)
{
    bool has_policy = domain->policy.distance != 0;
    size_t policy = place_of(image, &domain->policy.distance);
    if (!is_name(image, domain) || domain->state >= SITE_STATES ||
        has_policy != (domain->state != SITE_REFUSED) ||
        (has_policy && (policy == SIZE_MAX || policy_open(span_skip(image, policy)) == NULL)) ||
        !is_text(image, &domain->file) ||
        (domain->tls_rpt.distance != 0 && !is_text(image, &domain->tls_rpt)) ||
        (domain->label.distance != 0 && !is_text(image, &domain->label)))
        return false;
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (domain->credentials[kind].distance != 0 &&
            !is_credential(image, &domain->credentials[kind], kind))
            return false;
    return true;
}

bool site_image_check(struct span image)
{
    const struct site_image *header = (const void *)image.data;
    if (image.len < sizeof(*header) ||
        header->domain_count > image.len / sizeof(struct site_domain) ||
        memcmp(header->magic, SITE_IMAGE_MAGIC, sizeof(header->magic)) != 0 ||
        header->version != SITE_IMAGE_VERSION || header->size != image.len ||
        !has(image, header->archive, header->archive_len, alignof(int64_t)) ||
        !has(image, header->domains, header->domain_count * sizeof(struct site_domain),
             alignof(struct site_domain)))
        return false;
    const struct site_domain *domains = (const void *)(image.data + header->domains);
    for (size_t i = 0; i < header->domain_count; i++)
        if (!is_domain(image, &domains[i]) ||
            (i > 0 && strcmp(site_name(&domains[i - 1]), site_name(&domains[i])) >= 0))
            return false;
    return true;
}

struct site *site_map(int fd)
{
    struct site *site = calloc(1, sizeof(*site));
    if (site == NULL)
        return NULL;
    if (memory_file_map(fd, LIMIT_IMAGE, &site->map))
        return site;
    free(site);
    return NULL;
}

struct site *site_open(int fd)
{
    struct site *site = site_map(fd);
    if (site == NULL || site_image_check(site_bytes(site)))
        return site;
    site_free(site);
    errno = EINVAL;
    return NULL;
}

void site_free(struct site *site)
{
    if (site == NULL)
        return;
    memory_map_free(&site->map);
    free(site);
}

static const struct site_image *image_of(const struct site *site)
{
    return (const void *)site->map.data;
}

struct span site_bytes(const struct site *site)
{
    return (struct span){site->map.data, site->map.size};
}

struct span site_archive(const struct site *site)
{
    return (struct span){site->map.data + image_of(site)->archive, image_of(site)->archive_len};
}

size_t site_count(const struct site *site)
{
    return image_of(site)->domain_count;
}

const struct site_domain *site_at(const struct site *site, size_t index)
{
    assert(index < site_count(site));
    const struct site_domain *domains = (const void *)(site->map.data + image_of(site)->domains);
    return &domains[index];
}

static int compare_name(const void *key, const void *item)
{
    const struct span *name = key;
    const struct site_domain *domain = item;
    size_t len = name->len < domain->name_len ? name->len : domain->name_len;
    int order = memcmp(name->data, site_name(domain), len);
    return order != 0 ? order : (int)name->len - (int)domain->name_len;
}

const struct site_domain *site_find_domain(const struct site *site, struct span name)
{
    char folded[LIMIT_NAME];
    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > sizeof(folded) || site_count(site) == 0)
        return NULL;
    for (size_t i = 0; i < name.len; i++)
        folded[i] = ascii_lower(name.data[i]);
    const struct span key = {folded, name.len};
    return bsearch(&key, site_at(site, 0), site_count(site), sizeof(struct site_domain),
                   compare_name);
}

const struct site_domain *site_find_host(const struct site *site, struct span host)
{
    struct span prefix = span_of("mta-sts.");
    return span_begins_fold(host, prefix) ? site_find_domain(site, span_skip(host, prefix.len))
                                          : NULL;
}

const char *site_name(const struct site_domain *domain)
{
    return image_text(&domain->name);
}

struct span site_name_span(const struct site_domain *domain)
{
    return (struct span){site_name(domain), domain->name_len};
}

enum site_state site_state(const struct site_domain *domain)
{
    return (enum site_state)domain->state;
}

const struct policy *site_policy(const struct site_domain *domain)
{
    return image_follow(&domain->policy);
}

const struct credential *site_credential(const struct site_domain *domain, size_t kind)
{
    assert(kind < CREDENTIAL_KINDS);
    return image_follow(&domain->credentials[kind]);
}

bool site_has_credential(const struct site_domain *domain)
{
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (domain->credentials[kind].distance != 0)
            return true;
    return false;
}

bool site_is_proxied(const struct site_domain *domain)
{
    return domain->is_proxied != 0;
}

const char *site_file(const struct site_domain *domain)
{
    return image_text(&domain->file);
}

const char *site_tls_rpt(const struct site_domain *domain)
{
    return image_follow(&domain->tls_rpt);
}

const char *site_label(const struct site_domain *domain)
{
    return image_follow(&domain->label);
}

struct site_fields site_fields(const struct site_domain *domain)
{
    return (struct site_fields){
        .name = site_name_span(domain),
        .state = site_state(domain),
        .policy = site_policy(domain),
        .is_proxied = site_is_proxied(domain),
        .at = {site_file(domain), domain->line, domain->column},
        .tls_rpt = site_tls_rpt(domain),
        .label = site_label(domain),
    };
}

const struct credential_fault_names credential_fault_names[CREDENTIAL_FAULTS] = {
    [CREDENTIAL_SOUND] = {"it is good", ""},
    [CREDENTIAL_MISSING] = {"there is none", "none"},
    [CREDENTIAL_EXPIRED] = {"it has expired", "expired"},
    [CREDENTIAL_NOT_YET] = {"it is not valid yet", "not valid yet"},
    [CREDENTIAL_SELF_SIGNED] = {"it is self-signed", "self-signed"},
    [CREDENTIAL_INCOMPLETE] = {"its chain is incomplete", "chain incomplete"},
    [CREDENTIAL_CHAIN_EXPIRED] = {"an intermediate certificate of its chain is not valid now",
                                  "chain expired"},
    [CREDENTIAL_MUST_STAPLE] = {"it demands an OCSP response, which this server does not staple",
                                "must-staple"},
};

struct credential_fields credential_fields(const struct credential *credential)
{
    struct credential_fields fields = {
        .kind = (enum credential_kind)credential->kind,
        .chain_len = credential->chain_len,
        .key = image_span(&credential->key),
        .not_before = credential->not_before,
        .not_after = credential->not_after,
        .fault = (enum credential_fault)credential->fault,
        .algorithm = image_text(&credential->algorithm),
        .file = image_text(&credential->file),
        .line = credential->line,
    };
    for (size_t i = 0; i < credential->chain_len; i++)
        fields.chain[i] = image_span(&credential->chain[i]);
    return fields;
}

enum credential_fault credential_judge(const struct credential *credential, int64_t now)
{
    if (credential->not_after < now)
        return CREDENTIAL_EXPIRED;
    return credential->not_before > now ? CREDENTIAL_NOT_YET
                                        : (enum credential_fault)credential->fault;
}

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
    if (domain->state != SITE_SERVED)
        return domain->state == SITE_STALE ? DOMAIN_STALE : DOMAIN_REFUSED;
    return site_is_proxied(domain) || site_has_credential(domain) ? DOMAIN_SERVED
                                                                  : DOMAIN_NO_CERTIFICATE;
}

const char *verdict_state_text(enum domain_state state)
{
    static const char *const texts[DOMAIN_STATES] = {
        [DOMAIN_REFUSED] = "refused",
        [DOMAIN_STALE] = "stale",
        [DOMAIN_NO_CERTIFICATE] = "no-certificate",
        [DOMAIN_SERVED] = "served",
    };
    return texts[state];
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
