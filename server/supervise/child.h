/*
 * The children of the supervisor, of every kind: how one begins, is ended, and is replaced when it dies,
 * at once as long as few die, then after a pause that grows, so that new ones do not add to a shortage of
 * memory, say; and when the supervisor has to give up. It knows nothing of what they do. Runs in the
 * supervisor, and at the beginning of each child.
 */
#ifndef SUPERVISE_CHILD_H
#define SUPERVISE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/limits.h"

enum child_kind {
    CHILD_LOADER,
    CHILD_WATCHER,
    CHILD_SAVER,
    CHILD_WORKER,
};

/* A worker keeps its listeners, the site and its root folder. */
enum { CHILD_KEPT_MOST = LIMIT_LISTENERS + 2 };

/* Forks. Returns 0 in the child, which has its name, ends with the supervisor, and has nothing open but the
 * standard descriptors, its end of a socket pair, and kept (a negative one is none); the pid in the
 * supervisor; or -1 with errno. ret_socket, owned, is the end of the process that it returns in; a saver has
 * none, and -1 there. */
pid_t child_begin(enum child_kind kind, const int *kept, size_t count, int *ret_socket);

/* Ends it, whatever it does. It must not be reaped yet; 0 is none. */
void child_kill(pid_t pid);

/* Waits until every child of this process has ended, LIMIT_KILLED_MS at most: all were killed, and a
 * disk that hangs may keep one. */
void child_wait_all(void);

/* Logs that it ended, if it did not end well. status is that of waitpid(2). */
void child_report_death(enum child_kind kind, pid_t pid, int status);

/* How often children of a kind have died. Begin with {0}. Times are milliseconds of the monotonic clock. */
struct backoff {
    unsigned deaths; /* that were never as far apart as LIMIT_CRASHES_MS */
    int64_t last;    /* when the last one was */
    int64_t worked;  /* when a worker was ready last */
};

/* One has died. Returns the pause before the next is forked. others: at least one still works. */
int64_t backoff_pause(struct backoff *backoff, bool others, int64_t now);

/* The same, and logs that it is replaced. */
int64_t child_replace(enum child_kind kind, pid_t pid, struct backoff *backoff, bool others,
                      int64_t now);

/* To be called whenever something has happened; works: at least one worker is ready. True when no worker
 * was ready for so long, and so many have died, that another process must see it. */
bool backoff_is_hopeless(struct backoff *backoff, bool works, int64_t now);

#endif
