/*
 * The status file: in it the server tells after each load what became of it and
 * in which state each domain is, for the command reload and for monitors. The
 * server opens it once, holds a lock on it as long as it lives, and writes it
 * through that descriptor alone. The lock tells a reader which process the
 * server is, and that it lives; a checksum tells whole contents from half
 * written ones. Written by the supervisor, read by commands.
 */
#ifndef SUPERVISE_STATUS_H
#define SUPERVISE_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"
#include "base/text.h"
#include "supervise/settings_image.h"

struct status {
    int fd;          /* -1: there is none, and writing does nothing */
    char *path;      /* owned */
    bool is_failing; /* the last write has failed, which was logged */
};

#define STATUS_NONE ((struct status){.fd = -1})

/* Where the status of the server with this configuration file is, owned: as the option says (NULL:
 * not given), else in the folder of RUNTIME_DIRECTORY, else in /run/mta-sts; there it is named
 * "status" for the default configuration, and for another one has a number behind. NULL when memory
 * is short. */
char *status_path(const char *option, const char *configuration);

/* Opens and locks the file, which the status takes over. What hinders is logged if the place was
 * chosen for this server (by the option or a service manager), and else means that there is no status. */
void status_open(char *path, bool is_chosen, struct status *ret_status);

/* Removes the file. */
void status_close(struct status *status);

/* What became of a load of the configuration files. */
struct status_load {
    unsigned number;  /* counts the loads of this server from 1 */
    int64_t begun_us; /* of the monotonic clock, before the first file was read */
    int64_t ended;    /* seconds since 1970 UTC */
    bool is_refused;  /* what was served before is served still */
    size_t errors, warnings;
    struct text faults;  /* owned; what was logged of it, lines */
    struct text summary; /* owned; what it has come to, lines */
};

/* Writes what the last load has come to and what is served now, by the generation of that number. */
void status_write(struct status *status, const struct status_load *load, const char *configuration,
                  unsigned generation, const struct settings_image *image);

void status_load_free(struct status_load *load);

/* The status as a reader sees it. End with status_reading_free. */
struct status_reading {
    int fd;      /* owned */
    pid_t pid;   /* of the server; 0: no server holds the file; -1: one that we cannot see does */
    char *bytes; /* owned; behind the first line */
    unsigned number;
    int64_t begun_us;
    bool is_refused;
    struct span
        report; /* lines; those of faults begin with "> ". Borrowed from bytes, like the next */
    struct span domains; /* lines of a name, a state and an id or "-" */
};

/* Opens the file without waiting for anything. False with the reason in errno. */
bool status_reading_open(const char *path, struct status_reading *ret_reading);

/* Looks who holds the file. False with the reason in errno. */
bool status_reading_look(struct status_reading *reading);

/* Reads the contents anew. False when they are not whole, at the moment or at all. */
bool status_reading_read(struct status_reading *reading);

/* The state of the domain and its id ("-": none), borrowed; false when it is not among the domains. */
bool status_reading_find(const struct status_reading *reading, struct span domain,
                         struct span *ret_state, struct span *ret_id);

void status_reading_free(struct status_reading *reading);

#endif
