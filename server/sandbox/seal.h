/*
 * The seal: what a worker gives up before it sees the first client, so that
 * whoever takes it over holds nothing but the connections of this moment. A
 * table of steps, each of which is in force, or is not and says why. Runs in the
 * worker, once, and cannot be undone; the command that shows it (command/seal.c) does
 * the same in a process that is thrown away.
 */
#ifndef SANDBOX_SEAL_H
#define SANDBOX_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/text.h"

struct seal {
    bool keep_identity; /* the supervisor is not root: there is no other user to become */
    uid_t uid;
    gid_t gid;
    pid_t supervisor;  /* the parent; the kernel kills us when it dies */
    int empty_root_fd; /* of filesystem_open_empty_root, taken; or -1 */
};

enum seal_state {
    SEAL_IN_FORCE,
    SEAL_KEPT,    /* only root could have given it up, and nothing hangs on it without root */
    SEAL_MISSING, /* the kernel or the container lacks it */
};

enum { SEAL_STEPS = 14 };

struct seal_report {
    struct {
        enum seal_state state;
        int reason; /* an errno when it was tried in vain, else 0 */
    } outcomes[SEAL_STEPS];
};

/* Takes every step. NULL on success, and the report is whole, whatever is missing; else what could not
 * be done, as the end of the sentence "cannot ..." (static, errno tells why): the process must then end. */
const char *seal_process(const struct seal *seal, struct seal_report *ret_report);

/* What a step gives up, in a few words, and the key of /proc/PID/status that shows it, or NULL. */
const char *seal_step_name(size_t step);
const char *seal_step_proof(size_t step);

/* Is nothing missing that another step does not make up for? */
bool seal_is_whole(const struct seal_report *report);

/* Appends what is missing, as the end of a sentence: "system call filter (Function not
 * implemented), ...". */
void seal_print_missing(const struct seal_report *report, struct text *out);

#endif
