/*
 * What concerns some domains of all that is wrong: who asks about them is told
 * of their own faults, of those of the policies that they use and of the files
 * that they are in, and of no others. Decided by the places of faults, after a
 * load. Runs in commands.
 */
#ifndef LOAD_CONCERN_H
#define LOAD_CONCERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "configuration/draft.h"
#include "configuration/sources.h"
#include "site/site.h"

/* Domains by name, or by pattern (fnmatch(3)), or those of a file. */
struct concern {
    char *const *names; /* borrowed */
    size_t count;
    const char *file; /* all domains of it too; or NULL */
};

/* Whether the operand means the domain: case is ignored, and one trailing dot of a name. */
bool concern_is_pattern(const char *operand);
bool concern_matches(const char *operand, const char *name);

/* Whether one of the names means the domain, which may be NULL. */
bool concern_names(const struct concern *concern, const char *domain);

/* The file that names the domain as far as can be seen, though it could not be read as a whole; NULL when
 * there is none. Borrowed from files; the first one, the main file, is not searched. */
const char *concern_find_mention(const struct source_file *files, size_t count, struct span name);

/* Hides in diag what does not concern the domains. */
void concern_restrict(const struct concern *concern, const struct draft *draft,
                      const struct site *site, const struct source_file *files, size_t file_count,
                      struct diag *diag);

#endif
