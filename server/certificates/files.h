/*
 * Reads the files of the trees that the configuration names and hands out the
 * contents of each; what cannot be read is reported. It never blocks on a pipe,
 * never reads more than LIMIT_CERTIFICATE_FILE, and wipes its buffer, for a
 * file may hold a key. Loader and commands only.
 */
#ifndef CERTIFICATES_FILES_H
#define CERTIFICATES_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "base/progress.h"
#include "base/span.h"
#include "files/tree.h"

/* Begin with {.diag, .visit, .context} and what there is of the others; end with certificate_files_free. */
struct certificate_files {
    struct diag *diag; /* borrowed */
    /* True when the file need not be read; or NULL. */
    bool (*skip)(void *context, const struct tree_file *file);
    /* bytes are borrowed for the call. */
    const struct progress_callback *progress; /* borrowed; or NULL */
    void (*visit)(void *context, const struct tree_file *file, struct span bytes);
    /* Called after an error of a file in a folder, which may be anybody's, with the level that it has
     * when nobody needs the file; or NULL. */
    void (*doubt)(void *context, enum diag_level otherwise);
    void *context;      /* borrowed */
    struct position at; /* of the path that is walked now */
    struct tree tree;
    char *buffer;             /* owned; LIMIT_CERTIFICATE_FILE bytes and one more */
    size_t denied;            /* files and folders that this user may not read */
    const char *first_denied; /* borrowed from diag; NULL when there is none */
};

/* Visits the file, or every file below the folder in the order of their names.
 * at is where the configuration names it. */
void certificate_files_walk(struct certificate_files *files, const char *path, struct position at);

void certificate_files_free(struct certificate_files *files);

#endif
