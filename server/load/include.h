/*
 * Finds the files that an include pattern means, and takes their signatures.
 * Used to read them and, later, to see whether anything has changed. Supervisor
 * and commands only; it opens no file.
 */
#ifndef LOAD_INCLUDE_H
#define LOAD_INCLUDE_H

#include <stdint.h>

/* path is borrowed for the call. */
typedef void include_visit(void *context, const char *path);

/* Calls back, if visit is not NULL, for each file in the order of their names; a pattern without
 * wildcards is a file even if there is none. Adds the signature of each, taken before the call, to
 * the fingerprint. 0, or an error of errno, whose signature is added too. */
int include_find(const char *pattern, include_visit *visit, void *context, uint64_t *fingerprint);

#endif
