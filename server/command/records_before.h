/*
 * An earlier list of DNS records, as "dns --format json" printed it: reads it
 * and finds out what has changed since. Nothing is taken for gone that may only
 * be out of sight. Runs in the command dns.
 */
#ifndef COMMAND_RECORDS_BEFORE_H
#define COMMAND_RECORDS_BEFORE_H

#include "base/diag.h"
#include "command/records.h"

/* Reads the file into the list, which was begun; also what was withheld then,
 * for it may have been published earlier still, and has to go with the rest.
 * False when that is not possible, which is reported as DIAG_FATAL. */
bool records_read(struct records *before, const char *path, struct diag *diag);

/* By domain, name, type and value. */
void records_sort(struct records *list);

/* Nobody knows whether the sets of the pending list are published: they are uncertain from now on, and
 * those that are not in the earlier list are added to it. Sorts both. */
void records_doubt(struct records *before, struct records *pending);

/* Sorts the earlier list and sets the news of both. Domains that are refused
 * now keep all their records, and so does what is withheld; with keep_missing
 * what is not there any more does so too, but for the shared records of the zone, if one is named (or
 * NULL). A shared record stays as long as an alias that leads to it does. What is uncertain is never the
 * same. */
void records_compare(struct records *before, struct records *now, bool keep_missing,
                     const char *zone);

#endif
