/*
 * Who the workers are: resolves the configured user once, in the loader,
 * because a worker has no user database.
 */
#ifndef SANDBOX_IDENTITY_H
#define SANDBOX_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

struct identity {
    bool keep; /* we are not root: nothing to give up */
    uid_t uid;
    gid_t gid;
};

/* The user with this name or number. False when there is none. */
bool identity_look_up(const char *user, struct identity *ret_identity);

/* user is a name, a number, or NULL for "mta-sts" if it exists, else "nobody". is_root: the supervisor is.
 * False when there is no such user or it is root; that was logged. */
bool identity_resolve(const char *user, bool is_root, struct identity *ret_identity);

#endif
