#include "files/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/descriptors.h"
#include "base/heap.h"
#include "base/limits.h"
#include "files/file.h"

static void fail(struct tree *tree, enum tree_trouble trouble, int error, bool is_named)
{
    if (error == ENOMEM)
        heap_end();
    tree->fingerprint += file_signature_of_error(tree->path.data, error);
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
        .signature = file_signature(tree->path.data, status),
        .is_named = is_named,
    };
    tree->fingerprint += file.signature;
    if (tree->visit != NULL)
        tree->visit(tree->context, &file);
}

static int entry_compare(const void *left, const void *right)
{
    const struct dirent *const *a = left, *const *b = right;
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* What is in the folder, sorted, so that the outcome does not depend on the file system; but what begins with a
 * dot. Owned, one by one. errno is 0, or why some are missing. scandirat(3) would open each folder once more,
 * which a walk of many folders takes a fifth longer for. */
static struct dirent **list(DIR *stream, size_t *ret_count)
{
    struct dirent **entries = NULL, *found;
    size_t count = 0;
    /* readdir tells its end from an error by errno alone. */
    for (errno = 0; (found = readdir(stream)) != NULL; errno = 0)
        if (found->d_name[0] != '.')
            *ARRAY_ADD(entries, count) =
                (void *)heap_copy((struct span){(const char *)found, found->d_reclen});
    int error = errno;
    if (count > 0)
        qsort(entries, count, sizeof(*entries), entry_compare);
    errno = error;
    *ret_count = count;
    return entries;
}

static void walk_folder(struct tree *tree, int parent, const char *name, int depth);

/* One name in a folder. A link to a folder is not followed: it may lead back up. */
static void walk_entry(struct tree *tree, int folder, const struct dirent *entry, int depth)
{
    struct stat status;
    const char *name = entry->d_name;
    unsigned char type = entry->d_type; /* the file system may not tell */
    if (type == DT_UNKNOWN && fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        type = (unsigned char)IFTODT(status.st_mode);
    if (type == DT_DIR) {
        walk_folder(tree, folder, name, depth + 1);
        return;
    }
    if (type != DT_REG && type != DT_LNK && type != DT_UNKNOWN)
        return;
    if (fstatat(folder, name, &status, 0) == 0) {
        if (S_ISREG(status.st_mode))
            visit(tree, folder, name, &status, false);
        return;
    }
    int error = errno;
    /* What vanished since the folder was listed is nobody's fault; a dangling link is. */
    bool is_gone = error == ENOENT && fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0 &&
                   errno == ENOENT;
    if (!is_gone)
        fail(tree, TREE_UNREADABLE, error, false);
}

/* The depth is bounded, and so is the recursion. */
static void walk_folder(struct tree *tree, int parent, const char *name, int depth)
{
    bool is_named = depth == 0;
    size_t len = tree->path.len, count;
    if (depth > LIMIT_CERTIFICATE_DEPTH) {
        fail(tree, TREE_DEEP, 0, false);
        return;
    }
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC | (is_named ? 0 : O_NOFOLLOW);
    int folder = openat(parent, name, flags);
    DIR *stream = folder < 0 ? NULL : fdopendir(folder);
    if (stream == NULL) {
        /* Somebody may have replaced it since its own folder was listed. */
        if (is_named || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP))
            fail(tree, TREE_UNREADABLE, errno, is_named);
        descriptor_close(&folder);
        return;
    }
    struct dirent **entries = list(stream, &count);
    if (errno != 0)
        fail(tree, TREE_UNREADABLE, errno, is_named);
    for (size_t i = 0; i < count; i++) {
        if (len > 0 && tree->path.data[len - 1] != '/')
            text_append(&tree->path, span_of("/"));
        text_append(&tree->path, span_of(entries[i]->d_name));
        (void)heap_text(&tree->path); /* else it is the path of something else */
        walk_entry(tree, folder, entries[i], depth);
        tree->path.len = len;
        tree->path.data[len] = '\0';
        free(entries[i]);
    }
    free(entries);
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
