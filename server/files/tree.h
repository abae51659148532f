/*
 * Walks the files and folders that the configuration names: hands out every
 * regular file with its path and status, and says what it could not look at. It
 * opens folders but no file, and follows no link out of a folder but those to
 * files. Nothing is reported to people here. Loader and commands only.
 */
#ifndef FILES_TREE_H
#define FILES_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/text.h"

/* Everything is borrowed for the call. */
struct tree_file {
    const char *path;
    int folder;                /* a descriptor, or AT_FDCWD: name is relative to it */
    const char *name;          /* for openat */
    const struct stat *status; /* of what the path leads to */
    uint64_t signature;
    bool is_named; /* it was named itself, not a folder above it */
};

enum tree_trouble {
    TREE_UNREADABLE, /* the error tells why */
    TREE_ODD,        /* it was named and is neither a file nor a folder */
    TREE_DEEP,       /* a folder below LIMIT_CERTIFICATE_DEPTH, which is not searched */
    TREE_MANY, /* this file of the path and those after it are beyond LIMIT_CERTIFICATE_FILES */
};

struct tree_failure {
    enum tree_trouble trouble;
    int error;        /* from errno; 0 unless unreadable */
    const char *path; /* borrowed for the call */
    bool is_named;
};

/* Begin with {.visit, .fail, .context, .most}, each of which may be left out; end with text_free of
 * the path. */
struct tree {
    void (*visit)(void *context, const struct tree_file *file);
    void (*fail)(void *context, const struct tree_failure *failure);
    void *context;        /* borrowed */
    size_t most;          /* files of one path; 0: LIMIT_CERTIFICATE_FILES */
    struct text path;     /* of what is looked at now */
    size_t count;         /* files seen of the path that is walked */
    uint64_t fingerprint; /* of everything that was seen, failures too */
};

/* Visits the file, or every file below the folder in the order of their names. Names that begin
 * with a dot are skipped, and so is what vanishes meanwhile. May be called for several paths. */
void tree_walk(struct tree *tree, const char *path);

#endif
