#include "site/site_builder.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/descriptors.h"
#include "base/heap.h"
#include "base/memory_file.h"
#include "base/table.h"
#include "site/image.h"

/* A reference, the one to bytes too, holds a place in bytes from the begin of the image until refer makes
 * a distance of it: an image is smaller than 2 GiB. */

/* An image grows by an eighth and this, not more: address space in advance counts against the limit of a
 * load (memory_bound). Bytes. */
enum { LEAST_MORE = 4096 };

/* Bytes that were copied, and where they were. */
struct origin {
    const char *data;
    struct image_bytes copy;
};

/* A domain until all are known. */
struct entry {
    const char *name; /* borrowed from the arena */
    struct site_domain domain;
};

/* What was written once of a kind, and a table that finds it by what lies there. */
struct written {
    const struct site_builder *builder; /* whose image it is */
    struct image_bytes *items;          /* owned */
    size_t count;
    struct table table;
};

struct site_builder {
    int fd;                /* owned; the file for the image, or -1 */
    char *image;           /* owned; it may move */
    size_t used, room;     /* bytes of it */
    bool is_too_large;     /* so that it has failed */
    struct arena *arena;   /* owned; names */
    struct entry *entries; /* owned */
    size_t count;
    struct origin *origins; /* owned */
    size_t origin_count;
    struct table by_origin;
    struct written texts, policies, credentials;
    struct span archive; /* borrowed */
};

/* Room for a record, all zero: its place, or 0 after a failure. */
static uint32_t take(struct site_builder *builder, size_t size, size_t align)
{
    size_t at = (builder->used + align - 1) / align * align;
    builder->is_too_large = builder->is_too_large || size > LIMIT_IMAGE || at > LIMIT_IMAGE - size;
    if (builder->is_too_large)
        return 0;
    if (at + size > builder->room) {
        builder->room = (at + size) / 8 * 9 + LEAST_MORE;
        builder->image = heap_grow(builder->image, builder->room, 1);
    }
    memset(builder->image + builder->used, 0, at + size - builder->used);
    builder->used = at + size;
    return (uint32_t)at;
}

struct site_builder *site_builder_new(int fd)
{
    struct site_builder *builder = heap_take(1, sizeof(*builder));
    builder->arena = arena_new();
    builder->texts.builder = builder->policies.builder = builder->credentials.builder = builder;
    builder->fd = fd;
    (void)take(builder, sizeof(struct site_image), 1); /* it begins the image */
    return builder;
}

static void written_free(struct written *written)
{
    free(written->items);
    table_free(&written->table);
}

void site_builder_free(struct site_builder *builder)
{
    if (builder == NULL)
        return;
    descriptor_close(&builder->fd);
    free(builder->image);
    arena_free(builder->arena);
    free(builder->entries);
    free(builder->origins);
    table_free(&builder->by_origin);
    written_free(&builder->texts);
    written_free(&builder->policies);
    written_free(&builder->credentials);
    free(builder);
}

static uint32_t copy(struct site_builder *builder, struct span bytes, size_t align)
{
    uint32_t at = take(builder, bytes.len, align);
    if (at != 0 && bytes.len > 0)
        memcpy(builder->image + at, bytes.data, bytes.len);
    return at;
}

static struct span bytes_at(const struct site_builder *builder, struct image_bytes bytes)
{
    return (struct span){builder->image + bytes.distance, bytes.len};
}

/* The place is known by its own bytes, which are looked at when one is searched for. Their memory may move. */
static struct span written_key(const void *items, size_t index)
{
    const struct written *written = items;
    return bytes_at(written->builder, written->items[index]);
}

/* Copies the bytes unless equal ones are there. */
static struct image_reference place_once(struct site_builder *builder, struct written *written,
                                         struct span bytes, size_t align)
{
    const struct image_reference none = {0};
    if (builder->is_too_large)
        return none;
    /* What comes domain by domain often is what came last. */
    if (written->count > 0 && span_equal(written_key(written, written->count - 1), bytes))
        return (struct image_reference){written->items[written->count - 1].distance};
    size_t found = table_find(&written->table, bytes, written_key, written);
    if (found != TABLE_NONE)
        return (struct image_reference){written->items[found].distance};
    int32_t at = (int32_t)copy(builder, bytes, align);
    if (at == 0)
        return none;
    table_add(&written->table, bytes, written->count);
    *ARRAY_ADD(written->items, written->count) = (struct image_bytes){at, (uint32_t)bytes.len};
    return (struct image_reference){at};
}

/* With its NUL; 0 for NULL. */
static struct image_reference place_text(struct site_builder *builder, const char *text)
{
    if (text == NULL)
        return (struct image_reference){0};
    return place_once(builder, &builder->texts, (struct span){text, strlen(text) + 1}, 1);
}

TABLE_KEY(origin_key, struct origin, SPAN_OF(item->data));

/* Certificates and keys are too many bytes to be hashed for each domain: where they are tells that they
 * are the same. */
static struct image_bytes place_bytes(struct site_builder *builder, struct span bytes)
{
    struct span key = SPAN_OF(bytes.data);
    const struct image_bytes none = {0};
    if (builder->is_too_large)
        return none;
    size_t found = table_find(&builder->by_origin, key, origin_key, builder->origins);
    if (found != TABLE_NONE && span_equal(bytes_at(builder, builder->origins[found].copy), bytes))
        return builder->origins[found].copy;
    struct image_bytes copied = {(int32_t)copy(builder, bytes, 1), (uint32_t)bytes.len};
    if (found != TABLE_NONE || builder->is_too_large)
        return copied;
    table_add(&builder->by_origin, key, builder->origin_count);
    *ARRAY_ADD(builder->origins, builder->origin_count) = (struct origin){bytes.data, copied};
    return copied;
}

