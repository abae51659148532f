/*
 * The configuration as a whole: reads the main file, the files it includes and
 * the certificates, and builds the settings and the immutable site. It knows
 * the two levels of fault: with a fault of the file there is no configuration;
 * with a fault of one domain that domain alone is refused, or keeps the last
 * valid policy that the previous configuration has for it. What has not changed
 * since the previous one was read is taken from there. Runs in the loader
 * and in commands. What senders hold of what was served before is judged in life.c.
 */
#ifndef LOAD_CONFIGURATION_H
#define LOAD_CONFIGURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/progress.h"
#include "configuration/settings.h"
#include "configuration/sources.h"
#include "files/watch.h"
#include "load/history.h"
#include "site/site.h"

/* What a change of the configuration means to senders that hold what was served before (policy/promise.h): findings
 * with their reason and what to do. life.c reads no file; the history comes from load/history.h. */
struct life {
    struct history *history; /* settled; or NULL: nothing is judged */
    int64_t now;             /* as the history was settled */
    uint32_t ttl;            /* of the TXT records as configured; 0: not known */
    size_t tested_long;      /* domains so far that are in testing for more than a month */
    size_t findings;         /* domains so far with an error or a warning */
};

/* Judges the policy that is configured for the domain. False when it must not be served: its id has named
 * other bytes before, which is reported as DIAG_ERROR; the rest is advice. */
bool life_judge(struct life *life, const char *domain, const struct policy *policy,
                struct position at, struct diag *diag);

/* Reports the domains that are not configured any more while senders hold an enforced policy of them. */
void life_judge_gone(struct life *life, const struct site *site, struct position at,
                     struct diag *diag);

struct concern;

struct load_request {
    const char *path;             /* of the main file; borrowed */
    const struct address *listen; /* replaces the listeners of the file; or NULL */
    int64_t now;                  /* seconds since 1970 UTC; for the dates of certificates */
    const struct site *previous;  /* what is served now; borrowed for the call, or NULL */
    const int
        *site_file; /* an empty memory file for the site, which is taken; NULL: one of its own */
    /* Not NULL: settings and policies stay as they are in previous, whatever is on disk now, and only
     * certificates are read. Borrowed as long as the configuration lives. */
    const struct settings *kept_settings;
    const struct watch *kept_watch;
    struct progress_callback progress; /* told while the load goes on */
    bool state_hangs;                  /* its disk does not answer: the folder is not read */
    bool without_certificates;         /* a command needs only the policies */
    int64_t history_now;               /* seconds since 1970 UTC; for the dates of what is served */
    bool judge_life; /* with the state folder: what senders hold of what was served before */
    const struct site *earlier; /* what was served until now, where there is no state; or NULL */
    const struct text
        *extra; /* one more included file, named "-", read before the others; or NULL */
    const struct concern
        *concern; /* what does not concern these domains is hidden in diag; or NULL */
};

struct configuration {
    struct settings settings;
    struct life life;    /* its history is owned; NULL: none was read */
    struct site *site;   /* owned */
    struct arena *arena; /* owned; what settings and watch borrow from */
    struct watch watch;
    const struct source_file
        *files; /* that were read; borrowed from the arena; the main one first */
    size_t file_count;
    bool has_certificates;    /* they were read: there are some that are ours to judge */
    size_t denied;            /* files and folders of certificates that this user may not read */
    const char *first_denied; /* one of them; borrowed from the arena */
};

/* Reads and judges everything and reports every problem in diag. Owned. NULL
 * after a fault of the file, or with "strict: true" after any error. */
struct configuration *configuration_load(const struct load_request *request, struct diag *diag);

void configuration_free(struct configuration *configuration);

#endif
