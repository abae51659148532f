/*
 * What senders may hold, as it was recorded: the policies that were served, each from when until when,
 * those that looks at other servers have found, and the ids that looks at the DNS have found. Two files of
 * the state folder, line by line, with a reader of their own (history_file.c). Several folders, of replicas that share
 * nothing, make one history. A file that is torn or foreign is ignored with a warning. Runs in the loader
 * and in commands.
 */
#ifndef LOAD_HISTORY_H
#define LOAD_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/text.h"
#include "load/state.h"
#include "policy/promise.h"
#include "site/site.h"

/* A domain of which something is known. Everything is borrowed until it is settled again. */
struct history_domain {
    const char *name;
    size_t first, count;                   /* of its promises */
    size_t first_sighting, sighting_count; /* the same */
};

/* Others read what is known of all of it; the rest is for history.c, which knows what was recorded, and
 * history_file.c, which reads and prints the files. */
struct history {
    int64_t since;  /* before this instant nothing is known; INT64_MAX: nothing was ever recorded */
    bool is_unread; /* a file is there that could not be read: then nothing of it may be replaced */
    struct history_domain *domains; /* owned; in the order of their names */
    size_t domain_count;
    struct arena *arena; /* owned; names and policies that come from no file */
    char **files;        /* owned, and what they point to; the rest of the texts */
    size_t file_count;
    struct promise *promises; /* owned; each with its domain */
    size_t promise_count;
    struct sighting *sightings; /* the same */
    size_t sighting_count;
    int64_t clock; /* as it was settled by */
    struct promise
        *settled; /* owned; a copy, as facts show them: those of a domain follow each other */
    struct sighting *settled_sightings; /* the same */
};

/* Nothing; owned. */
struct history *history_new(void);
void history_free(struct history *history);

/* Adds what the files of the folder say. A file that is not there adds nothing. One that cannot be read or
 * trusted is reported as DIAG_WARNING. progress is told while the disk is waited for, or NULL. False when one was
 * reported. */
bool history_read(struct history *history, const char *folder, struct position at,
                  const struct progress_callback *progress, struct diag *diag);

/* Adds what the bytes of the file say, which are taken. False, with nothing added, when they are not whole or do
 * not make sense. */
bool history_take(struct history *history, struct text *bytes, enum state_file file);

/* Adds every policy of the site as served from the instant on, until now: for who has no state. */
void history_assume(struct history *history, const struct site *site, int64_t from);

/* To be called after reading and before asking: unites equal promises, and brings the instants in line with
 * the clock. Where the clock is more than an hour behind what was recorded, that is the time instead; the
 * answer is the time to count with. */
int64_t history_settle(struct history *history, int64_t clock);

/* Records that the sites are served from now on and nothing else; what is not served any more was so until
 * now. What can no longer be held is dropped. Settled before and after. */
void history_serve(struct history *history, const struct site *const *sites, size_t count,
                   int64_t now);

/* Records a look at the DNS, which has found the id (empty: no valid record). Settle it afterwards. */
void history_see(struct history *history, const char *domain, struct span id, uint32_t ttl,
                 int64_t now);

/* Records a look at all servers of the domain, which has found these policies under the id: those of a
 * server before ours, which are served until a whole look finds them no more. The bytes that are recorded as
 * served by us are ours, whatever the id is that the DNS has. Settle it afterwards. */
void history_see_policies(struct history *history, const char *domain, const struct promise *seen,
                          size_t count, bool is_whole, int64_t now);

/* What is known of a domain, whose ttl is not set: facts stay as they are until it is settled again, whatever is
 * seen meanwhile. */
const struct history_domain *history_find(const struct history *history, struct span domain);
struct promise_facts history_facts(const struct history *history,
                                   const struct history_domain *domain, int64_t now);

/* Appends the whole bytes of the file. */
void history_print(const struct history *history, enum state_file file, struct text *out);

#endif
