/*
 * What a load has changed: which domains came, went, got another policy or
 * another state, found by comparing the site before with the one after. It
 * keeps the first few names of each kind and counts the rest. Runs in the
 * loader.
 */
#ifndef SUPERVISE_CHANGES_H
#define SUPERVISE_CHANGES_H

#include <stddef.h>

#include "base/limits.h"
#include "base/text.h"
#include "site/site.h"

enum change {
    CHANGE_ADDED,
    CHANGE_REMOVED,
    CHANGE_POLICY,      /* another policy than before, valid and served */
    CHANGE_STALE,       /* the last valid policy from now on */
    CHANGE_REFUSED,     /* no valid policy from now on */
    CHANGE_MENDED,      /* it was stale or refused */
    CHANGE_CERTIFICATE, /* another one than before, or the first one */
};
#define CHANGES 7

enum { CHANGES_NAMED = 10 };

struct changes {
    size_t counts[CHANGES];
    char names[CHANGES][CHANGES_NAMED][LIMIT_NAME + 1];
};

/* Both sites are sealed. Without an earlier site nothing has changed. */
void changes_find(const struct site *before, const struct site *now, struct changes *ret_changes);

/* Appends "2 domains added (a.example, b.example)" for each kind that there is, the first ten names and
 * how many more, with the separator between them. No name is told beyond bytes_most. True when there
 * was something. */
bool changes_print(const struct changes *changes, const char *separator, size_t bytes_most,
                   struct text *out);

#endif
