#include "certificates/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/heap.h"
#include "base/limits.h"
#include "certificates/key.h"
#include "files/file.h"

/* What is wrong with a path that was named goes where it is named, else to the path itself. */
static void report(struct certificate_files *files, const char *path, bool is_named,
                   const char *trouble)
{
    if (is_named) {
        diag_add(files->diag, DIAG_ERROR, files->at, "%s: %s", path, trouble);
        return;
    }
    struct position at = {diag_intern(files->diag, span_of(path)), 0, 0};
    diag_add(files->diag, DIAG_ERROR, at, "%s", trouble);
}

static void report_error(struct certificate_files *files, const char *path, bool is_named,
                         int error)
{
    report(files, path, is_named, file_error(error));
    if (error == EACCES && files->denied++ == 0)
        files->first_denied = diag_intern(files->diag, span_of(path));
    if (!file_hint_hidden(path, files->diag) && error == EACCES)
        diag_hint(files->diag, "start as root (files are read before the rights are dropped), or "
                               "let the user of this process read it");
    /* What its owner has done is no matter of the machine. */
    bool is_owners =
        error == EACCES || error == ENOENT || error == ELOOP || error == EXDEV || error == EMLINK;
    if (!is_named && files->doubt != NULL)
        files->doubt(files->context, is_owners ? DIAG_NOTE : DIAG_WARNING);
}

static void fail(void *context, const struct tree_failure *failure)
{
    struct certificate_files *files = context;
    struct position at = {0};
    switch (failure->trouble) {
    case TREE_UNREADABLE:
        report_error(files, failure->path, failure->is_named, failure->error);
        break;
    case TREE_ODD:
        report(files, failure->path, true, "neither a file nor a folder");
        break;
    case TREE_DEEP:
        at.file = diag_intern(files->diag, span_of(failure->path));
        diag_add(files->diag, DIAG_WARNING, at,
                 "this folder is not searched, because it is more than %d levels deep",
                 LIMIT_CERTIFICATE_DEPTH);
        diag_hint(files->diag, "name it under \"certificates:\" too");
        break;
    case TREE_MANY:
        diag_add(files->diag, DIAG_ERROR, files->at,
                 "%s and the files after it are not read, because the path has more than %d files",
                 failure->path, LIMIT_CERTIFICATE_FILES);
        break;
    }
}

/* Reads the descriptor to its end; one byte too many tells that the file is too large. */
static bool read_all(struct certificate_files *files, int fd, size_t *ret_len)
{
    for (*ret_len = 0; *ret_len <= LIMIT_CERTIFICATE_FILE;) {
        ssize_t count = read(fd, files->buffer + *ret_len, LIMIT_CERTIFICATE_FILE + 1 - *ret_len);
        if (count == 0 || (count < 0 && errno != EINTR))
            return count == 0;
        *ret_len += count > 0 ? (size_t)count : 0;
    }
    return true;
}

/* A file that somebody is about to swap for a pipe cannot hold us up: O_NONBLOCK. */
static void visit(void *context, const struct tree_file *file)
{
    struct certificate_files *files = context;
    struct stat status;
    size_t len = 0;
    progress_make(files->progress, PROGRESS_GOES_ON);
    if (files->skip != NULL && files->skip(files->context, file))
        return;
    if (files->buffer == NULL)
        files->buffer = heap_grow(NULL, 1, LIMIT_CERTIFICATE_FILE + 1);
    /* The operator may name what he likes; in a folder a link may be another user's. */
    int fd = file->is_named ? open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
                            : file_open(file->folder, file->name, &status);
    bool is_open = fd >= 0 && fstat(fd, &status) == 0;
    bool is_file = is_open && S_ISREG(status.st_mode); /* else somebody has just swapped it */
    if (!is_open || (is_file && !read_all(files, fd, &len))) {
        report_error(files, file->path, file->is_named, errno);
    } else if (len > LIMIT_CERTIFICATE_FILE) {
        struct position at = {diag_intern(files->diag, span_of(file->path)), 0, 0};
        diag_add(files->diag, file->is_named ? DIAG_ERROR : DIAG_NOTE,
                 file->is_named ? files->at : at,
                 "%s is not read, because it is larger than %d bytes", file->path,
                 LIMIT_CERTIFICATE_FILE);
    } else if (is_file) {
        files->visit(files->context, file, (struct span){files->buffer, len});
    }
    private_key_wipe(files->buffer, len);
    descriptor_close(&fd);
}

void certificate_files_walk(struct certificate_files *files, const char *path, struct position at)
{
    files->at = at;
    files->tree.visit = visit;
    files->tree.fail = fail;
    files->tree.context = files;
    tree_walk(&files->tree, path);
}

void certificate_files_free(struct certificate_files *files)
{
    text_free(&files->tree.path);
    free(files->buffer);
    files->buffer = NULL;
}
