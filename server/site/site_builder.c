#include "site/site_builder.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/heap.h"
#include "base/table.h"
#include "site/image.h"

/* Bytes in the image, in bytes from its begin. */
struct stretch {
    uint32_t at;
    uint32_t len;
};

/* Bytes that were copied, and where they were. */
struct origin {
    const char *data;
    struct stretch copy;
};

/* A domain until all are known, whose references are places from the begin. */
struct entry {
    const char *name; /* borrowed from the arena */
    struct site_domain domain;
};

/* An array of places and a table that finds one by what lies there. */
struct stretches {
    const struct site_builder *builder; /* whose image it is */
    struct stretch *items;              /* owned */
    size_t count, capacity;
    struct table table;
};

/* A credential that was written. */
struct made {
    uint32_t leaf; /* the place of its own certificate */
    uint32_t at;
};

struct site_builder {
    struct memory_file file; /* owned */
    size_t used;             /* bytes of it */
    int error;               /* from errno: what made it fail; 0 until then */
    struct arena *arena;     /* owned; names */
    struct entry *entries;   /* owned */
    size_t count, capacity;
    struct origin *origins; /* owned */
    size_t origin_count, origin_capacity;
    struct table by_origin;
    struct stretches texts, policies;
    struct made *made; /* owned */
    size_t made_count, made_capacity;
    struct table by_leaf;
    struct span archive; /* borrowed */
};

struct site_builder *site_builder_new(int fd)
{
    struct site_builder *builder = heap_take(1, sizeof(*builder));
    builder->arena = arena_new();
    builder->texts.builder = builder->policies.builder = builder;
    builder->used = sizeof(struct site_image);
    if (fd < 0)
        fd = memory_file_open();
    if (fd < 0 || !memory_file_begin(fd, builder->used, &builder->file))
        builder->error = errno;
    return builder;
}

static void stretches_free(struct stretches *stretches)
{
    free(stretches->items);
    table_free(&stretches->table);
}

void site_builder_free(struct site_builder *builder)
{
    if (builder == NULL)
        return;
    memory_file_free(&builder->file);
    arena_free(builder->arena);
    free(builder->entries);
    free(builder->origins);
    table_free(&builder->by_origin);
    stretches_free(&builder->texts);
    stretches_free(&builder->policies);
    free(builder->made);
    table_free(&builder->by_leaf);
    free(builder);
}

static void fail(struct site_builder *builder, int error)
{
    if (builder->error == 0)
        builder->error = error;
}

/* Room for a record: its place, or 0 after a failure. */
static uint32_t take(struct site_builder *builder, size_t size, size_t align)
{
    size_t at = (builder->used + align - 1) / align * align;
    if (builder->error != 0)
        return 0;
    if (size > LIMIT_IMAGE || at > LIMIT_IMAGE - size) {
        fail(builder, EFBIG);
        return 0;
    }
    if (!memory_file_grow(&builder->file, at + size)) {
        fail(builder, errno);
        return 0;
    }
    builder->used = at + size;
    return (uint32_t)at;
}

static uint32_t copy(struct site_builder *builder, struct span bytes, size_t align)
{
    uint32_t at = take(builder, bytes.len, align);
    if (at != 0 && bytes.len > 0)
        memcpy(builder->file.data + at, bytes.data, bytes.len);
    return at;
}

static struct span bytes_at(const struct site_builder *builder, struct stretch stretch)
{
    return (struct span){builder->file.data + stretch.at, stretch.len};
}

/* The place is known by its own bytes, which are looked at when one is searched for. Their memory may move. */
static struct span stretch_key(const void *items, size_t index)
{
    const struct stretches *known = items;
    return bytes_at(known->builder, known->items[index]);
}

/* The place, until refer makes a distance of it: an image is smaller than 2 GiB. */
static struct image_reference reference_to(uint32_t at)
{
    return (struct image_reference){(int32_t)at};
}

/* Copies the bytes unless equal ones are there. */
static struct image_reference place_once(struct site_builder *builder, struct stretches *known,
                                         struct span bytes, size_t align)
{
    /* What comes domain by domain often is what came last. */
    if (known->count > 0 && span_equal(stretch_key(known, known->count - 1), bytes))
        return reference_to(known->items[known->count - 1].at);
    size_t found = table_find(&known->table, bytes, stretch_key, known);
    if (found != TABLE_NONE)
        return reference_to(known->items[found].at);
    table_add(&known->table, bytes, known->count);
    uint32_t at = copy(builder, bytes, align);
    *ARRAY_ADD(known->items, known->count, known->capacity) =
        (struct stretch){at, (uint32_t)bytes.len};
    return reference_to(at);
}

