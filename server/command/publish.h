/*
 * Publishing: the file that says which DNS records were published, and the way
 * in which it is brought up to date. What is about to be sent is written down
 * before it is sent, and the file is replaced after that has succeeded, so that
 * whatever is interrupted or fails is sent again the next time, also when the
 * configuration has been changed back meanwhile. Runs in the command dns.
 */
#ifndef COMMAND_PUBLISH_H
#define COMMAND_PUBLISH_H

#include "base/diag.h"
#include "command/records.h"
#include "command/records_print.h"

struct publication {
    char *path;            /* owned; of the file */
    int lock;              /* owned; or -1 */
    bool is_new;           /* there is no file yet */
    struct records before; /* what the file says; what may have been sent since is uncertain */
};

/* Reads the file, and with is_committing locks it against others. A file that is not there is an
 * empty list; its folder must be there. False after a fault, which is reported as DIAG_FATAL. End with
 * publication_close. */
bool publication_open(const char *path, bool is_committing, struct diag *diag,
                      struct publication *ret_publication);
void publication_close(struct publication *publication);

/* What comparing the two lists has come to. */
struct publication_counts {
    size_t added, changed, removed;  /* records to be sent */
    size_t kept;                     /* published records that stay as they are */
    size_t domains, removed_domains; /* published before, and those of them that go */
};

/* After records_compare. */
void publication_count(const struct publication *publication, const struct records *now,
                       struct publication_counts *ret_counts);

/* Prints the difference and runs the shell command with it on its standard input. When that fails it is
 * run again with parts of it, so that a domain that cannot be published does not hinder the others.
 * Then the file is replaced, if any part has succeeded. Without anything to send only a file that is
 * not there yet is written. False after saying on standard error what went wrong; the news of what
 * was not taken are then DNS_KEPT. */
bool publication_commit(struct publication *publication, struct records *now, records_print *print,
                        const char *command);

#endif
