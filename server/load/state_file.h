/*
 * A file of the state folder: written whole beside the old one and then renamed
 * over it, with a last line that tells a whole file from a torn one. The folder
 * may belong to another user, who may put anything there at any time: nothing in
 * it is followed, and nothing in it can make the reader or the writer wait. Its
 * disk can. Runs in the supervisor's children and in commands.
 */
#ifndef LOAD_STATE_FILE_H
#define LOAD_STATE_FILE_H

#include <stdbool.h>

#include "base/text.h"

/* Appends the bytes of the file to ret_bytes, at most LIMIT_STATE_FILE of them. False with the reason
 * in errno. */
bool state_file_read(const char *folder, const char *name, struct text *ret_bytes);

/* Replaces the file, unless its bytes are these already, and leaves it its rights. Takes no memory of
 * malloc's. False with the reason in errno; the old file is then as it was. */
bool state_file_write(const char *folder, const char *name, const struct text *bytes);

/* Appends the last line. */
void state_file_complete(struct text *bytes);

/* Takes the header and the last line off the bytes. False when they do not begin with the one, or end with
 * the other as it belongs to them. */
bool state_file_unwrap(struct span *bytes, const char *header);

/* Why a file could not be read, behind "cannot be read: "; static, or valid until the next call. */
const char *state_file_error(int error);

#endif