/* With its NUL; 0 for NULL. */
static struct image_reference place_text(struct site_builder *builder, const char *text)
{
    if (text == NULL || builder->error != 0)
        return (struct image_reference){0};
    struct span bytes = {text, strlen(text) + 1};
    return place_once(builder, &builder->texts, bytes, 1);
}

static struct image_reference place_policy(struct site_builder *builder,
                                           const struct policy *policy)
{
    if (policy == NULL || builder->error != 0)
        return (struct image_reference){0};
    return place_once(builder, &builder->policies, policy_bytes(policy), alignof(uint32_t));
}

TABLE_KEY(origin_key, struct origin, SPAN_OF(item->data));

/* Certificates and keys are too many bytes to be hashed for each domain: where they are tells that they
 * are the same. */
static struct stretch place_bytes(struct site_builder *builder, struct span bytes)
{
    struct span key = SPAN_OF(bytes.data);
    const struct stretch none = {0};
    if (builder->error != 0)
        return none;
    size_t found = table_find(&builder->by_origin, key, origin_key, builder->origins);
    if (found != TABLE_NONE && span_equal(bytes_at(builder, builder->origins[found].copy), bytes))
        return builder->origins[found].copy;
    struct stretch stretch = {copy(builder, bytes, 1), (uint32_t)bytes.len};
    if (found != TABLE_NONE || builder->error != 0)
        return stretch;
    table_add(&builder->by_origin, key, builder->origin_count);
    *ARRAY_ADD(builder->origins, builder->origin_count, builder->origin_capacity) =
        (struct origin){bytes.data, stretch};
    return stretch;
}

uint32_t site_builder_place(struct site_builder *builder, struct span bytes)
{
    return place_bytes(builder, bytes).at;
}

void site_builder_set_archive(struct site_builder *builder, struct span archive)
{
    builder->archive = archive;
}

/* Makes a distance of the place. */
static void refer(const struct site_builder *builder, struct image_reference *reference)
{
    if (reference->distance != 0)
        reference->distance -= (int32_t)((const char *)reference - builder->file.data);
}

static void refer_bytes(const struct site_builder *builder, struct image_bytes *bytes,
                        struct stretch stretch)
{
    bytes->distance =
        (int32_t)((int64_t)stretch.at - (int64_t)((const char *)bytes - builder->file.data));
    bytes->len = stretch.len;
}

/* The place of the leaf. */
TABLE_KEY(leaf_key, struct made, SPAN_OF(item->leaf));

/* Whether a credential of the image is made of these. */
static bool is_made_of(const struct credential *credential, const struct credential_fields *fields)
{
    const struct credential_fields known = credential_fields(credential);
    bool same = known.kind == fields->kind && known.chain_len == fields->chain_len &&
                known.not_before == fields->not_before && known.not_after == fields->not_after &&
                known.fault == fields->fault && known.line == fields->line &&
                span_equal(known.key, fields->key) && strcmp(known.file, fields->file) == 0 &&
                strcmp(known.algorithm, fields->algorithm) == 0;
    for (size_t i = 0; same && i < known.chain_len; i++)
        same = span_equal(known.chain[i], fields->chain[i]);
    return same;
}

static uint32_t write_credential(struct site_builder *builder,
                                 const struct credential_fields *fields)
{
    struct stretch chain[LIMIT_CHAIN], key = place_bytes(builder, fields->key);
    struct image_reference algorithm = place_text(builder, fields->algorithm);
    struct image_reference file = place_text(builder, fields->file);
    for (size_t i = 0; i < fields->chain_len; i++)
        chain[i] = place_bytes(builder, fields->chain[i]);
    uint32_t at = take(builder, sizeof(struct credential), alignof(struct credential));
    if (at == 0)
        return 0;
    struct credential *credential = (void *)(builder->file.data + at);
    *credential = (struct credential){
        .not_before = fields->not_before,
        .not_after = fields->not_after,
        .algorithm = algorithm,
        .file = file,
        .line = fields->line,
        .kind = (uint8_t)fields->kind,
        .fault = (uint8_t)fields->fault,
        .chain_len = (uint8_t)fields->chain_len,
    };
    refer_bytes(builder, &credential->key, key);
    refer(builder, &credential->algorithm);
    refer(builder, &credential->file);
    for (size_t i = 0; i < fields->chain_len; i++)
        refer_bytes(builder, &credential->chain[i], chain[i]);
    return at;
}

