/*
 * A site image with any of its bytes changed: it is refused, or none of the functions that read it
 * reads beyond it, and neither does a load that takes from it what is unchanged. The input is a list
 * of changes, each of five bytes: where (two), how, and with what (two).
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certificates/store.h"
#include "chance.h"
#include "files.h"
#include "fuzz.h"
#include "material.h"
#include "site/image.h"
#include "site/site.h"

static const int64_t NOW = 1700000000;

enum { CHANGE = 5 };

static struct policy *make_policy(const char *mode)
{
    struct diag *diag = diag_new();
    const struct field mx[] = {{.text = span_of("mail.example.com")},
                               {.text = span_of("*.mx.example.com")}};
    assert(diag != NULL);
    struct policy *policy = policy_new(&(struct policy_fields){.mode = {.text = span_of(mode)},
                                                               .max_age = {.text = span_of("2w")},
                                                               .mx = mx,
                                                               .mx_count = 2},
                                       diag);
    assert(policy != NULL);
    diag_free(diag);
    return policy;
}

static void add(struct certificates *store, struct site_builder *builder, const char *name,
                const struct policy *policy, const char *tls_rpt)
{
    struct site_fields domain = {.name = span_of(name),
                                 .state = policy == NULL ? SITE_REFUSED : SITE_SERVED,
                                 .policy = policy,
                                 .at = {"main.yaml", 7, 3},
                                 .tls_rpt = tls_rpt};
    char host[64];
    (void)snprintf(host, sizeof(host), "mta-sts.%s", name);
    certificates_find(store, span_of(host), domain.credentials);
    site_builder_add(builder, &domain);
}

/* A load of the files, with what the site before it has. Owned. */
static struct site *load(const struct site *previous)
{
    struct diag *diag = diag_new();
    struct site_builder *builder = site_builder_new(-1);
    struct policy *one = make_policy("enforce"), *other = make_policy("testing");
    assert(diag != NULL && builder != NULL);
    struct certificates *store = certificates_new(diag, previous, NULL);
    assert(store != NULL);
    for (size_t i = 0; files_path(i) != NULL; i++)
        certificates_read(store, files_path(i), (struct position){"main.yaml", 1, 1});
    (void)certificates_match(store, NOW); /* nobody looks again */
    add(store, builder, "example.com", one, NULL);
    add(store, builder, "example.net", other, "mailto:tls@example.net");
    add(store, builder, "example.org", NULL, NULL);
    add(store, builder, "a.example.com", one, NULL);
    certificates_report_unused(store);
    certificates_archive(store, builder);
    struct site *site = site_builder_finish(builder);
    assert(site != NULL);
    certificates_free(store);
    policy_free(one);
    policy_free(other);
    diag_free(diag);
    return site;
}

static unsigned sum_of(struct span bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes.len; i++)
        sum += (unsigned char)bytes.data[i];
    return sum;
}

static unsigned use_credential(const struct credential *credential)
{
    const struct credential_fields fields = credential_fields(credential);
    unsigned sum = sum_of(fields.key) + sum_of(span_of(fields.algorithm));
    for (size_t i = 0; i < fields.chain_len; i++)
        sum += sum_of(fields.chain[i]);
    sum += sum_of(span_of(fields.file));
    sum += sum_of(span_of(credential_fault_names[credential_judge(credential, NOW)].text));
    return sum + sum_of(span_of(credential_fault_names[fields.fault].word));
}

static unsigned use_policy(const struct policy *policy)
{
    unsigned sum = sum_of(policy_body(policy)) + sum_of(span_of(policy_id(policy)));
    for (size_t i = 0; i < policy_mx_count(policy); i++)
        sum += sum_of(policy_mx(policy, i));
    return sum + sum_of(span_of(policy_mode_text(policy_mode(policy))));
}

static unsigned use_domain(const struct site *site, const struct site_domain *domain)
{
    const struct credential *meant;
    unsigned sum = sum_of(span_of(site_name(domain))) + sum_of(span_of(site_file(domain)));
    assert(strlen(site_name(domain)) == site_name_span(domain).len);
    (void)site_find_domain(site, site_name_span(domain)); /* upper case is not found */
    sum += site_tls_rpt(domain) == NULL ? 0 : sum_of(span_of(site_tls_rpt(domain)));
    sum += site_label(domain) == NULL ? 0 : sum_of(span_of(site_label(domain)));
    sum += site_policy(domain) == NULL ? 0 : use_policy(site_policy(domain));
    assert((site_policy(domain) == NULL) == (site_state(domain) == SITE_REFUSED));
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (site_credential(domain, kind) != NULL)
            sum += use_credential(site_credential(domain, kind));
    sum += (unsigned)verdict_certificate(domain, NOW, &meant);
    return sum + sum_of(span_of(verdict_state_text(verdict_state(domain)))) +
           site_fields(domain).at.line + site_fields(domain).at.column + site_is_proxied(domain);
}

static unsigned use(const struct site *site)
{
    unsigned sum = sum_of(site_archive(site));
    for (size_t i = 0; i < site_count(site); i++)
        sum += use_domain(site, site_at(site, i));
    return sum + (site_find_host(site, span_of("mta-sts.example.net.")) != NULL);
}

static void change(char *bytes, size_t size, const uint8_t *how)
{
    size_t at = ((size_t)how[0] << 8 | how[1]) % size;
    uint32_t value = (uint32_t)how[3] << 8 | how[4];
    switch (how[2] % 5) {
    case 0:
        bytes[at] = (char)value;
        return;
    case 1:
        bytes[at] ^= (char)(1U << value % 8);
        return;
    default:
        break;
    }
    if (size - at < sizeof(value))
        return;
    if (how[2] % 5 == 3) /* a distance or length that is a little off */
        value = (uint32_t)(bytes[at] & 0xff) + value % 64 - 32;
    else if (how[2] % 5 == 4)
        value = UINT32_MAX - value;
    memcpy(bytes + at, &value, sizeof(value));
}

/* In the heap, where a sanitizer sees what is read beyond it. */
static void try_image(const struct site *good, const uint8_t *data, size_t size)
{
    struct span bytes = site_bytes(good);
    char *copy = malloc(bytes.len);
    assert(copy != NULL);
    memcpy(copy, bytes.data, bytes.len);
    for (; size >= CHANGE; data += CHANGE, size -= CHANGE)
        change(copy, bytes.len, data);
    const struct site site = {.map = {copy, bytes.len}};
    if (site_image_check((struct span){copy, bytes.len})) {
        (void)use(&site);
        struct site *next = load(&site);
        (void)use(next);
        site_free(next);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {0};
    chance_begin();
    files_begin();
    text_append(&text, span_of("%file a.pem\n"));
    material_print(MATERIAL_LEAF, &text);
    material_print(MATERIAL_INTERMEDIATE, &text);
    material_print(MATERIAL_EC_KEY_PKCS8, &text);
    text_append(&text, span_of("%file b.pem\n"));
    material_print(MATERIAL_RSA_LEAF, &text);
    material_print(MATERIAL_RSA_KEY_PKCS8, &text);
    text_append(&text, span_of("%file c.pem\n"));
    material_print(MATERIAL_ROOT, &text);
    files_add_all("/certs/empty", "/certs", (struct span){text.data, text.len});
    struct site *good = load(NULL);
    assert(site_image_check(site_bytes(good)));
    try_image(good, data, size);
    site_free(good);
    files_end();
    chance_end();
    text_free(&text);
    return 0;
}
