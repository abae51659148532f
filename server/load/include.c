#include "load/include.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

#include "load/signature.h"

static void visit_file(const char *path, include_visit *visit, void *context, uint64_t *fingerprint)
{
    *fingerprint += signature_of_path(path);
    if (visit != NULL)
        visit(context, path);
}

int include_find(const char *pattern, include_visit *visit, void *context, uint64_t *fingerprint)
{
    glob_t found = {0};
    int error = 0;
    int result = glob(pattern, GLOB_ERR | GLOB_MARK | GLOB_BRACE, NULL, &found);
    if (result != 0 && result != GLOB_NOMATCH) {
        error = result == GLOB_NOSPACE || errno == 0 ? ENOMEM : errno;
        *fingerprint += signature_of_error(pattern, error);
    } else if (result == GLOB_NOMATCH && strpbrk(pattern, "*?[{") == NULL) {
        visit_file(pattern, visit, context, fingerprint);
    }
    for (size_t i = 0; result == 0 && i < found.gl_pathc; i++)
        if (found.gl_pathv[i][strlen(found.gl_pathv[i]) - 1] != '/') /* folders */
            visit_file(found.gl_pathv[i], visit, context, fingerprint);
    globfree(&found);
    return error;
}
