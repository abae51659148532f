/*
 * The saver: a short-lived child that writes what a loader has made for the state folder
 * (load/state.h), finished bytes, because a disk may hang, and the supervisor must go on meanwhile: stop,
 * reload, and replace workers. One that is killed is started again, because what senders hold must not be
 * forgotten, and so is one that could not be forked. It has nothing open but standard error and these bytes, and ends with
 * the supervisor. One runs at a time. Runs in the supervisor, but for the child.
 */
#ifndef SUPERVISE_SAVER_H
#define SUPERVISE_SAVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "configuration/settings.h"

/* What is to be saved, each in its turn: what senders may hold before workers serve it; the last valid
 * policies when they do; and what senders may hold when the former workers are gone. */
enum saver_part {
    SAVER_PROMISES,
    SAVER_POLICIES,
    SAVER_PROMISES_AFTER,
};
#define SAVER_PARTS 3

/* Begin with SAVER_NONE. Times are milliseconds of the monotonic clock. */
struct saver {
    pid_t pid;            /* of the child; 0: none runs */
    enum saver_part part; /* what it saves */
    int bytes;            /* owned; that, until it is saved; or -1 */
    unsigned deaths;      /* of children that were to save it */
    int64_t deadline;     /* until then it is worth waiting for; INT64_MAX: it is not, or no more */
    bool is_late;         /* the time was over, and not all is saved since */
    int64_t start_at; /* no child could be forked, which was logged: the next try; or INT64_MAX */
    int waiting[SAVER_PARTS]; /* owned; what is to be saved when the child has ended; or -1 */
};

#define SAVER_NONE   \
    ((struct saver){ \
        .bytes = -1, .deadline = INT64_MAX, .start_at = INT64_MAX, .waiting = {-1, -1, -1}})

/* Begins to save the bytes in the memory file, which is taken (-1: there are none), in the folder that
 * the settings name. Where a child still runs, saver_end does it later. */
void saver_begin(struct saver *saver, const struct settings *settings, enum saver_part part,
                 int bytes, int64_t now);

/* Is there a child, or will there be one, that is worth waiting for? */
static inline bool saver_is_waited_for(const struct saver *saver)
{
    return saver->deadline != INT64_MAX;
}

/* Logs, once, that the time is over, and forks what could not be forked before. The settings are those that
 * are in use now; NULL: there are none. */
void saver_expire(struct saver *saver, const struct settings *settings, int64_t now);

/* A child of the process has ended, with the status of waitpid(2). True when it was this one. */
bool saver_end(struct saver *saver, pid_t pid, int status, const struct settings *settings,
               int64_t now);

/* Kills the child, if one runs, and does not wait for it. */
void saver_close(struct saver *saver);

#endif
