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

enum identity_fault {
    IDENTITY_OK,
    IDENTITY_UNKNOWN,    /* there is no such user */
    IDENTITY_ROOT,       /* it is root, which workers must not be */
    IDENTITY_UNREADABLE, /* the users cannot be read; that was logged */
};

/* user is a name, a number, or NULL for "mta-sts" if it exists, else "nobody". */
enum identity_fault identity_find(const char *user, struct identity *ret_identity);

/* The same for a supervisor that is root; one that is not keeps its user. False, logged, after a fault. */
bool identity_resolve(const char *user, bool is_root, struct identity *ret_identity);

#endif