uint32_t site_builder_place(struct site_builder *builder, struct span bytes)
{
    return (uint32_t)place_bytes(builder, bytes).distance;
}

void site_builder_set_archive(struct site_builder *builder, struct span archive)
{
    builder->archive = archive;
}

static struct image_reference place_credential(struct site_builder *builder,
                                               const struct credential_fields *fields)
{
    if (fields == NULL)
        return (struct image_reference){0};
    assert(fields->chain_len >= 1 && fields->chain_len <= LIMIT_CHAIN);
    struct credential credential = {
        .not_before = fields->not_before,
        .not_after = fields->not_after,
        .key = place_bytes(builder, fields->key),
        .algorithm = place_text(builder, fields->algorithm),
        .file = place_text(builder, fields->file),
        .line = fields->line,
        .kind = (uint8_t)fields->kind,
        .fault = (uint8_t)fields->fault,
        .chain_len = (uint8_t)fields->chain_len,
    };
    for (size_t i = 0; i < fields->chain_len; i++)
        credential.chain[i] = place_bytes(builder, fields->chain[i]);
    return place_once(builder, &builder->credentials, SPAN_OF(credential),
                      alignof(struct credential));
}

void site_builder_add(struct site_builder *builder, const struct site_fields *domain)
{
    assert((domain->policy == NULL) == (domain->state == SITE_REFUSED));
    assert(domain->name.len > 0 && domain->name.len <= LIMIT_NAME);
    struct entry entry = {
        .name = arena_copy(builder->arena, domain->name),
        .domain = {.name_len = (uint8_t)domain->name.len,
                   .file = place_text(builder, domain->at.file),
                   .tls_rpt = place_text(builder, domain->tls_rpt),
                   .label = place_text(builder, domain->label),
                   .line = domain->at.line,
                   .column = domain->at.column,
                   .state = (uint8_t)domain->state,
                   .is_proxied = domain->is_proxied},
    };
    if (domain->policy != NULL)
        entry.domain.policy = place_once(builder, &builder->policies, policy_bytes(domain->policy),
                                         alignof(uint32_t));
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
        entry.domain.credentials[kind] = place_credential(builder, domain->credentials[kind]);
    *ARRAY_ADD(builder->entries, builder->count) = entry;
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

/* Makes a distance of the place in a reference of the image. */
static void refer(const struct site_builder *builder, int32_t *reference)
{
    if (*reference != 0)
        *reference -= (int32_t)((const char *)reference - builder->image);
}

static void refer_credentials(const struct site_builder *builder)
{
    for (size_t i = 0; i < builder->credentials.count; i++) {
        struct credential *credential =
            (void *)(builder->image + builder->credentials.items[i].distance);
        refer(builder, &credential->key.distance);
        refer(builder, &credential->algorithm.distance);
        refer(builder, &credential->file.distance);
        for (size_t link = 0; link < credential->chain_len; link++)
            refer(builder, &credential->chain[link].distance);
    }
}

static void write_domain(struct site_builder *builder, const struct entry *entry, uint32_t name,
                         struct site_domain *domain)
{
    *domain = entry->domain;
    domain->name.distance = (int32_t)name;
    refer(builder, &domain->name.distance);
    refer(builder, &domain->policy.distance);
    refer(builder, &domain->file.distance);
    refer(builder, &domain->tls_rpt.distance);
    refer(builder, &domain->label.distance);
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
        refer(builder, &domain->credentials[kind].distance);
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
    struct site_domain *domains = (void *)(builder->image + at);
    for (size_t i = 0; i < builder->count; i++) {
        const struct entry *entry = &builder->entries[i];
        memcpy(builder->image + name, entry->name, entry->domain.name_len + 1U);
        write_domain(builder, entry, name, &domains[i]);
        name += entry->domain.name_len + 1U;
    }
    return at;
}

struct site *site_builder_finish(struct site_builder *builder)
{
    struct site *site = NULL;
    int error = EFBIG;
    sort_entries(builder);
    uint32_t domains = write_domains(builder);
    uint32_t archive = copy(builder, builder->archive, alignof(int64_t));
    (void)take(builder, 0, alignof(int64_t)); /* whole words */
    if (builder->is_too_large)
        goto done;
    refer_credentials(builder);
    struct site_image *header = (void *)builder->image;
    *header = (struct site_image){
        .version = SITE_IMAGE_VERSION,
        .size = (uint32_t)builder->used,
        .domains = domains,
        .domain_count = (uint32_t)builder->count,
        .archive = archive,
        .archive_len = (uint32_t)builder->archive.len,
    };
    memcpy(header->magic, SITE_IMAGE_MAGIC, sizeof(header->magic));
    if (builder->fd < 0)
        builder->fd = memory_file_open();
    if (builder->fd >= 0 &&
        memory_file_fill(builder->fd, (struct span){builder->image, builder->used}))
        site = site_map(builder->fd);
    error = errno;
done:
    site_builder_free(builder); /* the mapping stays */
    if (site == NULL && error == ENOMEM)
        heap_end();
    errno = error;
    return site;
}
