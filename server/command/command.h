/*
 * What a command is: one row of the table in main.c. This module reads the
 * command line by that table and prints the help from it; the commands
 * themselves are one file each.
 */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/text.h"

/* Exit statuses, the same for every command. */
enum {
    STATUS_GOOD = 0,
    STATUS_WRONG = 1,   /* something is wrong with what was checked */
    STATUS_USAGE = 2,   /* the command line makes no sense */
    STATUS_PENDING = 3, /* good, but something is withheld or is not served as configured */
};

/* How often an option may be repeated: a shell puts what it expands among the operands. */
enum { COMMAND_WORDS = 64 };

/* Which options a command takes. */
enum {
    OPTION_CONFIG = 1U << 0,
    OPTION_LISTEN = 1U << 1,
    OPTION_JSON = 1U << 2,
    OPTION_AT = 1U << 3,
    OPTION_FORMAT = 1U << 4,
    OPTION_SINCE = 1U << 5,
    OPTION_SORT = 1U << 6,
    OPTION_STATE = 1U << 7,  /* and --senders, --held */
    OPTION_PROBE = 1U << 8,  /* --ca */
    OPTION_IMPORT = 1U << 9, /* all that only import takes */
    OPTION_HOSTS = 1U << 10, /* --group, --missing */
    OPTION_TIMEOUT = 1U << 11,
    OPTION_STATUS = 1U << 12,
    OPTION_CONNECT = 1U << 13,
    OPTION_RECORD = 1U << 15,
    OPTION_SMTP = 1U << 16,
    OPTION_PUBLISH = 1U << 14, /* --published, --commit-with, --remove-many, --served */
};

/* What an option was given that may be repeated. */
struct command_words {
    const char *items[COMMAND_WORDS];
    size_t count;
};

/* A command line that was understood. */
struct command_line {
    const char *path;                       /* of the configuration */
    bool is_default_path;                   /* nobody has named it */
    const struct address *listen, *connect; /* or NULL; borrowed from the next */
    struct address listen_to, connect_to;
    bool json;
    bool keep_id;                /* of what is published */
    bool record;                 /* what the DNS says */
    bool smtp;                   /* probe the MX as well */
    struct command_words search; /* files and folders to search */
    const char *format;          /* zone, nsupdate or json; NULL: not given */
    const char *since;           /* a file to compare with, or NULL */
    const char *sort;            /* what to sort by; NULL: not given */
    bool senders;                /* who has fetched the policy */
    const char *group;           /* how many hosts a line, or NULL */
    bool missing;                /* only those that need a certificate now */
    bool held;                   /* what senders may still hold */
    struct command_words state;  /* the only state to list, or the folders of what is held */
    const char *ca, *timeout;    /* or NULL */
    const char *published, *commit_with; /* the file of what was published and a command, or NULL */
    bool remove_many;                    /* of what was published */
    bool served;                         /* print only records of policies that are served */
    const char *status;                  /* the status file of the server, or NULL */
    int64_t now;           /* seconds since 1970 UTC: the clock's, or the day to judge as of */
    char *const *operands; /* borrowed from argv */
    size_t operand_count;
};

/* Returns the exit status. What it appends to out is written to standard output at its end; when that is not
 * possible the status is STATUS_WRONG. */
typedef int command_run(const struct command_line *line, struct text *out);

struct command {
    const char *name;
    const char *operands; /* as the help shows them; "" when there are none */
    size_t operands_least;
    size_t operands_most;
    unsigned options;
    const char *summary; /* one line */
    command_run *run;
};

/* Reads the command line, runs the command, and returns the exit status. The
 * table ends with a row whose name is NULL. */
int command_main(const struct command *commands, int argc, char **argv);

/* Prints on standard error what is wrong with the command line: a sentence in which the word stands in quotes
 * between the other two; it and what is behind it may be NULL. Returns STATUS_USAGE. */
int command_misused(const char *command, const char *before, const char *word, const char *behind);

/* Writes to standard output. False when it could not, after saying why on
 * standard error. */
bool command_write(const struct text *text);

/* Writes "mta-sts-httpd: ", the complaint and a line end to standard error. Always false. */
bool command_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes complete lines to standard error, and frees them. False when it could not, after saying why there, if
 * possible. */
bool command_complain_lines(struct text *lines);

/* One function a file: command/NAME.c. */
command_run command_serve, command_reload, command_check, command_policy, command_list,
    command_hosts, command_dns, command_seal, command_probe, command_health, command_import;
command_run command_list_held; /* list --held; 3 when nothing was recorded */

#endif
