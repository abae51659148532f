#include "files/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

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

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
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

/* The depth is bounded, and so is the recursion. Names sort so that the outcome does not depend on the file
 * system. */
static void walk_folder(struct tree *tree, int parent, const char *name, int depth)
{
    struct dirent **entries = NULL;
    bool is_named = depth == 0;
    size_t len = tree->path.len;
    if (depth > LIMIT_CERTIFICATE_DEPTH) {
        fail(tree, TREE_DEEP, 0, false);
        return;
    }
    int folder =
        openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC | (is_named ? 0 : O_NOFOLLOW));
    int count = folder < 0 ? -1 : scandirat(folder, ".", &entries, is_visible, alphasort);
    /* Somebody may have replaced it since its own folder was listed. */
    if (count < 0 && (is_named || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)))
        fail(tree, TREE_UNREADABLE, errno, is_named);
    for (int i = 0; i < count; i++) {
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
    if (folder >= 0)
        (void)close(folder); /* it was only opened */
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
