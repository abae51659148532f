/*
 * How the commands probe and dns ask servers: the options --connect, --ca and --timeout, and --record, by
 * which what the DNS says, and what servers before ours serve, is written down in the state folder.
 */
#ifndef COMMAND_PROBING_H
#define COMMAND_PROBING_H

#include "certificates/trust.h"
#include "command/command.h"
#include "command/reading.h"
#include "probe/probe.h"

/* Begin with {0}; end with probing_end. The first member of what whoever takes reports has to know. */
struct probing {
    struct probe probe;  /* as the options say */
    struct trust *trust; /* owned */
    const struct command_line *line;
    struct history *history; /* owned; of the state folder; NULL before probing_read */
    int64_t now;             /* to count with in it */
    uint64_t seen;           /* the stamp of what --record replaces, before it was read */
    const struct probe_domain *domains; /* borrowed while they are probed */
    size_t count, done;                 /* domains */
};

/* Reads the options, and the authorities. STATUS_GOOD, or an exit status after saying on standard error
 * what is wrong. */
int probing_begin(struct probing *probing, const char *command, const struct command_line *line);
void probing_end(struct probing *probing);

/* Reads the history of the configuration, if there is one. False after saying on standard error what is
 * wrong, such as that --record has no folder to write to. */
bool probing_read(struct probing *probing, const struct reading *reading);

/* Receives the struct probing, the index of a domain, and its struct report, which is borrowed for the call. */
typedef void probing_take(void *probing, size_t index, const void *report);

/* Probes the domains, many at once, each in a child, and takes the report of each, once, as it is done; tick
 * comes at least once a second meanwhile, and may be NULL. What goes wrong in this program is in the report too
 * (FAULT_INTERNAL). False after saying on standard error why it is not possible at all. */
bool probing_run(struct probing *probing, const struct probe_domain *domains, size_t count,
                 probing_take *take, void (*tick)(void *probing));

/* To be called when a report was taken: shows how many are done, and keeps it for --record. */
void probing_done(struct probing *probing, size_t index, const struct report *report);

/* With --record, writes what the DNS said into the state folder. False after saying why that failed. */
bool probing_record(struct probing *probing, const struct reading *reading);

#endif
