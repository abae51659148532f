/*
 * What the configuration files held when they were read, so that certificates
 * can be loaded anew while somebody is in the middle of editing. Filled by one
 * load, then immutable and counted by reference. Runs in the supervisor and in
 * commands.
 */
#ifndef LOAD_CONTENTS_H
#define LOAD_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct contents;

struct contents *contents_new(void); /* owned; NULL when memory is short */
struct contents *contents_share(struct contents *contents);
void contents_free(struct contents *contents); /* one owner less; NULL is legal */

/* Adds a file that is not there yet; the bytes are taken. NULL for a file that
 * could not be read. False when memory is short; the bytes are then freed. */
bool contents_add(struct contents *contents, const char *path, struct text *bytes);

/* The files in the order in which they were added; borrowed. */
size_t contents_count(const struct contents *contents);
const char *contents_path(const struct contents *contents, size_t index);

/* What the file held; borrowed. False when it could not be read, or was not added. */
bool contents_find(const struct contents *contents, const char *path, struct span *ret_bytes);

#endif
