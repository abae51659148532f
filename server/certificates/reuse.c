#include <stdlib.h>

#include "base/array.h"
#include "base/heap.h"
#include "certificates/store.h"
#include "certificates/store_inside.h"

/* A file without anything for us is as good as none, but not when it is named. */
static const struct archived_source *find_source(const struct certificates *store,
                                                 const struct tree_file *file)
{
    const struct archived_source *source =
        certificate_archive_find(&store->previous, file->signature);
    return source != NULL && file->is_named && source->count == 0 ? NULL : source;
}

/* The number here of a certificate of the archive, be it new here or not. */
static uint32_t take_certificate(struct certificates *store, uint32_t before)
{
    if (store->moved[before] != CERTIFICATE_NONE)
        return store->moved[before];
    struct certificate *facts = certificate_archive_take(&store->previous, before);
    uint32_t known = certificate_find_der(store, facts->der);
    if (known != CERTIFICATE_NONE)
        certificate_free(facts);
    else
        known = certificate_add(store, facts);
    store->moved[before] = known;
    return known;
}

static void take(struct certificates *store, const struct archived_content *content,
                 const char *file, uint32_t beside_count)
{
    const struct certificate_archive *archive = &store->previous;
    struct position at = {file, content->line, 1};
    bool is_key = content->is_key != 0;
    uint32_t index = CERTIFICATE_NONE;
    if (is_key) {
        const struct archived_key *key = &archive->keys[content->index];
        struct stored_key stored = {.der = certificate_archive_bytes(archive, key->der),
                                    .info = certificate_archive_bytes(archive, key->info),
                                    .at = at};
        index = certificate_add_key(store, stored);
    } else {
        index = take_certificate(store, content->index);
    }
    certificate_add_content(store, (struct content){index, content->line, is_key});
    if (!is_key)
        certificate_settle(store, index, at, beside_count);
}

bool certificate_reuse_file(void *context, const struct tree_file *file)
{
    struct certificates *store = context;
    const struct archived_source *source = find_source(store, file);
    if (source == NULL)
        return false;
    certificate_add_source(store, file);
    const char *name = source->count == 0 ? NULL : diag_intern(store->diag, span_of(file->path));
    for (uint32_t i = 0; i < source->count; i++)
        take(store, &store->previous.contents[source->first + i], name, source->certificate_count);
    store->sources[store->source_count - 1].is_reusable = true;
    return true;
}

static struct span proof_key(const void *items, size_t index)
{
    const struct proof *proofs = items;
    return (struct span){(const char *)&proofs[index],
                         sizeof(proofs[index].child) + sizeof(proofs[index].parent)};
}

static void add_proof(struct certificates *store, struct proof proof)
{
    array_room(&store->proofs, store->proof_count, &store->proof_capacity, sizeof(*store->proofs));
    table_add(&store->by_proof, proof_key(&proof, 0), store->proof_count);
    store->proofs[store->proof_count++] = proof;
}

static const struct proof *find_proof(const struct certificates *store, struct proof wanted)
{
    size_t found = table_find(&store->by_proof, proof_key(&wanted, 0), proof_key, store->proofs);
    return found == TABLE_NONE ? NULL : &store->proofs[found];
}

void certificate_reuse_proofs(struct certificates *store)
{
    const struct certificate_archive *archive = &store->previous;
    for (size_t i = 0; i < archive->proof_count; i++) {
        const struct archived_proof *known = &archive->proofs[i];
        if (known->child >= archive->certificate_count ||
            known->parent >= archive->certificate_count)
            continue;
        struct proof proof = {store->moved[known->child], store->moved[known->parent],
                              known->is_signed != 0};
        if (proof.child != CERTIFICATE_NONE && proof.parent != CERTIFICATE_NONE &&
            find_proof(store, proof) == NULL)
            add_proof(store, proof);
    }
}

bool certificate_prove(struct certificates *store, uint32_t child, uint32_t parent)
{
    struct proof proof = {child, parent, false};
    const struct proof *known = find_proof(store, proof);
    if (known != NULL)
        return known->is_signed;
    proof.is_signed = certificate_is_signed_by(store->certificates[child].facts,
                                               store->certificates[parent].facts);
    add_proof(store, proof);
    return proof.is_signed;
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

static void make_arrays(const struct certificates *store, struct archive_draft *draft)
{
    draft->certificates = heap_take(store->certificate_count, sizeof(*draft->certificates));
    draft->sources = heap_take(store->source_count, sizeof(*draft->sources));
    draft->contents = heap_take(store->content_count, sizeof(*draft->contents));
    draft->keys = heap_take(store->key_count, sizeof(*draft->keys));
    draft->proofs = heap_take(store->proof_count, sizeof(*draft->proofs));
}

static void archive_sources(const struct certificates *store, struct archive_draft *draft)
{
    for (size_t i = 0; i < store->source_count; i++) {
        const struct source *source = &store->sources[i];
        if (!is_archived(store, source))
            continue;
        draft->sources[draft->source_count++] = (struct archived_source){
            .signature = source->signature,
            .first = (uint32_t)draft->content_count,
            .count = source->count,
            .certificate_count = source->certificate_count,
        };
        for (uint32_t k = 0; k < source->count; k++) {
            const struct content *content = &store->contents[source->first + k];
            draft->contents[draft->content_count++] =
                (struct archived_content){content->index, content->line, content->is_key};
        }
    }
}

/* With the public key as it is in a certificate: the site has that already. */
static void archive_keys(const struct certificates *store, struct archive_draft *draft,
                         struct site_builder *builder)
{
    for (size_t i = 0; i < store->certificate_count; i++) {
        uint32_t index = store->certificates[i].key;
        if (index == CERTIFICATE_NONE || !store->keys[index].is_used)
            continue;
        const struct stored_key *key = &store->keys[index];
        draft->keys[index] =
            (struct archived_key){{site_builder_place(builder, key->der), (uint32_t)key->der.len},
                                  draft->certificates[i].info};
    }
}

void certificates_archive(struct certificates *store, struct site_builder *builder)
{
    struct archive_draft *draft = &store->archived;
    make_arrays(store, draft);
    draft->certificate_count = store->certificate_count;
    for (size_t i = 0; i < store->certificate_count; i++)
        certificate_archive_put(draft, i, store->certificates[i].facts, builder);
    draft->key_count = store->key_count;
    archive_keys(store, draft, builder);
    archive_sources(store, draft);
    for (size_t i = 0; i < store->proof_count; i++)
        draft->proofs[draft->proof_count++] = (struct archived_proof){
            store->proofs[i].child, store->proofs[i].parent, store->proofs[i].is_signed};
    certificate_archive_finish(draft, builder);
}
