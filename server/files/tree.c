#include "files/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/heap.h"
#include "base/limits.h"
#include "files/stamp.h"

struct entry {
    size_t offset;      /* of its name in names */
    const char *name;   /* set when the listing is complete: names may move until then */
    unsigned char type; /* DT_REG and so on; the file system may not tell: DT_UNKNOWN */
};

struct listing {
    struct text names;     /* each with its NUL */
    struct entry *entries; /* owned */
    size_t count;
    size_t capacity;
};

void tree_free(struct tree *tree)
{
    text_free(&tree->path);
}

static void fail(struct tree *tree, enum tree_trouble trouble, int error, bool is_named)
{
    if (error == ENOMEM)
        heap_end();
    tree->fingerprint += stamp_of_error(tree->path.data, error);
    if (tree->fail != NULL)
        tree->fail(tree->context,
                   &(struct tree_failure){trouble, error, tree->path.data, is_named});
}

static void visit(struct tree *tree, int folder, const char *name, const struct stat *status,
                  bool is_named)
{
    tree->count++;
    size_t most = tree->most == 0 ? LIMIT_CERTIFICATE_FILES : tree->most;
    if (tree->count == most + 1)
        fail(tree, TREE_MANY, 0, is_named);
    if (tree->count > most)
        return;
    const struct tree_file file = {
        .path = tree->path.data,
        .folder = folder,
        .name = name,
        .status = status,
        .signature = stamp_of_file(tree->path.data, status),
        .is_named = is_named,
    };
    tree->fingerprint += file.signature;
    if (tree->visit != NULL)
        tree->visit(tree->context, &file);
}

static int entry_compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* Names sort so that the outcome does not depend on the file system. 0 or an error of errno; what
 * was found before it is there nevertheless. */
static int list(DIR *stream, struct listing *ret_listing)
{
    struct dirent *found;
    /* readdir tells its end from an error by errno alone. */
    for (errno = 0; (found = readdir(stream)) != NULL; errno = 0) {
        if (found->d_name[0] == '.')
            continue;
        *ARRAY_ADD(ret_listing->entries, ret_listing->count, ret_listing->capacity) =
            (struct entry){.offset = ret_listing->names.len, .type = found->d_type};
        text_append(&ret_listing->names, (struct span){found->d_name, strlen(found->d_name) + 1});
    }
    int error = errno;
    const char *names = heap_text(&ret_listing->names).data;
    for (size_t i = 0; i < ret_listing->count; i++)
        ret_listing->entries[i].name = names + ret_listing->entries[i].offset;
    if (ret_listing->count > 0)
        qsort(ret_listing->entries, ret_listing->count, sizeof(*ret_listing->entries),
              entry_compare);
    return error;
}

static void walk_folder(struct tree *tree, int parent, const char *name, int depth);

/* One name in a folder. A link to a folder is not followed: it may lead back up. */
static void walk_entry(struct tree *tree, int folder, const struct entry *entry, int depth)
{
    struct stat status;
    unsigned char type = entry->type;
    if (type == DT_UNKNOWN && fstatat(folder, entry->name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        type = (unsigned char)IFTODT(status.st_mode);
    if (type == DT_DIR) {
        walk_folder(tree, folder, entry->name, depth + 1);
        return;
    }
    if (type != DT_REG && type != DT_LNK && type != DT_UNKNOWN)
        return;
    if (fstatat(folder, entry->name, &status, 0) == 0) {
        if (S_ISREG(status.st_mode))
            visit(tree, folder, entry->name, &status, false);
        return;
    }
    int error = errno;
    /* What vanished since the folder was listed is nobody's fault; a dangling link is. */
    bool is_gone = error == ENOENT &&
                   fstatat(folder, entry->name, &status, AT_SYMLINK_NOFOLLOW) != 0 &&
                   errno == ENOENT;
    if (!is_gone)
        fail(tree, TREE_UNREADABLE, error, false);
}

static void walk_entries(struct tree *tree, int folder, const struct listing *listing, int depth)
{
    size_t len = tree->path.len;
    for (size_t i = 0; i < listing->count; i++) {
        if (len > 0 && tree->path.data[len - 1] != '/')
            text_append(&tree->path, span_of("/"));
        text_append(&tree->path, span_of(listing->entries[i].name));
        (void)heap_text(&tree->path); /* else it is the path of something else */
        walk_entry(tree, folder, &listing->entries[i], depth);
        tree->path.len = len;
        tree->path.data[len] = '\0';
    }
}

/* The depth is bounded, and so is the recursion. */
static void walk_folder(struct tree *tree, int parent, const char *name, int depth)
{
    struct listing listing = {0};
    bool is_named = depth == 0;
    if (depth > LIMIT_CERTIFICATE_DEPTH) {
        fail(tree, TREE_DEEP, 0, false);
        return;
    }
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC | (is_named ? 0 : O_NOFOLLOW);
    int fd = openat(parent, name, flags);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        int error = errno;
        /* Somebody may have replaced it since its own folder was listed. */
        bool swapped = !is_named && (error == ENOENT || error == ENOTDIR || error == ELOOP);
        if (fd >= 0)
            (void)close(fd); /* it was only opened */
        if (!swapped)
            fail(tree, TREE_UNREADABLE, error, is_named);
        return;
    }
    int error = list(stream, &listing);
    if (error != 0)
        fail(tree, TREE_UNREADABLE, error, is_named);
    walk_entries(tree, fd, &listing, depth);
    text_free(&listing.names);
    free(listing.entries);
    (void)closedir(stream); /* it was only read */
}

void tree_walk(struct tree *tree, const char *path)
{
    struct stat status;
    tree->path.len = 0;
    tree->count = 0;
    text_append(&tree->path, span_of(path));
    (void)heap_text(&tree->path);
    if (stat(path, &status) != 0)
        fail(tree, TREE_UNREADABLE, errno, true);
    else if (S_ISDIR(status.st_mode))
        walk_folder(tree, AT_FDCWD, path, 0);
    else if (S_ISREG(status.st_mode))
        visit(tree, AT_FDCWD, path, &status, true);
    else
        fail(tree, TREE_ODD, 0, true);
}
