#include "files/watch.h"

#include "files/file.h"
#include "files/include.h"
#include "files/tree.h"

void watch_add(struct watch *watch, enum watch_part part, const char *path, struct position at)
{
    struct watch_path **list = &watch->paths[part];
    struct watch_path *entry = arena_take(watch->arena, sizeof(*entry));
    *entry = (struct watch_path){
        .path = arena_copy(watch->arena, span_of(path)), .line = at.line, .column = at.column};
    while (*list != NULL)
        list = &(*list)->next;
    *list = entry;
}

struct latest {
    struct timespec changed;
    struct text path;
};

static void compare_file(void *context, const char *path, int error)
{
    struct latest *latest = context;
    struct stat status;
    if (error != 0 || stat(path, &status) != 0)
        return;
    struct timespec changed = status.st_ctim;
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
    compare_file(context, file->path, 0);
}

/* The fingerprint of the part; and its latest file, if that is not NULL. */
static uint64_t look(const struct watch *watch, enum watch_part part, struct latest *latest)
{
    struct tree tree = {.visit = latest == NULL ? NULL : compare_certificate, .context = latest};
    if (part == WATCH_FILES) {
        tree.fingerprint = file_signature_of_path(watch->file);
        if (latest != NULL)
            compare_file(latest, watch->file, 0);
    }
    for (const struct watch_path *path = watch->paths[part]; path != NULL; path = path->next)
        if (part == WATCH_CERTIFICATES)
            tree_walk(&tree, path->path);
        else
            (void)include_find(path->path, latest == NULL ? NULL : compare_file, latest,
                               &tree.fingerprint); /* an error is in there too */
    text_free(&tree.path);
    return tree.fingerprint;
}

struct watch_look watch_now(const struct watch *watch)
{
    struct watch_look now = {{0}};
    for (size_t part = 0; part < WATCH_PARTS; part++)
        if (watch->is_wanted[part])
            now.parts[part] = look(watch, (enum watch_part)part, NULL);
    return now;
}

void watch_find_latest(const struct watch *watch, enum watch_part part, struct text *ret_path)
{
    struct latest latest = {0};
    (void)look(watch, part, &latest); /* the fingerprint is of no use here */
    text_append(ret_path, (struct span){latest.path.data, latest.path.len});
    text_free(&latest.path);
}
