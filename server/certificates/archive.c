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

enum { ARCHIVE_VERSION = 4 };

/* The archive begins with it, and the arrays follow in this order. */
struct archive_header {
    uint32_t version;
    uint32_t source_count;
    uint32_t proof_count; /* struct proof */
    uint32_t content_count;
};

/* A certificate or key: bytes of the image. */
struct archived_content {
    uint32_t line;
    uint32_t is_key; /* 0 or 1 */
    uint32_t at;
    uint32_t len;
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
    for (size_t i = 0; i < count; i++) {
        const struct archived_content *content = &contents[i];
        if (content->at <= image.len &&
            content->len <= image.len - content->at) /* else it is empty */
            archive.contents[i].der = (struct span){image.data + content->at, content->len};
        archive.contents[i].line = content->line;
        archive.contents[i].is_key = content->is_key != 0;
    }
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
            const struct content *content = &store->contents[source->first + k];
            struct span der = content->is_key ? store->keys[content->index].key->der
                                              : store->certificates[content->index].facts->der;
            struct archived_content archived_content = {content->line, content->is_key,
                                                        site_builder_place(builder, der),
                                                        (uint32_t)der.len};
            text_append(&contents, SPAN_OF(archived_content));
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
