/*
 * Prints lists of DNS records, in the forms that name servers and programs
 * read. The same lists give the same bytes, always. Runs in the command dns.
 */
#ifndef COMMAND_RECORDS_PRINT_H
#define COMMAND_RECORDS_PRINT_H

#include "base/text.h"
#include "command/records.h"

/* Appends the records to out. With before, which has been compared with them
 * (records_compare), only what has changed; it may be NULL. */
typedef void records_print(const struct records *records, const struct records *before,
                           struct text *out);

/* Lines of a zone file (RFC 1035 section 5); what is withheld or gone is a comment. */
records_print records_print_zone;

/* What nsupdate(1) reads: a message for each domain, which may be sent again and again. */
records_print records_print_nsupdate;

/* An object with the members records and withheld, or, with before, added, changed, was (what the
 * changed ones were), removed and withheld: each a list of objects with domain, name, type, ttl
 * (null when not given), value, and for those that are withheld a reason. */
records_print records_print_json;

#endif
