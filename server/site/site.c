#include "site/site.h"

#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/limits.h"
#include "base/table.h"

struct site {
    struct arena *arena;         /* owned; every name in it */
    struct site_domain *domains; /* owned; sorted by name once sealed */
    size_t count;
    size_t capacity;
    struct table by_name; /* filled when sealed */
    bool sealed;
};

static const char HOST_PREFIX[] = "mta-sts.";

struct site *site_new(void)
{
    struct site *site = calloc(1, sizeof(*site));
    if (site == NULL)
        return NULL;
    site->arena = arena_new();
    if (site->arena == NULL) {
        free(site);
        return NULL;
    }
    return site;
}

void site_free(struct site *site)
{
    if (site == NULL)
        return;
    for (size_t i = 0; i < site->count; i++) {
        policy_free(site->domains[i].policy);
        for (int kind = 0; kind < CREDENTIAL_KINDS; kind++)
            credential_free(site->domains[i].credentials[kind]);
    }
    free(site->domains);
    table_free(&site->by_name);
    arena_free(site->arena);
    free(site);
}

/* Domains come file by file, so the last one's file name is likely the same. */
static const char *copy_file(struct site *site, const char *file)
{
    const char *last = site->count == 0 ? NULL : site->domains[site->count - 1].file;
    if (last != NULL && strcmp(last, file) == 0)
        return last;
    return arena_copy(site->arena, span_of(file));
}

bool site_add(struct site *site, const struct site_domain *domain)
{
    assert(!site->sealed);
    assert((domain->policy == NULL) == (domain->state == SITE_REFUSED));
    if (!array_room(&site->domains, site->count, &site->capacity, sizeof(*site->domains)))
        return false;
    struct site_domain copy = *domain;
    copy.name = arena_copy(site->arena, (struct span){domain->name, domain->name_len});
    copy.file = copy_file(site, domain->file);
    if (domain->tls_rpt != NULL)
        copy.tls_rpt = arena_copy(site->arena, span_of(domain->tls_rpt));
    if (copy.name == NULL || copy.file == NULL || (copy.tls_rpt == NULL && domain->tls_rpt != NULL))
        return false;
    if (copy.policy != NULL)
        policy_share(copy.policy);
    for (int kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (copy.credentials[kind] != NULL)
            credential_share(copy.credentials[kind]);
    site->domains[site->count++] = copy;
    return true;
}

static int domain_compare(const void *left, const void *right)
{
    const struct site_domain *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static struct span domain_key(const void *items, size_t index)
{
    const struct site_domain *domains = items;
    return (struct span){domains[index].name, domains[index].name_len};
}

bool site_seal(struct site *site)
{
    assert(!site->sealed);
    if (site->count > 0)
        qsort(site->domains, site->count, sizeof(*site->domains), domain_compare);
    for (size_t i = 0; i < site->count; i++) {
        struct span name = domain_key(site->domains, i);
        assert(table_find(&site->by_name, name, domain_key, site->domains) == TABLE_NONE);
        if (!table_add(&site->by_name, name, i))
            return false;
    }
    site->sealed = true;
    return true;
}

size_t site_count(const struct site *site)
{
    return site->count;
}

const struct site_domain *site_at(const struct site *site, size_t index)
{
    assert(index < site->count);
    return &site->domains[index];
}

const struct site_domain *site_find_domain(const struct site *site, struct span name)
{
    assert(site->sealed);
    char folded[LIMIT_NAME];
    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > sizeof(folded))
        return NULL;
    for (size_t i = 0; i < name.len; i++)
        folded[i] = ascii_lower(name.data[i]);
    size_t index =
        table_find(&site->by_name, (struct span){folded, name.len}, domain_key, site->domains);
    return index == TABLE_NONE ? NULL : &site->domains[index];
}

const struct site_domain *site_find_host(const struct site *site, struct span host)
{
    struct span prefix = span_of(HOST_PREFIX);
    return span_begins_fold(host, prefix) ? site_find_domain(site, span_skip(host, prefix.len))
                                          : NULL;
}
