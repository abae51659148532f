/*
 * Challenges as ACME clients leave them in files: certificates for tls-alpn-01
 * with their keys (RFC 8737), and key authorizations for http-01 (RFC 8555
 * section 8.3). A file is known by what is in it, and whatever is no challenge
 * stays out of sight of clients. It follows no link to a file. Watcher only.
 */
#ifndef LOAD_CHALLENGE_FILES_H
#define LOAD_CHALLENGE_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/text.h"
#include "shared/challenges.h"

/* Begin with {.arena}; end with text_free of trouble. */
struct challenge_files {
    struct arena *arena; /* borrowed; what the challenges borrow from */
    struct challenge items[LIMIT_CHALLENGES];
    size_t count;
    struct text trouble; /* the first file that was left out and why, or nothing */
    size_t left_out;     /* how many were */
    int lack;            /* an errno: why what is there was not seen as a whole; or 0 */
};

/* Below a web root, where http-01 has its files. */
#define CHALLENGE_FOLDER ".well-known/acme-challenge"

/* Adds the challenges of the kind that are in the folder itself (for CHALLENGE_HTTP that is the one
 * below the web root). A folder that is not there holds none. What it finds is not to be used when
 * something lacks: what was found before is nearer to what is there. */
void challenge_files_read(struct challenge_files *files, enum challenge_kind kind,
                          const char *folder);

#endif
