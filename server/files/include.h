/*
 * Finds the files that an include pattern means, and takes their signatures.
 * Used to read them and, later, to see whether anything has changed. Loader,
 * watcher and commands only; it opens folders but no file.
 */
#ifndef FILES_INCLUDE_H
#define FILES_INCLUDE_H

#include <stdint.h>

/* path is borrowed for the call. error is 0 for a file; EISDIR for a folder that the pattern means
 * itself, with a slash at its end; else why a folder above some files cannot be searched, whose path
 * has no slash at its end. */
typedef void include_visit(void *context, const char *path, int error);

/* Calls back, if visit is not NULL, for each file in the order of their names; a pattern without
 * wildcards is a file even if there is none. Adds the signature of each, taken before the call, to
 * the fingerprint. 0, or an error of errno for the whole pattern, whose signature is added too. */
int include_find(const char *pattern, include_visit *visit, void *context, uint64_t *fingerprint);

#endif
