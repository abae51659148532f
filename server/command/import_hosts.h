/*
 * The policy hosts that an import has found: what each of them answers with, as
 * far as its configuration tells, and what that comes to once it is read and
 * inspected. Of several virtual hosts for one name it keeps the one that senders
 * reach. Runs in the command import.
 */
#ifndef COMMAND_IMPORT_HOSTS_H
#define COMMAND_IMPORT_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/table.h"
#include "command/import_tree.h"
#include "policy/inspect.h"

#define IMPORT_PATH "/.well-known/mta-sts.txt"

/* What a host answers a request for its policy with. */
enum import_kind {
    IMPORT_FILE,    /* the file at path */
    IMPORT_TEXT,    /* the text, which stands in the configuration */
    IMPORT_FETCHED, /* the text, which came from where at.file says */
    IMPORT_PROBLEM, /* nothing that can be found out, or nothing that a sender takes */
};

struct import_answer {
    enum import_kind kind;
    struct position at; /* what decides it */
    const char *path;
    struct span text;
    const char *problem; /* a sentence without a full stop */
    const char *reason;  /* or NULL */
    const char *fix;     /* or NULL */
};

/* A path that is to be written under "certificates:". */
struct import_path {
    const struct import_path *next;
    const char *path; /* as the web server saw it, absolute */
};

struct import_host {
    const char *domain; /* example.com, without "mta-sts."; lower case */
    struct position at; /* where it is named */
    bool is_tls;
    struct import_answer answer;
    const struct import_path *certificates;
    /* Filled by import_hosts_read; the policy is NULL when a decision is needed. */
    struct text bytes;             /* owned */
    struct inspection *inspection; /* owned; NULL when nothing could be read */
    struct policy *policy;         /* owned */
    const char *id;                /* to be kept, or NULL */
};

struct import_hosts {
    struct import_files *files; /* borrowed */
    struct import_host *items;  /* owned, in the order in which they were found */
    size_t count, capacity;
    struct table by_domain;
};

/* Begin with {.files}. */
void import_hosts_free(struct import_hosts *hosts);

/* Whether the name is one of a policy host: it begins with "mta-sts.". */
bool import_is_host(struct span name);

/* Adds a host by its name, with or without "mta-sts."; domain is filled in. A name that is not valid
 * is reported; so is one that is there already, unless it is the half of a virtual host that is not
 * for TLS. */
void import_hosts_add(struct import_hosts *hosts, struct span name, struct import_host host);

/* Reports a name that stands for many, which cannot be listed. */
void import_hosts_report_pattern(struct import_hosts *hosts, const struct word *name);

/* Reads and inspects what every host answers with, and reports everything. */
void import_hosts_read(struct import_hosts *hosts);

/* A text that lives as long as the files; "" on a shortage, which is noted. */
const char *import_format(struct import_files *files, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* An answer that is a problem. Texts are borrowed. */
struct import_answer import_problem(struct position at, const char *problem, const char *reason,
                                    const char *fix);

/* The same for what senders do not follow. where may be empty. */
struct import_answer import_redirect(struct import_files *files, struct position at,
                                     struct span where);

/* Whether the regular expression matches the path of a policy. One that is not understood is reported
 * and matches nothing. */
bool import_matches(struct import_files *files, const struct word *pattern, bool ignore_case);

/* The same for what another server answers. */
struct import_answer import_proxied(struct position at);

/* One more path in front of the list, resolved. On a shortage, which is noted, the list as it was. */
const struct import_path *import_path_add(struct import_files *files, struct span path,
                                          const struct import_path *list);

#endif
