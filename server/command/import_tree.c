#include "command/import_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "load/file.h"
#include "load/include.h"

/* The joined text; NULL on a shortage, which is noted. */
static const char *join(struct import_files *files, struct span folder, struct span path)
{
    struct text joined = {0};
    text_append(&joined, folder);
    while (path.len > 1 && path.data[0] == '.' && path.data[1] == '/')
        path = span_skip(path, 2);
    if (path.len > 0 && path.data[0] != '/' &&
        (folder.len == 0 || folder.data[folder.len - 1] != '/'))
        text_append(&joined, span_of("/"));
    text_append(&joined, path);
    const char *copy = joined.failed || joined.data == NULL
                           ? NULL
                           : arena_copy(files->arena, (struct span){joined.data, joined.len});
    files->shortage = files->shortage || copy == NULL;
    text_free(&joined);
    return copy;
}

bool import_files_begin(struct import_files *files, const char *root, struct diag *diag)
{
    *files = (struct import_files){.arena = arena_new(), .diag = diag, .base = "/"};
    if (files->arena == NULL)
        return false;
    char *here = getcwd(NULL, 0);
    files->here =
        here == NULL ? "" : join(files, span_of(here), span_of(strcmp(here, "/") == 0 ? "" : "/"));
    free(here);
    if (root != NULL) {
        size_t len = strlen(root);
        while (len > 0 && root[len - 1] == '/')
            len--;
        files->root = arena_copy(files->arena, (struct span){root, len});
    }
    return files->here != NULL && (root == NULL || files->root != NULL);
}

void import_files_free(struct import_files *files)
{
    arena_free(files->arena);
    *files = (struct import_files){0};
}

bool path_begins(struct span path, struct span prefix)
{
    if (path.len < prefix.len || !span_equal((struct span){path.data, prefix.len}, prefix) ||
        prefix.len == 0)
        return false;
    return path.len == prefix.len || prefix.data[prefix.len - 1] == '/' ||
           path.data[prefix.len] == '/';
}

const char *import_files_name(struct import_files *files, const char *operand)
{
    struct span path = span_of(operand);
    if (files->root != NULL && path_begins(path, span_of(files->root)))
        return join(files, span_of(""), span_skip(path, strlen(files->root)));
    if (files->root != NULL || operand[0] == '/')
        return join(files, span_of(""), path);
    return join(files, span_of(files->here), path);
}

const char *import_files_real(struct import_files *files, const char *path)
{
    size_t here = strlen(files->here);
    if (files->root != NULL)
        return join(files, span_of(files->root), span_of(path));
    bool is_below = here > 0 && strncmp(path, files->here, here) == 0 && path[here] != '\0';
    return is_below ? path + here : path;
}

/* Whether the path, which may be a pattern, means anything there. */
static bool is_there(struct import_files *files, const char *path)
{
    const char *real = import_files_real(files, path);
    if (real == NULL)
        return false;
    if (strpbrk(path, "*?[{") == NULL)
        return faccessat(AT_FDCWD, real, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    /* The folder of the pattern is enough: it may be empty today. */
    const char *slash = strrchr(real, '/');
    const char *folder =
        slash == NULL ? NULL
                      : join(files, (struct span){real, (size_t)(slash - real)}, span_of(""));
    return folder != NULL && access(folder, F_OK) == 0;
}

const char *import_files_resolve(struct import_files *files, struct span path)
{
    struct span base = span_of(files->base);
    const char *nearest =
        join(files, path.len > 0 && path.data[0] == '/' ? span_of("") : base, path);
    if (nearest == NULL || path.len == 0 || path.data[0] == '/')
        return nearest;
    while (base.len > 0) {
        const char *candidate = join(files, base, path);
        if (candidate != NULL && is_there(files, candidate))
            return candidate;
        while (base.len > 0 && base.data[base.len - 1] != '/')
            base.len--;
        while (base.len > 0 && base.data[base.len - 1] == '/')
            base.len--;
    }
    return nearest;
}

/* Opens a path below the root, where absolute links mean files below it too. */
static int open_below(const char *root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
    int reason = errno;
    (void)close(folder); /* nothing was written */
    errno = reason;
    return fd;
}

bool import_files_read(struct import_files *files, const char *path, struct text *ret_bytes)
{
    char name[64];
    if (files->root == NULL)
        return file_read(path, LIMIT_IMPORT_FILE, ret_bytes, NULL);
    int fd = open_below(files->root, path);
    if (fd < 0)
        return false;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd); /* a number fits */
    bool good = file_read(name, LIMIT_IMPORT_FILE, ret_bytes, NULL);
    int reason = errno;
    (void)close(fd); /* nothing was written */
    errno = reason;
    return good;
}

