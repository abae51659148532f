#include "import/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "files/file.h"
#include "files/include.h"
#include "files/tree.h"
#include "policy/name.h"

struct search {
    struct import *import;
    struct import_paths files; /* to be read; read in this order */
    struct import_paths seen;  /* that were read, each by the name that no link leads to */
    size_t bytes;              /* that were read */
    size_t reports;            /* of names that cannot be listed */
    bool is_optional;
    const char *path; /* of the file that is read now */
    const char *file; /* the same, interned */
};

static const char NAME_THEM[] = "name the domains: import DOMAIN...";

static struct position whole(struct search *search, const char *path)
{
    return (struct position){.file = diag_intern(search->import->diag, span_of(path))};
}

static void add_file(void *context, const struct tree_file *file)
{
    struct search *search = context;
    import_add_path(search->import, &search->files, file->path);
}

static void report_failure(void *context, const struct tree_failure *failure)
{
    struct search *search = context;
    struct diag *diag = search->import->diag;
    if (search->is_optional && failure->error == ENOENT)
        return;
    const char *why = failure->trouble == TREE_UNREADABLE ? strerror(failure->error)
                      : failure->trouble == TREE_ODD      ? "it is neither a file nor a folder"
                      : failure->trouble == TREE_DEEP     ? "its folders are nested too deeply"
                                                          : "there are too many files";
    diag_add(diag, DIAG_ERROR, whole(search, failure->path), "cannot be searched: %s", why);
    diag_hint(diag, "%s", NAME_THEM);
}

static void walk(struct search *search, const char *path)
{
    struct tree tree = {.visit = add_file, .fail = report_failure, .context = search};
    tree_walk(&tree, path);
    tree_free(&tree);
}

/* The path that is meant in the file that is read now: relative to its folder, or to one above. NULL
 * when there is none. Of a pattern the folder counts, for it may be empty today. */
static const char *resolve(struct search *search, struct span path)
{
    struct import *import = search->import;
    const char *slash = strrchr(search->path, '/');
    struct span folder = {search->path, slash == NULL ? 0 : (size_t)(slash - search->path) + 1};
    if (path.len > 0 && path.data[0] == '/')
        folder.len = 0;
    for (;;) {
        const char *found = arena_printf(import->arena, "%.*s%.*s", (int)folder.len, folder.data,
                                         (int)path.len, path.data);
        const char *star = strpbrk(found, "*?[");
        const char *end = star == NULL ? NULL : memrchr(found, '/', (size_t)(star - found));
        const char *there =
            end == NULL ? found : arena_printf(import->arena, "%.*s/", (int)(end - found), found);
        if (access(there, F_OK) == 0)
            return found;
        if (folder.len <= (search->path[0] == '/' ? 1 : 0))
            return NULL;
        do
            folder.len--;
        while (folder.len > 0 && folder.data[folder.len - 1] != '/');
    }
}

static void add_included(void *context, const char *path, int error)
{
    if (error == 0)
        walk(context, path);
}

/* More configuration, wherever it is. The import of Caddy may name a part of the same file. */
static void include(struct search *search, const struct import_word *word, struct position at)
{
    uint64_t fingerprint = 0;
    struct diag *diag = search->import->diag;
    const char *pattern = resolve(search, word->text);
    bool is_path = memchr(word->text.data, '/', word->text.len) != NULL ||
                   memchr(word->text.data, '.', word->text.len) != NULL;
    if (pattern != NULL && strpbrk(pattern, "*?[") != NULL)
        (void)include_find(pattern, add_included, search, &fingerprint); /* none is right, too */
    else if (pattern != NULL)
        walk(search, pattern);
    else if (is_path) {
        bool is_variable = memchr(word->text.data, '$', word->text.len) != NULL;
        diag_add(diag, is_variable ? DIAG_ERROR : DIAG_WARNING, at,
                 "the included file is not found, and is not searched: \"%s\"",
                 import_shown(search->import, word->text));
        diag_hint(diag, "search it too, if it names hosts: --search PATH");
    }
}

