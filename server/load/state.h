/*
 * The state folder, for what survives a restart: the last valid policy of each domain, so that one that is
 * broken at a restart is served as it was before; and what senders may hold (load/history.h). A file of it is
 * written whole beside the old one and then renamed over it, with a last line that tells a whole file from a torn
 * one; a torn or foreign one is ignored with a warning. The folder may belong to another user, who may put
 * anything there at any time: nothing in it is followed, and nothing in it can make the reader or the writer
 * wait. Its disk can, so the loader reads it, and a child of the supervisor writes it (supervise/saver.c);
 * commands read it, and write what looks have found.
 */
#ifndef LOAD_STATE_H
#define LOAD_STATE_H

#include <stdbool.h>

#include "base/diag.h"
#include "base/progress.h"
#include "base/text.h"
#include "site/site.h"

enum state_file { STATE_POLICIES, STATE_PROMISES, STATE_SIGHTINGS };
#define STATE_FILES 3

extern const struct state_form {
    const char *name, *header;
    const char *loss; /* when there is none that can be read */
} state_forms[STATE_FILES];

/* Appends the bytes of the file to ret_bytes, at most LIMIT_STATE_FILE of them. progress, which may be NULL, is
 * told while the disk is waited for. False with the reason in errno. */
bool state_file_read(const char *folder, enum state_file file,
                     const struct progress_callback *progress, struct text *ret_bytes);

/* Replaces the file of that name, unless its bytes are these already, and leaves it its rights. Takes no memory
 * of malloc's. False with the reason in errno; the old file is then as it was. */
bool state_file_write(const char *folder, const char *name, const struct text *bytes);

/* Appends the last line. */
void state_file_complete(struct text *bytes);

/* Takes the header and the last line off the bytes. False when they do not begin with the one, or end with
 * the other as it belongs to them. */
bool state_file_unwrap(struct span *bytes, enum state_file file);

/* Reports as DIAG_WARNING that the file cannot be read for that reason, an errno, ETIMEDOUT say; or, for 0, that it
 * cannot be trusted. at is the place where the configuration names the folder. */
void state_warn(const char *folder, enum state_file file, int error, struct position at,
                struct diag *diag);

/* The site that was written last, without certificates; owned. NULL when there is none, or none that can be read
 * or trusted, which is reported. */
struct site *state_read(const char *folder, struct position at,
                        const struct progress_callback *progress, struct diag *diag);

/* Appends the file with the policies of all domains that have one. */
void state_print(const struct site *site, struct text *out);

#endif
