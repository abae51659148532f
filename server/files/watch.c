#include "files/watch.h"

#include "files/include.h"
#include "files/stamp.h"
#include "files/tree.h"

void watch_add_file(struct watch *watch, const char *path)
{
    watch->file = arena_copy(watch->arena, span_of(path));
}

/* At the end of the list, so that paths are looked at in the order in which they were read. */
static void add(struct arena *arena, struct watch_path **list, const char *path, struct position at)
{
    struct watch_path *entry = arena_take(arena, sizeof(*entry));
    *entry = (struct watch_path){
        .path = arena_copy(arena, span_of(path)), .line = at.line, .column = at.column};
    while (*list != NULL)
        list = &(*list)->next;
    *list = entry;
}

void watch_add_include(struct watch *watch, const char *pattern)
{
    add(watch->arena, &watch->includes, pattern, (struct position){0});
}

void watch_add_certificates(struct watch *watch, const char *path, struct position at)
{
    add(watch->arena, &watch->certificates, path, at);
}

struct watch_look watch_read(const struct watch *watch)
{
    return (struct watch_look){
        .certificates = watch->for_certificates ? watch->read.certificates : 0,
        .files = watch->for_files ? watch->read.files : 0,
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
    uint64_t fingerprint = stamp_of_path(watch->file);
    for (const struct watch_path *entry = watch->includes; entry != NULL; entry = entry->next)
        (void)include_find(entry->path, NULL, NULL, &fingerprint); /* an error is in there too */
    return fingerprint;
}

struct watch_look watch_now(const struct watch *watch)
{
    return (struct watch_look){
        .certificates = watch->for_certificates ? look_at_certificates(watch) : 0,
        .files = watch->for_files ? look_at_files(watch) : 0,
    };
}

struct latest {
    struct timespec changed;
    struct text path;
};

static void compare(struct latest *latest, const char *path, const struct stat *status)
{
    struct timespec changed = status->st_ctim;
    bool later =
        changed.tv_sec > latest->changed.tv_sec ||
        (changed.tv_sec == latest->changed.tv_sec && changed.tv_nsec > latest->changed.tv_nsec);
    if (latest->path.len > 0 && !later)
        return;
    latest->changed = changed;
    latest->path.len = 0;
    text_append(&latest->path, span_of(path));
}

static void compare_certificate(void *context, const struct tree_file *file)
{
    compare(context, file->path, file->status);
}

static void compare_file(void *context, const char *path, int error)
{
    struct stat status;
    if (error == 0 && stat(path, &status) == 0)
        compare(context, path, &status);
}

void watch_find_latest(const struct watch *watch, bool of_certificates, struct text *ret_path)
{
    struct latest latest = {0};
    struct tree tree = {.visit = compare_certificate, .context = &latest};
    uint64_t fingerprint = 0; /* nobody asks for it here */
    if (of_certificates) {
        for (const struct watch_path *path = watch->certificates; path != NULL; path = path->next)
            tree_walk(&tree, path->path);
    } else {
        compare_file(&latest, watch->file, 0);
        for (const struct watch_path *path = watch->includes; path != NULL; path = path->next)
            (void)include_find(path->path, compare_file, &latest, &fingerprint); /* else none */
    }
    tree_free(&tree);
    text_append(ret_path, (struct span){latest.path.data, latest.path.len});
    text_free(&latest.path);
}
