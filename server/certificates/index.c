#include "base/array.h"
#include "certificates/store_inside.h"

static struct span signature_of(const void *items, size_t index)
{
    const struct source *sources = items;
    return (struct span){(const char *)&sources[index].signature, sizeof(sources[index].signature)};
}

/* TABLE_NONE is all ones and so becomes CERTIFICATE_NONE. */
uint32_t certificate_find_source(const struct certificates *store, uint64_t signature)
{
    struct span key = {(const char *)&signature, sizeof(signature)};
    return (uint32_t)table_find(&store->by_signature, key, signature_of, store->sources);
}

static struct span der_of(const void *items, size_t index)
{
    const struct stored_certificate *certificates = items;
    return certificates[index].facts->der;
}

uint32_t certificate_find_der(const struct certificates *store, struct span der)
{
    return (uint32_t)table_find(&store->by_der, der, der_of, store->certificates);
}

static struct span info_of(const void *items, size_t index)
{
    const struct stored_key *keys = items;
    return keys[index].info;
}

uint32_t certificate_find_key(const struct certificates *store, struct span info)
{
    return (uint32_t)table_find(&store->by_info, info, info_of, store->keys);
}

static uint64_t hash_of_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return span_hash((struct span){path, slash == NULL ? 0 : (size_t)(slash - path)});
}

/* A file may be named twice. Nothing is said twice of it, so what counts is its first reading. */
void certificate_add_source(struct certificates *store, const struct tree_file *file)
{
    struct span key = {(const char *)&file->signature, sizeof(file->signature)};
    array_room(&store->sources, store->source_count, &store->source_capacity,
               sizeof(*store->sources));
    if (certificate_find_source(store, file->signature) == CERTIFICATE_NONE)
        table_add(&store->by_signature, key, store->source_count);
    store->sources[store->source_count++] = (struct source){
        .signature = file->signature,
        .folder = hash_of_folder(file->path),
        .is_named = file->is_named,
        .warning = SIZE_MAX,
        .first = (uint32_t)store->content_count,
    };
}

void certificate_add_content(struct certificates *store, struct content content)
{
    struct source *source = &store->sources[store->source_count - 1];
    array_room(&store->contents, store->content_count, &store->content_capacity,
               sizeof(*store->contents));
    store->contents[store->content_count++] = content;
    source->count++;
    source->certificate_count += content.is_key ? 0 : 1;
}

uint32_t certificate_add(struct certificates *store, struct certificate *facts)
{
    array_room(&store->certificates, store->certificate_count, &store->certificate_capacity,
               sizeof(*store->certificates));
    table_add(&store->by_der, facts->der, store->certificate_count);
    store->certificates[store->certificate_count] = (struct stored_certificate){
        .facts = facts,
        .source = CERTIFICATE_NONE,
        .key = CERTIFICATE_NONE,
        .next_subject = CERTIFICATE_NONE,
        .proven = CERTIFICATE_NONE,
    };
    return (uint32_t)store->certificate_count++;
}

void certificate_settle(struct certificates *store, uint32_t index, struct position at,
                        uint32_t beside_count)
{
    struct stored_certificate *stored = &store->certificates[index];
    uint32_t source = (uint32_t)store->source_count - 1;
    if (stored->source == CERTIFICATE_NONE ||
        (stored->source != source &&
         store->sources[stored->source].certificate_count < beside_count)) {
        stored->source = source;
        stored->at = at;
    }
}

uint32_t certificate_add_key(struct certificates *store, struct stored_key key)
{
    uint32_t known = certificate_find_key(store, key.info);
    if (known != CERTIFICATE_NONE) {
        private_key_free(key.key);
        return known;
    }
    array_room(&store->keys, store->key_count, &store->key_capacity, sizeof(*store->keys));
    table_add(&store->by_info, key.info, store->key_count);
    store->keys[store->key_count] = key;
    return (uint32_t)store->key_count++;
}
