/*
 * The configuration as a whole: reads the main file, the files it includes and
 * the certificates, and builds the settings and the immutable site. It knows
 * the two levels of fault: with a fault of the file there is no configuration;
 * with a fault of one domain that domain alone is refused, or keeps the last
 * valid policy that the previous site has for it. Runs in the supervisor and
 * in commands.
 */
#ifndef LOAD_CONFIGURATION_H
#define LOAD_CONFIGURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "load/settings.h"
#include "site/site.h"

struct load_request {
    const char *path;             /* of the main file; borrowed */
    const struct address *listen; /* replaces the listeners of the file; or NULL */
    int64_t now;                  /* seconds since 1970 UTC; for the dates of certificates */
    const struct site *previous;  /* what is served now, for what turns out bad; or NULL */
    bool without_certificates;    /* a command needs only the policies */
};

struct configuration {
    struct settings settings;
    struct site *site;   /* owned; sealed */
    struct arena *arena; /* owned; what settings borrow from */
};

/* Reads and judges everything and reports every problem in diag. Owned. NULL
 * after a fault of the file, or with "strict: true" after any error. */
struct configuration *configuration_load(const struct load_request *request, struct diag *diag);

void configuration_free(struct configuration *configuration);

#endif
