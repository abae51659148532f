/*
 * Signatures of files: a number that changes when a file does, taken from its
 * path and status without reading it, so that it works on every file system
 * and through every kind of link. The fingerprint of a set of files is the sum
 * of their signatures. Loader, watcher and commands only; it opens nothing.
 */
#ifndef FILES_STAMP_H
#define FILES_STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* Path, device, inode, size and both times in nanoseconds. Take it before the file is read:
 * then a change meanwhile shows at the next look. */
uint64_t stamp_of_file(const char *path, const struct stat *status);

/* What cannot be looked at has a signature too, so that its coming back is a change. error is from
 * errno, or 0 for what is neither a file nor a folder. */
uint64_t stamp_of_error(const char *path, int error);

/* Does every change after the instant show in the signature? Not when the file was changed so shortly
 * before that the clock of the file system still says the same. */
bool signature_is_settled(const struct stat *status, struct timespec instant);

/* Looks at the path, through links, and takes one of the two. */
uint64_t stamp_of_path(const char *path);

#endif
