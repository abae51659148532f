#include "load/certificate_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/limits.h"
#include "load/private_key.h"

struct folder {
    char **names; /* owned, and so is each */
    size_t count;
    size_t capacity;
};

void certificate_files_free(struct certificate_files *files)
{
    free(files->buffer);
    files->buffer = NULL;
}

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

static void hint_at_user(struct certificate_files *files, int error)
{
    if (error == EACCES)
        diag_hint(files->diag, "start as root (files are read before the rights are dropped), or "
                               "let the user of this process read it");
}

/* Reads the descriptor to its end; one byte too many tells that the file is too large. */
static bool read_all(struct certificate_files *files, int fd, size_t *ret_len)
{
    size_t len = 0;
    while (len <= LIMIT_CERTIFICATE_FILE) {
        ssize_t count = read(fd, files->buffer + len, LIMIT_CERTIFICATE_FILE + 1 - len);
        if (count < 0 && errno == EINTR)
            continue;
        *ret_len = len;
        if (count <= 0)
            return count == 0;
        len += (size_t)count;
    }
    *ret_len = len;
    return true;
}

static void read_file(struct certificate_files *files, const char *path, bool is_named, int fd,
                      const struct stat *status)
{
    size_t len = 0;
    bool done = read_all(files, fd, &len);
    int error = errno;
    if (!done) {
        report(files, path, is_named, strerror(error));
    } else if (len > LIMIT_CERTIFICATE_FILE) {
        struct position at = {diag_intern(files->diag, span_of(path)), 0, 0};
        diag_add(files->diag, is_named ? DIAG_ERROR : DIAG_NOTE, is_named ? files->at : at,
                 "%s is not read, because it is larger than %d bytes", path,
                 LIMIT_CERTIFICATE_FILE);
    } else {
        files->visit(files->context, &(struct certificate_file){
                                         .path = path,
                                         .bytes = {files->buffer, len},
                                         .is_named = is_named,
                                         .is_public = (status->st_mode & S_IROTH) != 0,
                                     });
    }
    private_key_wipe(files->buffer, len);
}

static bool may_count(struct certificate_files *files)
{
    if (files->buffer == NULL)
        files->buffer = malloc(LIMIT_CERTIFICATE_FILE + 1);
    if (files->buffer == NULL) {
        files->shortage = true;
        return false;
    }
    files->count++;
    if (files->count == LIMIT_CERTIFICATE_FILES + 1)
        diag_add(files->diag, DIAG_ERROR, files->at,
                 "the files from here on are not read, because there are more than %d",
                 LIMIT_CERTIFICATE_FILES);
    return files->count <= LIMIT_CERTIFICATE_FILES;
}

/* A file that somebody is about to swap for a pipe cannot hold us up: O_NONBLOCK. */
static void visit_file(struct certificate_files *files, const char *path, bool is_named)
{
    struct stat status;
    if (!may_count(files))
        return;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int error = errno;
        report(files, path, is_named, strerror(error));
        hint_at_user(files, error);
        return;
    }
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        read_file(files, path, is_named, fd, &status);
    (void)close(fd); /* it was only read */
}

static void folder_free(struct folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        free(folder->names[i]);
    free(folder->names);
}

static int name_compare(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;
    return strcmp(*a, *b);
}

static bool folder_add(struct folder *folder, const char *name)
{
    char **names = array_room(folder->names, folder->count, &folder->capacity, sizeof(*names));
    if (names == NULL)
        return false;
    folder->names = names;
    char *copy = strdup(name);
    if (copy == NULL)
        return false;
    names[folder->count++] = copy;
    return true;
}

/* Names sort so that the outcome does not depend on the file system. False with errno. */
static bool folder_list(const char *path, struct folder *ret_folder)
{
    struct dirent *entry;
    int error = 0;
    DIR *stream = opendir(path);
    if (stream == NULL)
        return false;
    /* readdir tells its end from an error by errno alone. */
    for (errno = 0; error == 0 && (entry = readdir(stream)) != NULL; errno = 0)
        if (entry->d_name[0] != '.' && !folder_add(ret_folder, entry->d_name))
            error = ENOMEM;
    if (error == 0)
        error = errno;
    (void)closedir(stream); /* it was only read */
    if (ret_folder->count > 0)
        qsort(ret_folder->names, ret_folder->count, sizeof(*ret_folder->names), name_compare);
    errno = error;
    return error == 0;
}

static char *path_join(const char *folder, const char *name)
{
    char *path = NULL;
    size_t len = strlen(folder);
    const char *slash = len > 0 && folder[len - 1] == '/' ? "" : "/";
    return asprintf(&path, "%s%s%s", folder, slash, name) < 0 ? NULL : path;
}

static void walk_folder(struct certificate_files *files, const char *path, int depth);

/* One name in a folder. A link to a folder is not followed: it may lead back up. */
static void walk_name(struct certificate_files *files, const char *path, int depth)
{
    struct stat own, target;
    int known = lstat(path, &own);
    /* What vanished since the folder was listed is nobody's fault; a dangling link is. */
    if (known != 0 && errno == ENOENT)
        return;
    target = own;
    if (known == 0 && S_ISLNK(own.st_mode))
        known = stat(path, &target);
    if (known != 0) {
        int error = errno;
        report(files, path, false, strerror(error));
        hint_at_user(files, error);
    } else if (S_ISDIR(own.st_mode)) {
        walk_folder(files, path, depth + 1);
    } else if (S_ISREG(target.st_mode)) {
        visit_file(files, path, false);
    }
}

/* The depth is bounded, and so is the recursion. */
static void walk_folder(struct certificate_files *files, const char *path, int depth)
{
    struct folder folder = {0};
    if (depth > LIMIT_CERTIFICATE_DEPTH) {
        struct position at = {diag_intern(files->diag, span_of(path)), 0, 0};
        diag_add(files->diag, DIAG_WARNING, at,
                 "this folder is not searched, because it is more than %d levels deep",
                 LIMIT_CERTIFICATE_DEPTH);
        diag_hint(files->diag, "name it in the configuration too");
        return;
    }
    if (!folder_list(path, &folder)) {
        int error = errno;
        files->shortage = files->shortage || error == ENOMEM;
        report(files, path, depth == 0, strerror(error));
        hint_at_user(files, error);
    }
    for (size_t i = 0; i < folder.count; i++) {
        char *name = path_join(path, folder.names[i]);
        if (name == NULL)
            files->shortage = true;
        else
            walk_name(files, name, depth);
        free(name);
    }
    folder_free(&folder);
}

void certificate_files_walk(struct certificate_files *files, const char *path, struct position at)
{
    struct stat status;
    files->at = at;
    if (stat(path, &status) != 0) {
        int error = errno;
        report(files, path, true, strerror(error));
        hint_at_user(files, error);
    } else if (S_ISDIR(status.st_mode)) {
        walk_folder(files, path, 0);
    } else if (S_ISREG(status.st_mode)) {
        visit_file(files, path, true);
    } else {
        diag_add(files->diag, DIAG_ERROR, at, "%s: neither a file nor a folder", path);
    }
}
