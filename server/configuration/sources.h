/*
 * The configuration files: the main one and those that it includes. Reads them
 * into the draft and remembers which of them are broken, because the domains
 * of a broken file are not gone, only out of sight. Runs in the loader and
 * in commands.
 */
#ifndef CONFIGURATION_SOURCES_H
#define CONFIGURATION_SOURCES_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/progress.h"
#include "base/table.h"
#include "configuration/draft.h"
#include "configuration/schema.h"
#include "files/watch.h"

/* Why domains of the file may be missing from the draft. */
enum source_kind {
    SOURCE_SOUND,  /* because it does not name them any more */
    SOURCE_GONE,   /* because it is not there */
    SOURCE_BROKEN, /* because of a fault, which was reported */
    SOURCE_HIDING, /* because it is a folder, or below one, that cannot be searched; also reported */
    SOURCE_BARE,   /* because it is empty, a folder, or names no domain */
};

/* A configuration file that was read, or should have been; or what was found in its place. */
struct source_file {
    const char *path; /* borrowed; here interned in diag */
    enum source_kind kind;
};

/* Begin with {.arena, .draft, .diag, .watch, .progress}; end with sources_free. */
struct sources {
    struct arena *arena;        /* borrowed */
    struct draft *draft;        /* borrowed */
    struct diag *diag;          /* borrowed */
    struct watch *watch;        /* borrowed */
    const struct text *extra;   /* borrowed; the bytes of the file "-"; or NULL */
    struct source_file *items;  /* owned; the first one is the main file */
    const struct node *include; /* whose files are read now; and what is known of it: */
    bool include_is_pattern;
    size_t found_count;
    size_t hiding_count; /* of the items, how many are folders that hide files */
    size_t count;
    struct table by_file;
    struct position begin; /* where the main file begins, for what is missing in it */
    const struct progress_callback *progress; /* borrowed; or NULL */
};

void sources_free(struct sources *sources);

/* Reads the main file; policies and domains go into the draft, the other keys
 * into ret_nodes, which the caller has zeroed; what was looked at, and its
 * fingerprint, into the watch. A fault is DIAG_FATAL; what is sound is read all
 * the same. False when nothing could be read. */
bool sources_read(struct sources *sources, const char *path, struct root_nodes *ret_nodes);

/* After the main file: reads one more, named "-", with the bytes of extra, unless that is NULL; and what the
 * value of its key "include" names, in the same way; NULL: nothing. A fault of an included file is DIAG_ERROR. */
void sources_read_included(struct sources *sources, const struct node *include,
                           const struct text *extra);

/* Why domains of the file may be missing from the draft. */
enum source_kind sources_kind(const struct sources *sources, const char *file);

/* All of them, the main one first; borrowed from the arena. */
const struct source_file *sources_list(const struct sources *sources, struct arena *arena,
                                       size_t *ret_count);

/* The path as the file that names it means it; borrowed from the arena. */
const char *sources_resolve(struct sources *sources, const char *naming_file, const char *path);

#endif
