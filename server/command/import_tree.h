/*
 * The configuration of a web server as a tree of directives, with the places
 * where they stand, and the files that it is read from. What nginx and Apache
 * have in common is here; their syntax is in import_nginx_syntax and
 * import_apache_syntax. Runs in the command import, on the operator's files.
 */
#ifndef COMMAND_IMPORT_TREE_H
#define COMMAND_IMPORT_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/text.h"

struct word {
    struct span text; /* without its quotes; NUL-terminated, and a NUL may be inside */
    struct position at;
};

/* Everything is borrowed from the arena of the files. */
struct directive {
    struct directive *next;
    const struct word *words; /* the first is its name */
    size_t count;             /* at least 1 */
    bool is_block;            /* it has children, if only none */
    struct directive *first;  /* of the children */
    struct directive *last;
};

/* Where the files are. A path is as the web server saw it; with a root, the file is below that. */
struct import_files {
    struct arena *arena;      /* owned */
    struct diag *diag;        /* borrowed */
    const char *root;         /* a folder without a slash at its end, or NULL */
    const char *here;         /* the working folder with a slash, or "" when it is not known */
    const char *base;         /* the folder that relative paths are relative to, absolute */
    unsigned depth;           /* of files that include files */
    struct directive defines; /* what Apache's Define has named: words with name and value */
    bool shortage;            /* of memory: something is missing */
};

/* False when memory is short. root may be NULL and is borrowed. End with import_files_free. */
bool import_files_begin(struct import_files *files, const char *root, struct diag *diag);
void import_files_free(struct import_files *files);

/* The path as the web server saw it, of a file that the operator named: absolute, and without the
 * root if it begins with it. NULL on a shortage, which is noted. */
const char *import_files_name(struct import_files *files, const char *operand);

/* The path on this machine, as short as the operator would write it. NULL on a shortage, which is
 * noted. */
const char *import_files_real(struct import_files *files, const char *path);

/* Makes a path absolute that the web server takes relative to its folder: that is base, or the first
 * folder above base in which there is such a file, because a file of a virtual host may lie below
 * it. NULL on a shortage, which is noted. */
const char *import_files_resolve(struct import_files *files, struct span path);

/* Reads a file, through links that mean files below the root. Appends to ret_bytes. False with the
 * reason in errno. */
bool import_files_read(struct import_files *files, const char *path, struct text *ret_bytes);

/* Parses the file's bytes; appends the directives to the parent. Problems are reported. */
typedef void import_parse(struct import_files *files, struct span bytes, const char *file,
                          struct directive *parent);

/* Reads and parses the file. at is where it is named; a file that cannot be read is an error there
 * (or, without a file in at, at its own name). */
void import_files_parse(struct import_files *files, const char *path, struct position at,
                        import_parse *parse, struct directive *parent);

/* The same for each file that the pattern means, in the order of their names. With optional set, none
 * at all is right too. */
void import_files_include(struct import_files *files, const struct word *pattern, bool optional,
                          import_parse *parse, struct directive *parent);

/* A new directive with these words at the end of the parent's. NULL on a shortage, which is noted. */
struct directive *directive_add(struct import_files *files, struct directive *parent,
                                const struct word *words, size_t count);

/* The next child of that name, in any case, behind one of them; the first if that is NULL. NULL when
 * there is none. */
const struct directive *directive_find(const struct directive *parent,
                                       const struct directive *after, const char *name);

/* The word of the directive, or an empty one. */
struct span directive_word(const struct directive *directive, size_t index);

/* A path is below another one at a boundary of folders; "/" is above all. */
bool path_begins(struct span path, struct span prefix);

#endif
