/*
 * The loader: a short-lived child that makes one load. It fills memory files that the supervisor has made with what
 * the load has come to, and tells in one message that it is done, or why the load is refused. What the supervisor does
 * is in loader.c: it waits for the child beside everything else, and one that crashes, makes no progress, or runs out
 * of memory is a refused load, and nothing else.
 * What the child does, from its first instruction to its last, is in load.c: it gives up everything but
 * reading (sandbox/seal.h), reads and judges the files, logs what is wrong with them (report.c), and builds the
 * images of settings and site. What was served before it has as images of the same kind. It has no way to survive a
 * want of memory: it says so and ends. What it has made for the state folder is saved by another child (saver.c).
 */
#ifndef SUPERVISE_LOADER_H
#define SUPERVISE_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/diag.h"
#include "base/progress.h"
#include "base/text.h"
#include "supervise/settings_image.h"

/* What is to be saved, each in its turn: what senders may hold before workers serve it; the last valid
 * policies when they do; and what senders may hold when the former workers are gone. */
enum saver_part {
    SAVER_PROMISES,
    SAVER_POLICIES,
    SAVER_PROMISES_AFTER,
};
#define SAVER_PARTS 3

/* The memory files of a load. The supervisor makes them, empty; the loader, which inherits them, fills and seals
 * those that there is something for. Only workers and the next loader look at what is in the site. */
enum loader_file {
    LOADER_SETTINGS,
    LOADER_SITE,
    LOADER_STATE, /* to be saved in the state folder: a file for each saver_part, from here on */
};
#define LOADER_FILES (LOADER_STATE + SAVER_PARTS)

/* What a load has come to. End with loaded_free. */
struct loaded {
    struct settings_image *image; /* owned; NULL until it is done */
    int files[LOADER_FILES];      /* owned; -1: there is nothing in it */
};

#define LOADED_NONE ((struct loaded){.files = {-1, -1, -1, -1, -1}})

void loaded_free(struct loaded *loaded);

/* Begin with LOADER_NONE. Times are milliseconds of the monotonic clock. */
struct loader {
    pid_t pid;        /* 0: none runs */
    int socket;       /* owned; of the process that looks at it; -1: none runs */
    int64_t deadline; /* by then it has said something; INT64_MAX: none runs */
    int64_t end_by;   /* by then it has come to an end, whatever it says */
    unsigned words;   /* what it has said; too much is wrong */
    bool reads_state; /* it waits for the disk of the state folder */
    /* What the last load has come to. The child fills it, too. */
    struct loaded loaded;
    size_t errors, warnings;
    struct text faults; /* owned; what was logged of them */
    char why[96];       /* a clause, when it has died */
};

#define LOADER_NONE ((struct loader){.socket = -1, .deadline = INT64_MAX, .loaded = LOADED_NONE})

enum loader_outcome {
    LOADER_RUNS,      /* none of those below */
    LOADER_DONE,      /* the next generation can begin with what was loaded */
    LOADER_REFUSED,   /* the files have a fault, which is logged */
    LOADER_UNCHANGED, /* there was nothing to load */
    LOADER_DIED,      /* it came to nothing, whatever the files are; why tells the reason */
    LOADER_STATE_HANGS /* the disk of the state folder does not answer; the same load without it may go */
};

/* The child: it has nothing open but the standard descriptors, its socket and files, and kept. */
typedef void loader_job(void *context, struct loader *loader);

/* Forks it. False, logged, when that cannot be done. kept may be -1. */
bool loader_begin(struct loader *loader, loader_job *job, void *context, int kept, int64_t now);

/* Reads what it says: progress, or how it ended. */
enum loader_outcome loader_hear(struct loader *loader, int64_t now);

/* Kills one that is silent for too long. */
enum loader_outcome loader_expire(struct loader *loader, int64_t now);

/* A child of the process has ended, with the status of waitpid(2): tells what this loader has come to,
 * if it was that. */
enum loader_outcome loader_end(struct loader *loader, pid_t pid, int status, int64_t now);

/* Ends it without a result, if one runs, and frees what the last one has come to. */
void loader_stop(struct loader *loader);

/* For the child. */
void loader_say(const struct loader *loader, enum progress progress);

/* For the child: fills and seals a file. What is too large to be saved is left out, and logged. False with
 * errno. */
bool loader_fill(struct loader *loader, size_t file, struct span bytes);

/* For the child, once and last: the outcome, and what its faults are. False with errno. */
bool loader_tell(const struct loader *loader, enum loader_outcome outcome);

/* The exit status of a loader that has failed, and logged why. HEAP_END_STATUS is another. */
enum { LOADER_FAILED = 2 };

/* In rising order: a greater one includes the smaller. */
enum load_extent {
    LOAD_NOTHING,
    LOAD_NEW_CERTIFICATES, /* the certificates, if they are others than were loaded last */
    LOAD_CERTIFICATES,     /* the configuration files stay as they were read */
    LOAD_ALL,
};

/* For the child (report.c): logs the errors and warnings of a load, as "check" prints them, that were not there at
 * the load before; all of them if it is refused. A few of each kind and of each included file, and how many more
 * there are, so that no file hides what is said of another. known is what ret_told was after the load before;
 * what this load has not read, when it has only certificates, stays known. */
void report_diagnostics(struct diag *diag, bool is_refused, struct span known, bool has_files,
                        struct text *ret_told);

/* The saver: a short-lived child that writes what a loader has made for the state folder (load/state.h), finished
 * bytes, because a disk may hang, and the supervisor must go on meanwhile: stop, reload, and replace workers. One
 * that is killed is started again, because what senders hold must not be forgotten, and so is one that could not
 * be forked. It has nothing open but standard error and these bytes, and ends with the supervisor. One runs at a
 * time. */

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
