/*
 * The configuration as a whole: reads the main file, the files it includes and
 * the certificates, and builds the settings and the immutable site. It knows
 * the two levels of fault: with a fault of the file there is no configuration;
 * with a fault of one domain that domain alone is refused, or keeps the last
 * valid policy that the previous configuration has for it. What has not changed
 * since the previous one was read is taken from there. Runs in the supervisor
 * and in commands.
 */
#ifndef LOAD_CONFIGURATION_H
#define LOAD_CONFIGURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/progress.h"
#include "load/concern.h"
#include "load/contents.h"
#include "load/settings.h"
#include "load/state.h"
#include "load/watch.h"
#include "site/site.h"

struct load_request {
    const char *path;             /* of the main file; borrowed */
    const struct address *listen; /* replaces the listeners of the file; or NULL */
    int64_t now;                  /* seconds since 1970 UTC; for the dates of certificates */
    const struct configuration *previous; /* what is in use now; borrowed for the call, or NULL */
    bool keep_files; /* the configuration files are those of previous, whatever is on disk now */
    struct progress_callback progress; /* told while the load goes on */
    bool without_certificates;         /* a command needs only the policies */
    state_reader *read_state;          /* NULL: state_read_file */
    bool judge_life; /* with the state folder: what senders hold of what was served before */
    const struct site *earlier; /* what was served until now, where there is no state; or NULL */
    const struct text
        *extra; /* one more included file, named "-", read before the others; or NULL */
    const struct concern
        *concern; /* what does not concern these domains is hidden in diag; or NULL */
};

struct configuration {
    struct settings settings;
    struct site *site;   /* owned */
    struct arena *arena; /* owned; what settings and watch borrow from */
    struct watch watch;
    const char **bare_files; /* included ones that name no domain; borrowed from the arena */
    size_t bare_count;
    struct contents *contents; /* owned; of the configuration files */
    bool has_certificates;     /* they were read: there are some that are ours to judge */
    size_t denied;             /* files and folders of certificates that this user may not read */
    const char *first_denied;  /* one of them; borrowed from the arena */
};

/* Reads and judges everything and reports every problem in diag. Owned. NULL
 * after a fault of the file, or with "strict: true" after any error. It does
 * not need the previous one after the call: what they share is counted. */
struct configuration *configuration_load(const struct load_request *request, struct diag *diag);

void configuration_free(struct configuration *configuration);

#endif
