/*
 * For ask, import, scan and write. The policy hosts of an import: where each was
 * named, what it answers, and what that comes to. The command finds names (by
 * scan), fetches policies from the server (ask), finds the certificates and
 * writes the configuration (write). Runs in the command import.
 */
#ifndef IMPORT_IMPORT_H
#define IMPORT_IMPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/table.h"
#include "certificates/store.h"
#include "command/command.h"
#include "inspect/inspect.h"

/* How sure it is that a host has a policy. In rising order. */
enum import_sure {
    IMPORT_MENTIONED, /* it stands in a comment, and is not asked */
    IMPORT_LIKELY, /* a certificate, a wildcard or a folder has its name: no fault if it has none */
    IMPORT_NAMED,  /* it is named, by the operator or in a file */
};

/* Every text is borrowed from the arena. */
struct import_host {
    const char *domain; /* example.com, without "mta-sts."; lower case */
    struct position at; /* where it is named; without a line on the command line */
    enum import_sure sure;
    const char *file;        /* that has the policy, or NULL: the server has it */
    const char *address;     /* that answered, or NULL */
    const char *problem;     /* why there is no policy, a sentence without a full stop; or NULL */
    struct span bytes;       /* of the policy; data NULL when there is none */
    struct span leaf;        /* the certificate that was shown, in DER; the same */
    const char *certificate; /* the file that has it, or NULL */
    struct inspection *inspection; /* owned; NULL when there are no bytes */
    struct policy *policy;         /* owned; NULL when a decision is needed */
    const char *id;                /* to be kept, or NULL */
};

/* Texts that are each there once. */
struct import_paths {
    const char **items; /* owned; the texts are borrowed from the arena */
    size_t count;
    struct table by_text;
};

struct import {
    const struct command_line *line; /* borrowed */
    struct diag *diag;               /* owned */
    struct arena *arena;             /* owned */
    struct import_host *hosts;       /* owned, in the order in which they were found */
    size_t count;
    struct table by_domain;
    struct import_paths searched;     /* that may have certificates */
    struct import_paths certificates; /* to be written */
    struct diag *certificate_diag;    /* owned; of the store */
    struct certificates *store;       /* owned; or NULL */
};

/* Adds the path, unless it is there. */
void import_add_path(struct import *import, struct import_paths *paths, const char *path);

/* Searches files, and all below folders and what they include, for names of policy hosts and paths of
 * certificates, and adds both. A path that is not there is an error, unless is_optional. */
void import_search(struct import *import, const char *const *paths, size_t count, bool is_optional);

/* Inspects the bytes of the host, which came from the file or URL, and makes a policy of them. */
void import_inspect(struct import *import, struct import_host *host, const char *from);

/* Asks the server of each host for its policy, as a sender does, and the DNS for the ids that are
 * published: many hosts at once, in children, each with an end in time. The server is at the address
 * of --connect, or else on this machine or where the DNS says. What comes is inspected and reported. */
void import_ask(struct import *import);

/* Frees what is in it. */
void import_free(struct import *import);

/* Appends the configuration, as YAML that "check" accepts, or with --json all that was found to
 * ret_out; diagnostics and a summary to ret_said. */
void import_write(const struct import *import, struct text *ret_out, struct text *ret_said);

/* Looks for names of policy hosts in the bytes of a web server's configuration, whichever web server it is
 * of: it knows words and the few directives that name hosts, and no grammar. What is found is told as it
 * comes, in the order of the lines. Pure. */
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
