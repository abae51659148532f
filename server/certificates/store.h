/*
 * The certificate store: reads every file and folder that the configuration
 * names, recognises certificates and keys by content, matches them by public
 * key, puts chains in order and answers which credential is best for a host.
 * Runs in the loader and in commands, on the operator's files only; it
 * never sees a client's byte. Objects of the TLS library do not leave it.
 */
#ifndef CERTIFICATES_STORE_H
#define CERTIFICATES_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/limits.h"
#include "base/progress.h"
#include "base/span.h"
#include "site/site_builder.h"

struct certificates;

/* An empty store; owned. What has not changed since the previous site was built is taken
 * from there and not read again; previous may be NULL. progress hears of each file and each chain; or NULL.
 * All are borrowed until certificates_free. */
struct certificates *certificates_new(struct diag *diag, const struct site *previous,
                                      const struct progress_callback *progress);
void certificates_free(struct certificates *store);

/* Reads a file, or a folder with everything below it (LIMIT_CERTIFICATE_DEPTH).
 * at is where the configuration names it. What cannot be read or is not sound
 * is reported as DIAG_ERROR at its own file and line, and left out. */
void certificates_read(struct certificates *store, const char *path, struct position at);

/* After the last certificates_read, once: matches keys, orders chains, and reports
 * what was left out and why. now is seconds since 1970 UTC. Returns the fingerprint
 * of everything that was read (files/file.h). Call it before
 * anything forks: afterwards no seeded generator is left in the process. */
uint64_t certificates_match(struct certificates *store, int64_t now);

/* The best credential of each kind for the host name (lower case), by subject
 * alternative name only: of those valid now the one whose chain senders accept
 * (not self-signed, nothing missing or expired in it), of these the one that
 * expires last; if none is valid, the same among the others. NULL where there
 * is none. Borrowed from the store. What it returns for the first time is marked as
 * used and, if senders will dislike its chain, warned of; expiry is left to the
 * caller. */
void certificates_find(struct certificates *store, struct span host,
                       const struct credential_fields *ret_credentials[static CREDENTIAL_KINDS]);

/* Where the certificate with this DER is: its own file first, then those of its key, if that is there, and of
 * the rest of its chain; borrowed from the store's diag. Returns how many; 0 when it is in no file. */
size_t certificates_locate(const struct certificates *store, struct span der,
                           const char *ret_files[static LIMIT_CHAIN + 1], bool *ret_has_key);

/* Calls back for each name of each certificate that has a key. */
void certificates_names(const struct certificates *store,
                        void (*take)(void *context, struct span name, struct position at),
                        void *context);

/* After the last certificates_find: a note for each sound certificate that no
 * configured host uses, with the reason. */
void certificates_report_unused(struct certificates *store);

/* How many files and folders this user may not read, and the first of them, borrowed from the store. */
size_t certificates_denied(const struct certificates *store, const char **ret_first);

/* After certificates_report_unused and the last site_builder_add: leaves to the next load, in the site,
 * what it need not do again. The builder borrows from the store until its end. */
void certificates_archive(struct certificates *store, struct site_builder *builder);

#endif
