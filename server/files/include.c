#include "files/include.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "files/file.h"

static const char WILDCARDS[] = "*?[{";

/* What is found is told to this one. */
struct finder {
    include_visit *visit;
    void *context;
    uint64_t *fingerprint;
};

static void visit(const struct finder *finder, const char *path, int error)
{
    *finder->fingerprint +=
        error == 0 ? file_signature_of_path(path) : file_signature_of_error(path, error);
    if (finder->visit != NULL)
        finder->visit(finder->context, path, error);
}

/* Why the folder cannot be listed; 0 when it can, or when it is none. */
static int list_error(const char *path)
{
    DIR *stream = opendir(path);
    int error = stream == NULL ? errno : 0;
    if (stream != NULL)
        (void)closedir(stream); /* it was not even read */
    return error == ENOTDIR ? 0 : error;
}

/* Looks at the folders that the first bytes of the pattern mean, and tells which cannot be listed.
 * Returns how many, or -1 with the reason in errno when all files are out of reach for that. */
static int look_at_folders(const struct finder *finder, const char *pattern, size_t len)
{
    glob_t found = {0};
    int count = -1, error = 0;
    /* Without the slash at its end, unless it is the root. */
    char *folders =
        heap_copy(len == 0 ? span_of(".") : (struct span){pattern, len > 1 ? len - 1 : len});
    if (strpbrk(folders, WILDCARDS) == NULL) {
        error = list_error(folders);
        count = error == 0 ? 0 : -1;
        goto done;
    }
    int result = glob(folders, GLOB_BRACE | GLOB_ONLYDIR, NULL, &found);
    if (result == GLOB_NOSPACE)
        heap_end();
    count = 0;
    for (size_t i = 0; result == 0 && i < found.gl_pathc; i++) {
        int trouble = list_error(found.gl_pathv[i]);
        if (trouble == 0)
            continue;
        visit(finder, found.gl_pathv[i], trouble);
        count++;
    }
done:
    globfree(&found);
    free(folders);
    errno = error;
    return count;
}

/* The same for every folder on the way, which ends at a slash outside of braces before a wildcard. */
static int look_at_all_folders(const struct finder *finder, const char *pattern)
{
    int sum = 0, depth = 0;
    size_t begin = 0; /* of the name */
    for (size_t i = 0;; i++) {
        char byte = pattern[i];
        depth += byte == '{' ? 1 : byte == '}' && depth > 0 ? -1 : 0;
        if (byte != '\0' && (byte != '/' || depth > 0))
            continue;
        if (strcspn(pattern + begin, WILDCARDS) < i - begin) {
            int count = look_at_folders(finder, pattern, begin);
            if (count < 0)
                return -1;
            sum += count;
        }
        if (byte == '\0')
            return sum;
        begin = i + 1;
    }
}

int include_find(const char *pattern, include_visit *visit_found, void *context,
                 uint64_t *fingerprint)
{
    const struct finder finder = {visit_found, context, fingerprint};
    glob_t found = {0};
    int error = 0, flags = GLOB_MARK | GLOB_BRACE;
    int result = glob(pattern, flags | GLOB_ERR, NULL, &found);
    if (result == GLOB_ABORTED) {
        /* A folder of one customer must not hide the others. */
        error = errno;
        int count = look_at_all_folders(&finder, pattern);
        if (count > 0) {
            error = 0;
            globfree(&found);
            found = (glob_t){0};
            result = glob(pattern, flags, NULL, &found);
        } else if (count < 0) {
            error = errno;
        }
    }
    if (result != 0 && result != GLOB_NOMATCH) {
        if (result == GLOB_NOSPACE || error == 0 || error == ENOMEM)
            heap_end();
        *fingerprint += file_signature_of_error(pattern, error);
    } else if (result == GLOB_NOMATCH && strpbrk(pattern, WILDCARDS) == NULL) {
        visit(&finder, pattern, 0);
    }
    for (size_t i = 0; result == 0 && i < found.gl_pathc; i++)
        if (found.gl_pathv[i][strlen(found.gl_pathv[i]) - 1] != '/') /* folders */
            visit(&finder, found.gl_pathv[i], 0);
        else
            visit(&finder, found.gl_pathv[i], EISDIR);
    globfree(&found);
    return error;
}
