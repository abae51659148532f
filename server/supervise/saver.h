/*
 * The saver: a short-lived child that writes the last valid policies (load/state.h), because
 * a disk may hang, and the supervisor must go on meanwhile: stop, reload, and replace workers. It
 * has nothing open but standard error, and ends with the supervisor. One runs at a
 * time. At the start a child like it reads them. Runs in the supervisor, but for the child.
 */
#ifndef SUPERVISE_SAVER_H
#define SUPERVISE_SAVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "load/configuration.h"

/* Begin with {0}. Times are milliseconds of the monotonic clock. */
struct saver {
    pid_t pid;        /* of the child; 0: none runs */
    int64_t deadline; /* until then it is worth waiting for; INT64_MAX after it */
    bool again;       /* something newer is to be saved when the child has ended */
};

/* A state_reader that waits for the disk for LIMIT_SAVE_MS at most: then errno is ETIMEDOUT. */
bool saver_read(const char *folder, struct text *ret_bytes);

/* Begins to save what the configuration serves, if it names a folder. Where a child still runs,
 * saver_end does it later. */
void saver_begin(struct saver *saver, const struct configuration *configuration, int64_t now);

/* Is there a child that is worth waiting for? saver->deadline tells until when. */
bool saver_is_waited_for(const struct saver *saver);

/* Logs, once, that the time is over. */
void saver_expire(struct saver *saver, int64_t now);

/* A child of the process has ended, with the status of waitpid(2). True when it was this one. The
 * configuration is what is served now. */
bool saver_end(struct saver *saver, pid_t pid, int status,
               const struct configuration *configuration, int64_t now);

/* Ends the child, if one runs; a disk that hangs may keep it, and it is not waited for then. */
void saver_close(struct saver *saver);

#endif
