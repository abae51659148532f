/*
 * What one load leaves for the next one in the site (site_archive): of each file whose reading needs no
 * word its signature and where in the site its certificates and keys are, and which signatures were
 * verified. The next load takes what is unchanged from there, without opening a file. Whatever the bytes
 * are, nothing beyond them is read. No part of a key is there which the site does not serve.
 */
#include <assert.h>
#include <stdalign.h>

#include "base/heap.h"
#include "certificates/store.h"
#include "certificates/store_inside.h"

enum { ARCHIVE_VERSION = 3 };

/* The archive begins with it, and the arrays follow in this order. */
struct archive_header {
    uint32_t version;
    uint32_t source_count;
    uint32_t proof_count; /* struct proof */
    uint32_t content_count;
};

/* Bytes of the image. */
struct archived_span {
    uint32_t at;
    uint32_t len;
};

struct archived_content {
    uint32_t line;
    struct archived_span der;
    struct archived_span info; /* of a key; empty: it is a certificate */
};

static_assert(sizeof(struct archive_header) % alignof(struct archived_source) == 0 &&
                  sizeof(struct archived_source) % alignof(struct proof) == 0 &&
                  sizeof(struct proof) % alignof(struct archived_content) == 0,
              "each array begins where its items may");

/* The next array. NULL when it is not wholly there. */
static const void *take_array(struct span *rest, size_t count, size_t size)
{
    const void *items = rest->data;
    if (count > rest->len / size)
        return NULL;
    *rest = span_skip(*rest, count * size);
    return items;
}

TABLE_KEY(signature_of, struct archived_source, SPAN_OF(item->signature));

/* Bytes of the image; with data NULL when they are beyond it. */
static struct span resolve(struct span image, struct archived_span span)
{
    bool is_within = span.at <= image.len && span.len <= image.len - span.at;
    return is_within ? (struct span){image.data + span.at, span.len} : (struct span){0};
}

void certificate_archive_open(const struct site *site, struct certificate_archive *ret_archive)
{
    struct certificate_archive archive = {0};
    *ret_archive = archive;
    if (site == NULL)
        return;
    struct span image = site_bytes(site), rest = site_archive(site);
    const struct archive_header *header = take_array(&rest, 1, sizeof(*header));
    if (header == NULL || header->version != ARCHIVE_VERSION)
        return;
    const size_t count = header->content_count;
    archive.proof_count = header->proof_count;
    archive.sources = take_array(&rest, header->source_count, sizeof(*archive.sources));
    archive.proofs = take_array(&rest, header->proof_count, sizeof(*archive.proofs));
    const struct archived_content *contents = take_array(&rest, count, sizeof(*contents));
    if (archive.sources == NULL || archive.proofs == NULL || contents == NULL)
        return;
    archive.contents = heap_take(count, sizeof(*archive.contents));
    for (size_t i = 0; i < count; i++)
        archive.contents[i] = (struct certificate_archived){
            resolve(image, contents[i].der), resolve(image, contents[i].info), contents[i].line};
    for (size_t i = 0; i < header->source_count; i++) {
        const struct archived_source *source = &archive.sources[i];
        struct span key = signature_of(source, 0);
        /* A file may be named twice. */
        if (source->first <= count && source->count <= count - source->first &&
            table_find(&archive.by_signature, key, signature_of, archive.sources) == TABLE_NONE)
            table_add(&archive.by_signature, key, i);
    }
    *ret_archive = archive;
}

const struct archived_source *certificate_archive_find(const struct certificate_archive *archive,
                                                       uint64_t signature)
{
    size_t found =
        table_find(&archive->by_signature, SPAN_OF(signature), signature_of, archive->sources);
    return found == TABLE_NONE ? NULL : &archive->sources[found];
}

/* Sees to it that the bytes are in the image. */
static struct archived_span place(struct site_builder *builder, struct span bytes)
{
    return (struct archived_span){site_builder_place(builder, bytes), (uint32_t)bytes.len};
}

/* The public key, which mostly is in the certificate as it is. */
static struct archived_span place_info(struct site_builder *builder,
                                       const struct certificate *facts)
{
    struct span der = facts->der, info = facts->info;
    if (info.data < der.data || info.data + info.len > der.data + der.len)
        return place(builder, info);
    return (struct archived_span){
        site_builder_place(builder, der) + (uint32_t)(info.data - der.data), (uint32_t)info.len};
}

/* A key that nothing uses is not in the site, so the file that has it must be read again. */
static bool is_archived(const struct certificates *store, const struct source *source)
{
    for (uint32_t i = 0; i < source->count; i++) {
        const struct content *content = &store->contents[source->first + i];
        if (content->is_key && !store->keys[content->index].is_used)
            return false;
    }
    return source->is_reusable;
}

static struct archived_content archive_content(const struct certificates *store,
                                               const struct content *content,
                                               struct site_builder *builder)
{
    struct archived_content archived = {.line = content->line};
    if (content->is_key) {
        const struct stored_key *key = &store->keys[content->index];
        archived.der = place(builder, key->der);
        archived.info = place_info(builder, store->certificates[key->certificate].facts);
    } else {
        archived.der = place(builder, store->certificates[content->index].facts->der);
    }
    return archived;
}

void certificates_archive(struct certificates *store, struct site_builder *builder)
{
    struct text *out = &store->archived, contents = {0};
    struct archive_header header = {.version = ARCHIVE_VERSION};
    text_append(out, SPAN_OF(header));
    for (size_t i = 0; i < store->source_count; i++) {
        const struct source *source = &store->sources[i];
        if (!is_archived(store, source))
            continue;
        struct archived_source archived = {source->signature, header.content_count, source->count};
        text_append(out, SPAN_OF(archived));
        header.source_count++;
        header.content_count += source->count;
        for (uint32_t k = 0; k < source->count; k++) {
            struct archived_content content =
                archive_content(store, &store->contents[source->first + k], builder);
            text_append(&contents, SPAN_OF(content));
        }
    }
    for (size_t i = 0; i < store->proof_count; i++) {
        if (!store->proofs[i].is_used)
            continue;
        text_append(out, SPAN_OF(store->proofs[i]));
        header.proof_count++;
    }
    text_append(out, heap_text(&contents));
    text_free(&contents);
    struct span bytes = heap_text(out);
    memcpy(out->data, &header, sizeof(header));
    site_builder_set_archive(builder, bytes);
}
