/*
 * The state folder: the last valid policy of each domain, kept on disk so that
 * a domain that is broken at a restart is served as it was before. One file,
 * written whole beside the old one and then renamed over it; a torn or foreign
 * one is ignored with a warning. The folder may belong to another user: nothing in
 * it is followed, and nothing in it can make the reader or the writer wait. A disk can, so
 * the supervisor has it written by a child (supervise/saver.h); commands only read.
 */
#ifndef LOAD_STATE_H
#define LOAD_STATE_H

#include <stdbool.h>

#include "base/diag.h"
#include "base/text.h"
#include "site/site.h"

/* The site that was written last, without certificates; owned. NULL when there
 * is none, or none that can be trusted, which is reported as DIAG_WARNING at
 * the place where the configuration names the folder; or on a shortage. */
struct site *state_read(const char *folder, struct position at, struct diag *diag);

/* How the bytes of the file come here: appends them, or is false with the reason in errno. */
typedef bool state_reader(const char *folder, struct text *ret_bytes);

/* By this process itself, which waits as long as the disk does. */
bool state_read_file(const char *folder, struct text *ret_bytes);

/* As state_read, with another reader. */
struct site *state_read_by(state_reader *read, const char *folder, struct position at,
                           struct diag *diag);

/* Writes the policies of all domains that have one. What is there already is
 * not written again. False with the reason in errno; the old file is then as it was. */
bool state_write(const char *folder, const struct site *site);

#endif
