/*
 * Reads whole files, safely: never blocks on a pipe, never reads more than it
 * was told, and says why it could not. Runs in the supervisor and in commands.
 */
#ifndef LOAD_FILE_H
#define LOAD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/text.h"

/* Appends the contents of a regular file of at most limit bytes to ret_bytes.
 * ret_status may be NULL. False with the reason in errno: EFBIG when it is too
 * large, EISDIR for a folder, EINVAL for what is not a regular file. */
bool file_read(const char *path, size_t limit, struct text *ret_bytes, struct stat *ret_status);

/* The same of a file that is open, non-blocking. */
bool file_read_open(int fd, size_t limit, struct text *ret_bytes, struct stat *ret_status);

#endif
