/*
 * The seal: what a worker gives up before it sees the first client, so that
 * whoever takes it over holds nothing but the connections of this moment. Runs
 * in the worker, once, and cannot be undone.
 */
#ifndef SERVE_SEAL_H
#define SERVE_SEAL_H

#include <stdbool.h>
#include <sys/types.h>

struct seal {
    bool keep_identity; /* the supervisor is not root: there is no other user to become */
    uid_t uid;
    gid_t gid;
    pid_t supervisor; /* the parent; the kernel kills us when it dies */
};

/* Gives up user, groups, capabilities, new privileges, core dumps and being
 * traced; then binds this process's life to the supervisor's. NULL on success,
 * else what could not be done, as the end of the sentence "cannot ..." (static,
 * errno tells why): the process must then end. */
const char *seal_process(const struct seal *seal);

#endif
