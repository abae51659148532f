/*
 * Opens and reads files that somebody else may have put there, safely: never
 * blocks on a pipe, never opens a device, never reads more than it was told,
 * and follows no link by which its maker would have us read what he may not.
 * Runs in the loader and in commands.
 *
 * The rule of links: a symbolic link counts, at the end of the path or above
 * it, if its owner is root, this process's user, or the owner of what it points
 * to. What has several names (hard links) counts if nobody but root, this
 * process's user and its owner may write in its folder, because then nobody else
 * can have made this name; and so does a file that everybody may read.
 * The user "nobody" is never this process's user here: what the kernel shows as
 * owned by nobody may belong to anyone, and a process that was root becomes
 * nobody to read files (sandbox/seal.h).
 *
 * It also takes signatures of files, without opening them: a number that changes when a file does, taken from
 * its path and status, so that it works on every file system and through every kind of link. The
 * fingerprint of a set of files is the sum of their signatures.
 */
#ifndef FILES_FILE_H
#define FILES_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/diag.h"
#include "base/text.h"

/* The kernel's number of nobody (/proc/sys/kernel/overflowuid). */
enum { FILE_NOBODY = 65534 };

/* Opens the regular file for reading by the rule of links. folder is a
 * descriptor, to which the path is relative, or AT_FDCWD. Owned by the caller,
 * non-blocking and close-on-exec. ret_status is the status of what was opened.
 * -1 with the reason in errno, for file_error: EISDIR for a folder, EINVAL for
 * what is no regular file, EXDEV for a link that does not count, EMLINK for a
 * hard link that does not. */
int file_open(int folder, const char *path, struct stat *ret_status);

/* Appends the contents of a regular file of at most limit bytes to ret_bytes.
 * False with the reason in errno, for file_error: as above, and EFBIG when it is
 * too large. */
bool file_read(const char *path, size_t limit, struct text *ret_bytes);

/* The same for a path that the operator typed: every link on it counts. */
bool file_read_named(const char *path, size_t limit, struct text *ret_bytes);

/* The same of a file that is open, non-blocking. */
bool file_read_open(int fd, size_t limit, struct text *ret_bytes);

/* Why a file could not be opened or read, behind "cannot be read: "; static, or
 * valid until the next call. */
const char *file_error(int error);

/* Is a folder of the path hidden from this process? A service manager puts one without any right in
 * its place (ProtectHome=yes, InaccessiblePaths=). *ret_folder is the length of that part of the path. */
bool file_is_hidden(const char *path, size_t *ret_folder);

/* If so, a hint at the last diagnostic says what to do. False otherwise. */
bool file_hint_hidden(const char *path, struct diag *diag);

/* Of path, device, inode, size and both times in nanoseconds. Take it before the file is read:
 * then a change meanwhile shows at the next look. */
uint64_t file_signature(const char *path, const struct stat *status);

/* What cannot be looked at has a signature too, so that its coming back is a change. error is from
 * errno, or 0 for what is neither a file nor a folder. */
uint64_t file_signature_of_error(const char *path, int error);

/* Does every change after the instant show in the signature? Not when the file was changed so shortly
 * before that the clock of the file system still says the same. */
bool file_signature_is_settled(const struct stat *status, struct timespec instant);

/* Looks at the path, through links, and takes one of the two. */
uint64_t file_signature_of_path(const char *path);

#endif