static uint32_t place_credential(struct site_builder *builder,
                                 const struct credential_fields *fields)
{
    if (fields == NULL || builder->error != 0)
        return 0;
    assert(fields->chain_len >= 1 && fields->chain_len <= LIMIT_CHAIN);
    uint32_t leaf = place_bytes(builder, fields->chain[0]).at;
    struct span key = SPAN_OF(leaf);
    size_t found = table_find(&builder->by_leaf, key, leaf_key, builder->made);
    if (found != TABLE_NONE &&
        is_made_of((const void *)(builder->file.data + builder->made[found].at), fields))
        return builder->made[found].at;
    uint32_t at = write_credential(builder, fields);
    if (at == 0 || found != TABLE_NONE)
        return at;
    table_add(&builder->by_leaf, key, builder->made_count);
    *ARRAY_ADD(builder->made, builder->made_count, builder->made_capacity) =
        (struct made){leaf, at};
    return at;
}

void site_builder_add(struct site_builder *builder, const struct site_fields *domain)
{
    assert((domain->policy == NULL) == (domain->state == SITE_REFUSED));
    assert(domain->name.len > 0 && domain->name.len <= LIMIT_NAME);
    struct entry entry = {
        .name = arena_copy(builder->arena, domain->name),
        .domain = {.name_len = (uint8_t)domain->name.len,
                   .policy = place_policy(builder, domain->policy),
                   .file = place_text(builder, domain->at.file),
                   .tls_rpt = place_text(builder, domain->tls_rpt),
                   .label = place_text(builder, domain->label),
                   .line = domain->at.line,
                   .column = domain->at.column,
                   .state = (uint8_t)domain->state,
                   .is_proxied = domain->is_proxied},
    };
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
        entry.domain.credentials[kind] =
            reference_to(place_credential(builder, domain->credentials[kind]));
    *ARRAY_ADD(builder->entries, builder->count, builder->capacity) = entry;
}

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* They often come in order. */
static void sort_entries(struct site_builder *builder)
{
    size_t i = 1;
    while (i < builder->count &&
           compare_entries(&builder->entries[i - 1], &builder->entries[i]) < 0)
        i++;
    if (i < builder->count)
        qsort(builder->entries, builder->count, sizeof(*builder->entries), compare_entries);
    for (i = 1; i < builder->count; i++)
        assert(compare_entries(&builder->entries[i - 1], &builder->entries[i]) != 0);
}

static void write_domain(struct site_builder *builder, const struct entry *entry, uint32_t name,
                         struct site_domain *domain)
{
    *domain = entry->domain;
    domain->name = reference_to(name);
    refer(builder, &domain->name);
    refer(builder, &domain->policy);
    refer(builder, &domain->file);
    refer(builder, &domain->tls_rpt);
    refer(builder, &domain->label);
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
        refer(builder, &domain->credentials[kind]);
}

/* The names one after the other, in their order, which is what a search looks at; then the records.
 * Their place, or 0 after a failure. */
static uint32_t write_domains(struct site_builder *builder)
{
    size_t size = 0;
    for (size_t i = 0; i < builder->count; i++)
        size += builder->entries[i].domain.name_len + 1U;
    uint32_t name = take(builder, size, 1);
    uint32_t at =
        take(builder, builder->count * sizeof(struct site_domain), alignof(struct site_domain));
    if (at == 0)
        return 0;
    struct site_domain *domains = (void *)(builder->file.data + at);
    for (size_t i = 0; i < builder->count; i++) {
        const struct entry *entry = &builder->entries[i];
        memcpy(builder->file.data + name, entry->name, entry->domain.name_len + 1U);
        write_domain(builder, entry, name, &domains[i]);
        name += entry->domain.name_len + 1U;
    }
    return at;
}

struct site *site_builder_finish(struct site_builder *builder)
{
    struct site *site = NULL;
    int fd = -1, error = ENOMEM;
    sort_entries(builder);
    uint32_t domains = write_domains(builder);
    uint32_t archive = copy(builder, builder->archive, alignof(int64_t));
    (void)take(builder, 0, alignof(int64_t)); /* whole words */
    if (builder->error != 0) {
        error = builder->error;
        goto done;
    }
    struct site_image *header = (void *)builder->file.data;
    *header = (struct site_image){
        .version = SITE_IMAGE_VERSION,
        .size = (uint32_t)builder->used,
        .domains = domains,
        .domain_count = (uint32_t)builder->count,
        .archive = archive,
        .archive_len = (uint32_t)builder->archive.len,
    };
    memcpy(header->magic, SITE_IMAGE_MAGIC, sizeof(header->magic));
    fd = memory_file_finish(&builder->file, builder->used);
    site = fd < 0 ? NULL : site_map(fd);
    error = errno;
    if (fd >= 0)
        (void)close(fd); /* the mapping stays */
done:
    site_builder_free(builder);
    if (site == NULL && error == ENOMEM)
        heap_end();
    errno = error;
    return site;
}