void import_files_parse(struct import_files *files, const char *path, struct position at,
                        import_parse *parse, struct directive *parent)
{
    struct text bytes = {0};
    const char *real = import_files_real(files, path);
    if (real == NULL)
        return;
    const char *file = diag_intern(files->diag, span_of(real));
    if (files->depth >= LIMIT_IMPORT_DEPTH) {
        diag_add(files->diag, DIAG_ERROR, at, "files include files deeper than %d times",
                 LIMIT_IMPORT_DEPTH);
    } else if (!import_files_read(files, path, &bytes)) {
        const char *reason = strerror(errno);
        const struct position whole = {.file = file};
        if (at.file == NULL)
            diag_add(files->diag, DIAG_ERROR, whole, "the file cannot be read: %s", reason);
        else
            diag_add(files->diag, DIAG_ERROR, at, "%s cannot be read: %s", real, reason);
    } else {
        /* Words point into the bytes no more once they are parsed. */
        files->depth++;
        parse(files, (struct span){bytes.data, bytes.len}, file, parent);
        files->depth--;
    }
    text_free(&bytes);
}

struct inclusion {
    struct import_files *files;
    struct position at;
    import_parse *parse;
    struct directive *parent;
};

static void include_file(void *context, const char *path)
{
    struct inclusion *inclusion = context;
    const char *name = import_files_name(inclusion->files, path);
    if (name != NULL)
        import_files_parse(inclusion->files, name, inclusion->at, inclusion->parse,
                           inclusion->parent);
}

void import_files_include(struct import_files *files, const struct word *pattern, bool optional,
                          import_parse *parse, struct directive *parent)
{
    uint64_t fingerprint = 0;
    struct inclusion inclusion = {files, pattern->at, parse, parent};
    const char *path = import_files_resolve(files, pattern->text);
    const char *real = path == NULL ? NULL : import_files_real(files, path);
    if (real == NULL)
        return;
    bool is_pattern = strpbrk(path, "*?[{") != NULL;
    if (optional && !is_pattern && access(real, F_OK) != 0)
        return;
    /* That there is no such folder is right for a pattern: it means no file. */
    int error = include_find(real, include_file, &inclusion, &fingerprint);
    if (error != 0 && error != ENOENT)
        diag_add(files->diag, DIAG_ERROR, pattern->at, "%s cannot be searched: %s", real,
                 strerror(error));
}

struct directive *directive_add(struct import_files *files, struct directive *parent,
                                const struct word *words, size_t count)
{
    struct directive *directive = arena_take(files->arena, sizeof(*directive));
    struct word *copy = arena_take(files->arena, count * sizeof(*copy));
    if (directive == NULL || copy == NULL) {
        files->shortage = true;
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        copy[i].text = (struct span){arena_copy(files->arena, words[i].text), words[i].text.len};
        copy[i].at = words[i].at;
        if (copy[i].text.data == NULL) {
            files->shortage = true;
            return NULL;
        }
    }
    *directive = (struct directive){.words = copy, .count = count};
    if (parent->last == NULL)
        parent->first = directive;
    else
        parent->last->next = directive;
    parent->last = directive;
    return directive;
}

const struct directive *directive_find(const struct directive *parent,
                                       const struct directive *after, const char *name)
{
    const struct directive *one = after == NULL ? parent->first : after->next;
    while (one != NULL && !span_equal_fold(one->words[0].text, span_of(name)))
        one = one->next;
    return one;
}

struct span directive_word(const struct directive *directive, size_t index)
{
    return index < directive->count ? directive->words[index].text : span_of("");
}
