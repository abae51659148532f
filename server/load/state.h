/*
 * The state folder: the last valid policy of each domain, kept on disk so that
 * a domain that is broken at a restart is served as it was before. One file,
 * written whole beside the old one and then renamed over it; a torn or foreign
 * one is ignored with a warning. The folder may belong to another user: nothing in
 * it is followed, and nothing in it can make the reader or the writer wait. A disk can, so
 * the loader reads it, and a child of the supervisor writes it (supervise/saver.h); commands only read.
 */
#ifndef LOAD_STATE_H
#define LOAD_STATE_H

#include <stdbool.h>

#include "base/diag.h"
#include "base/text.h"
#include "site/site.h"

/* The site that was written last, without certificates; owned. NULL when there
 * is none, or none that can be trusted, which is reported as DIAG_WARNING at
 * the place where the configuration names the folder. */
struct site *state_read(const char *folder, struct position at, struct diag *diag);

/* What state_read reports of a file that cannot be read for that reason, an errno: ETIMEDOUT, say. */
void state_warn_unread(const char *folder, int error, struct position at, struct diag *diag);

/* Appends the file with the policies of all domains that have one; and its name. */
void state_print(const struct site *site, struct text *out);
extern const char STATE_POLICIES[];

#endif
