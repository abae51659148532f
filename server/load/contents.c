#include "load/contents.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/table.h"

struct file {
    char *path; /* owned */
    bool is_readable;
    struct text bytes;
};

struct contents {
    size_t owners;
    struct file *files; /* owned */
    size_t count;
    size_t capacity;
    struct table by_path;
};

struct contents *contents_new(void)
{
    struct contents *contents = calloc(1, sizeof(*contents));
    if (contents != NULL)
        contents->owners = 1;
    return contents;
}

struct contents *contents_share(struct contents *contents)
{
    contents->owners++;
    return contents;
}

void contents_free(struct contents *contents)
{
    if (contents == NULL || --contents->owners > 0)
        return;
    for (size_t i = 0; i < contents->count; i++) {
        free(contents->files[i].path);
        text_free(&contents->files[i].bytes);
    }
    free(contents->files);
    table_free(&contents->by_path);
    free(contents);
}

static struct span path_key(const void *items, size_t index)
{
    const struct file *files = items;
    return span_of(files[index].path);
}

bool contents_add(struct contents *contents, const char *path, struct text *bytes)
{
    struct file file = {.path = strdup(path), .is_readable = bytes != NULL};
    if (bytes != NULL) {
        file.bytes = *bytes;
        *bytes = (struct text){0};
    }
    if (!array_room(&contents->files, contents->count, &contents->capacity, sizeof(struct file)) ||
        file.path == NULL || !table_add(&contents->by_path, span_of(file.path), contents->count)) {
        free(file.path);
        text_free(&file.bytes);
        return false;
    }
    contents->files[contents->count++] = file;
    return true;
}

size_t contents_count(const struct contents *contents)
{
    return contents->count;
}

const char *contents_path(const struct contents *contents, size_t index)
{
    assert(index < contents->count);
    return contents->files[index].path;
}

bool contents_find(const struct contents *contents, const char *path, struct span *ret_bytes)
{
    size_t index = table_find(&contents->by_path, span_of(path), path_key, contents->files);
    if (index == TABLE_NONE || !contents->files[index].is_readable)
        return false;
    const struct text *bytes = &contents->files[index].bytes;
    *ret_bytes = (struct span){bytes->data, bytes->len};
    return true;
}
