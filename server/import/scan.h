/*
 * Looks for names of policy hosts in the bytes of a web server's configuration,
 * whichever web server it is of: it knows words and the few directives that
 * name hosts, and no grammar. What is found is told as it comes, in the order
 * of the lines. Pure: no file, socket or memory of its own. Runs in the command
 * import.
 */
#ifndef IMPORT_SCAN_H
#define IMPORT_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum import_found {
    IMPORT_NAME,      /* "mta-sts." and what is a domain as far as one can see */
    IMPORT_HOST_NAME, /* the same where only a host can stand: it must be a domain */
    IMPORT_COVERED, /* a domain whose policy host a wildcard stands for, or a folder is named after */
    IMPORT_COMMENT, /* as IMPORT_NAME, in a comment */
    IMPORT_MANY,    /* a name, or a place without one, for hosts that cannot be listed */
    IMPORT_DEFAULT, /* the same, where HTTPS is not spoken or a name stands beside it */
    IMPORT_PATH,    /* of a file or folder that may have certificates */
    IMPORT_INCLUDE, /* a path or pattern of more configuration */
};

struct import_word {
    enum import_found found;
    struct span text;      /* borrowed for the call; of a name the domain; empty: a virtual host */
    uint32_t line, column; /* from 1; the column in bytes */
};

typedef void import_take(void *context, const struct import_word *word);

/* Calls back for all that is found. */
void import_scan(struct span bytes, import_take *take, void *context);

#endif
