#include "load/certificate_store.h"

/* A key that no credential had was given up. A file without anything for us is as good as none, but
 * not when it is named. */
static bool can_reuse(const struct certificates *previous, const struct source *source,
                      bool is_named)
{
    for (uint32_t i = 0; i < source->count; i++) {
        const struct content *content = &previous->contents[source->first + i];
        if (content->is_key && previous->keys[content->index].key == NULL)
            return false;
    }
    return source->is_reusable && !(is_named && source->count == 0);
}

uint32_t certificate_take_over(struct certificates *store, uint32_t before)
{
    if (store->moved[before] == CERTIFICATE_NONE) {
        struct certificate *facts = store->previous->certificates[before].facts;
        store->moved[before] = certificate_add(store, certificate_share(facts), before);
    }
    return store->moved[before];
}

static void take(struct certificates *store, const struct content *content, const char *file,
                 uint32_t beside_count)
{
    struct position at = {file, content->line, 1};
    uint32_t index = CERTIFICATE_NONE;
    if (content->is_key) {
        struct private_key *key = store->previous->keys[content->index].key;
        index = certificate_add_key(store, private_key_share(key), at);
    } else {
        index = certificate_take_over(store, content->index);
    }
    if (index != CERTIFICATE_NONE &&
        certificate_add_content(store, (struct content){index, content->line, content->is_key}) &&
        !content->is_key)
        certificate_settle(store, index, at, beside_count);
}

bool certificate_reuse_file(void *context, const struct tree_file *file)
{
    struct certificates *store = context;
    const struct certificates *previous = store->previous;
    uint32_t found =
        previous == NULL ? CERTIFICATE_NONE : certificate_find_source(previous, file->signature);
    if (found == CERTIFICATE_NONE ||
        !can_reuse(previous, &previous->sources[found], file->is_named))
        return false;
    const struct source *source = &previous->sources[found];
    const struct content *contents = &previous->contents[source->first];
    if (!certificate_add_source(store, file))
        return true;
    const char *name = source->count == 0 ? NULL : diag_intern(store->diag, span_of(file->path));
    for (uint32_t i = 0; i < source->count; i++)
        take(store, &contents[i], name, source->certificate_count);
    store->sources[store->source_count - 1].is_reusable = !store->shortage;
    return true;
}
