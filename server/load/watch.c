#include "load/watch.h"

#include "load/configuration.h"
#include "load/include.h"
#include "load/signature.h"
#include "load/tree.h"

bool watch_add_file(struct watch *watch, const char *path)
{
    watch->file = arena_copy(watch->arena, span_of(path));
    return watch->file != NULL;
}

/* At the end of the list, so that paths are looked at in the order in which they were read. */
static bool add(struct arena *arena, struct watch_path **list, const char *path)
{
    struct watch_path *entry = arena_take(arena, sizeof(*entry));
    const char *copy = arena_copy(arena, span_of(path));
    if (entry == NULL || copy == NULL)
        return false;
    *entry = (struct watch_path){.path = copy};
    while (*list != NULL)
        list = &(*list)->next;
    *list = entry;
    return true;
}

bool watch_add_include(struct watch *watch, const char *pattern)
{
    return add(watch->arena, &watch->includes, pattern);
}

bool watch_add_certificates(struct watch *watch, const char *path)
{
    return add(watch->arena, &watch->certificates, path);
}

struct watch_look watch_read(const struct configuration *configuration)
{
    const struct settings *settings = &configuration->settings;
    return (struct watch_look){
        .certificates = settings->watch_certificates ? configuration->watch.read.certificates : 0,
        .files = settings->watch_files ? configuration->watch.read.files : 0,
    };
}

static uint64_t look_at_certificates(const struct watch *watch)
{
    struct tree tree = {0};
    for (const struct watch_path *entry = watch->certificates; entry != NULL; entry = entry->next)
        tree_walk(&tree, entry->path);
    tree_free(&tree);
    return tree.fingerprint;
}

static uint64_t look_at_files(const struct watch *watch)
{
    uint64_t fingerprint = signature_of_path(watch->file);
    for (const struct watch_path *entry = watch->includes; entry != NULL; entry = entry->next)
        (void)include_find(entry->path, NULL, NULL, &fingerprint); /* an error is in there too */
    return fingerprint;
}

struct watch_look watch_now(const struct configuration *configuration)
{
    const struct settings *settings = &configuration->settings;
    const struct watch *watch = &configuration->watch;
    return (struct watch_look){
        .certificates = settings->watch_certificates ? look_at_certificates(watch) : 0,
        .files = settings->watch_files ? look_at_files(watch) : 0,
    };
}