static void report_many(struct search *search, const struct import_word *word, struct position at)
{
    struct diag *diag = search->import->diag;
    enum diag_level level = word->found == IMPORT_MANY ? DIAG_ERROR : DIAG_NOTE;
    if (strstr(search->path, "-available/") != NULL)
        level = DIAG_NOTE; /* it is not enabled: else it was read by its other name */
    if (search->reports++ > LIMIT_IMPORT_REPORTS)
        return;
    if (search->reports > LIMIT_IMPORT_REPORTS) {
        level = DIAG_ERROR;
        diag_add(diag, level, at, "more than %d names stand for hosts that cannot be listed",
                 LIMIT_IMPORT_REPORTS);
    } else if (word->text.len == 0) {
        diag_add(diag, level, at, "this virtual host answers for hosts that cannot be listed");
    } else {
        diag_add(diag, level, at, "the name \"%s\" stands for hosts that cannot be listed",
                 import_shown(search->import, word->text));
    }
    diag_hint(diag, level == DIAG_NOTE ? "if policies are among them, %s" : "%s", NAME_THEM);
}

/* What the scan has found, in the file that is read now. */
static void take(void *context, const struct import_word *word)
{
    struct search *search = context;
    struct import *import = search->import;
    struct position at = {search->file, word->line, word->column};
    const char *path = NULL;
    struct name name;
    switch (word->found) {
    case IMPORT_NAME:
        if (name_parse(word->text, NAME_HOST, &name) == NAME_OK)
            (void)import_add_host(import, word->text, at, IMPORT_NAMED);
        else
            diag_add(import->diag, DIAG_NOTE, at,
                     "mta-sts.%s cannot be a host name, and is skipped",
                     import_shown(import, word->text));
        break;
    case IMPORT_HOST_NAME:
        (void)import_add_host(import, word->text, at, IMPORT_NAMED);
        break;
    case IMPORT_COVERED:
        (void)import_add_host(import, word->text, at, IMPORT_LIKELY);
        break;
    case IMPORT_COMMENT:
        (void)import_add_host(import, word->text, at, IMPORT_MENTIONED);
        break;
    case IMPORT_MANY:
    case IMPORT_DEFAULT:
        report_many(search, word, at);
        break;
    case IMPORT_PATH:
        path = resolve(search, word->text);
        if (path != NULL)
            import_add_path(import, &import->searched, path);
        break;
    case IMPORT_INCLUDE:
        include(search, word, at);
        break;
    }
}

/* False when the file was read by another name. */
static bool is_new(struct search *search, const char *path)
{
    size_t before = search->seen.count;
    char *real = realpath(path, NULL);
    import_add_path(search->import, &search->seen, real == NULL ? path : real);
    free(real);
    return search->seen.count > before;
}

static void report_unread(struct search *search, const char *path, int error)
{
    struct diag *diag = search->import->diag;
    const char *dot = strrchr(path, '.');
    bool is_key = dot != NULL && (strcmp(dot, ".key") == 0 || strcmp(dot, ".pem") == 0);
    if (is_key && error == EACCES) /* no host is named there */
        return;
    diag_add(diag, DIAG_ERROR, whole(search, path), "cannot be searched: %s",
             error == EFBIG ? "it is too large" : strerror(error));
    diag_hint(diag, "%s", error == EACCES ? "run this as root" : NAME_THEM);
}

static void read_file(struct search *search, const char *path)
{
    struct text bytes = {0};
    size_t left = LIMIT_IMPORT_BYTES - search->bytes;
    size_t most = left < LIMIT_IMPORT_FILE ? left : LIMIT_IMPORT_FILE;
    if (!file_read(path, most, &bytes, NULL)) {
        if (errno != ENOENT)
            report_unread(search, path, errno);
    } else if (bytes.len > 0 && is_new(search, path)) {
        search->bytes += bytes.len;
        search->path = path;
        search->file = diag_intern(search->import->diag, span_of(path));
        if (memmem(bytes.data, bytes.len, "-----BEGIN ", 11) != NULL)
            import_add_path(search->import, &search->import->searched, path);
        else if (memchr(bytes.data, '\0', bytes.len) == NULL) /* else it is no text */
            import_scan((struct span){bytes.data, bytes.len}, take, search);
    }
    text_free(&bytes);
}

void import_search(struct import *import, const char *const *paths, size_t count, bool is_optional)
{
    struct search search = {.import = import, .is_optional = is_optional};
    for (size_t i = 0; i < count; i++)
        walk(&search, paths[i]);
    search.is_optional = false;
    /* What is in sites-available comes last: what is enabled of it was read by another name then. */
    size_t before = SIZE_MAX;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < search.files.count; i++)
            if (i >= before ||
                (strstr(search.files.items[i], "-available/") != NULL) == (pass == 1))
                read_file(&search, search.files.items[i]);
        before = search.files.count;
    }
    import_free_paths(&search.files);
    import_free_paths(&search.seen);
}
