/*
 * Files that exist only in memory. From files_begin to files_end the program
 * sees these and no others, and what it writes is one of them: this module
 * stands in front of open, stat, renameat, unlinkat and glob of the C library, so
 * that an input cannot name a file of the machine and does the same thing
 * everywhere. Their status depends on path and contents only.
 */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>

#include "base/span.h"

/* A file that is added under a path that is there replaces it. */
enum { FILES_MOST = 16, FILES_PATH_SIZE = 128 };

void files_begin(void);

/* The path must be absolute and is cut at FILES_PATH_SIZE - 1 bytes. False, and
 * nothing is added, when there are FILES_MOST already. */
bool files_add(struct span path, struct span bytes);

void files_end(void);

/* The path of the file with this number, from 0 on; NULL behind the last one. Borrowed. */
const char *files_path(size_t number);

/* Adds the files of one input: the bytes up to the first line "%file NAME" are
 * those of the path given, and what follows each such line those of
 * folder/NAME. Lines like that are no YAML and no PEM. */
void files_add_all(const char *path, const char *folder, struct span input);

#endif
