/*
 * The seal: what each process gives up for good. A table of steps, each of which is in force, or is not and says
 * why. A worker gives up most, before it sees the first client, so that whoever takes it over holds nothing but
 * the connections of this moment. The loader and the watcher parse what others have written, so before the first
 * file they give up everything but reading: they are not root any more, can write no file and open no socket, and
 * execute, fork, signal and trace nothing. The supervisor gives up at its start, before it forks, what neither it
 * nor a child of it needs. Runs in these processes, once; each has one thread, and has closed every descriptor
 * that is not its own. The command that shows the seal (command/seal.c) takes the steps of a worker in a process
 * that is thrown away. process_syscalls.c has the system calls that each process needs: a feature that needs one
 * more adds a row there, with its reason. Any other call ends a worker at once (SIGSYS, logged by the supervisor
 * and by the kernel).
 */
#ifndef SANDBOX_SEAL_H
#define SANDBOX_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/text.h"

/* The processes, each of which has a table of the system calls that it needs (process_syscalls.c). */
enum syscalls_process {
    SYSCALLS_WORKER,
    SYSCALLS_LOADER,     /* reads files, fills memory files and seals them */
    SYSCALLS_WATCHER,    /* reads files, and uses inotify */
    SYSCALLS_SUPERVISOR, /* and the saver; what all the others need is allowed, too */
};

struct seal {
    enum syscalls_process process; /* 0: a worker */
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

/* Takes the steps of the supervisor, which keeps those capabilities that the work needs; and of a reader, the
 * loader or the watcher, whose parent is the supervisor: one that was root becomes nobody and keeps the right to
 * read every file; where the container does not allow that, it stays root without capabilities. False, logged,
 * when something failed that cannot: the process must then end. */
bool seal_supervisor(void);
bool seal_reader(enum syscalls_process reader, pid_t supervisor);

/* The last step alone: forbids this process every system call that is not in its tables. New privileges must be
 * forbidden by then. False with errno: ENOSYS, EINVAL or EPERM when the kernel or the container has no filters. */
bool syscalls_restrict(enum syscalls_process process);

/* What a step gives up, in a few words, and the key of /proc/PID/status that shows it, or NULL. */
const char *seal_step_name(size_t step);
const char *seal_step_proof(size_t step);

/* Is nothing missing that another step does not make up for? */
bool seal_is_whole(const struct seal_report *report);

/* Appends what is missing, as the end of a sentence: "system call filter (Function not
 * implemented), ...". */
void seal_print_missing(const struct seal_report *report, struct text *out);

#endif
