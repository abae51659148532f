/*
 * For records and publish. Lists of DNS records: those that the domains of a site need, with why some are
 * not to be published yet; an earlier list, as "dns --format json" printed it, and what has changed
 * since; the forms in which name servers and programs read them; and the file that says which records
 * were published, with the way in which it is brought up to date. Runs in the command dns.
 */
#ifndef COMMAND_RECORDS_H
#define COMMAND_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/table.h"
#include "base/text.h"
#include "configuration/settings.h"
#include "site/site.h"

/* What became of a record between two lists. */
enum dns_news {
    DNS_NEW,     /* no record of its name and type was there before */
    DNS_SAME,    /* it was there, and so were all others of its name and type */
    DNS_CHANGED, /* others of its name and type were there */
    DNS_GONE,    /* in the earlier list: none of its name and type is there any more */
    DNS_KEPT, /* in the earlier list: it stays, because what is there now is withheld or not known */
};

/* Every text is borrowed from the arena of the list, or from the site and its settings. */
struct dns_record {
    const char *domain;   /* which it belongs to; of a record that several share, its name */
    const char *name;     /* with its final dot */
    const char *type;     /* "CNAME", "A", "AAAA" or "TXT" */
    const char *value;    /* a name with its final dot, an address, or a text without quotes; NULL
                             when it is not known: the domain is refused */
    uint32_t ttl;         /* seconds; 0: not given */
    const char *file;     /* the configuration file that names the domain; or NULL */
    const char *withheld; /* why it is not to be published, a clause; or NULL */
    bool is_uncertain;    /* in the earlier list: it may be published, or may not be any more */
    enum dns_news news;
    /* Of a record that several share: its policy, borrowed from the site; and of the domains that were
     * asked, whether one serves that policy, and whether one serves another and sees the record. */
    const struct policy *policy;
    bool is_served, is_hindered;
};

/* Begin with the first members; end with records_free. */
struct records {
    struct arena
        *arena; /* borrowed, like the next; both may be NULL for a copy of a part of a list */
    const struct settings *settings; /* of the domains that are added; else NULL */
    int64_t now;              /* seconds since 1970 UTC; for the dates of their certificates */
    struct dns_record *items; /* owned; those of one name and type follow each other */
    size_t count;
    /* The first of each name, of those that records_add_domain and records_add_shared have appended, or of a
     * list that was sorted. */
    struct table by_name;
};

void records_free(struct records *records);

/* Appends a record alone. */
void records_add(struct records *records, const struct dns_record *record);

/* Appends the record of the domain's policy in the zone of "delegate:", unless it is there. */
void records_add_shared(struct records *records, const struct site_domain *domain);

/* The domain's record that leads to its policy, and the shared one; NULL when it is not there. */
struct dns_record *records_find(const struct records *records, const struct site_domain *domain);
struct dns_record *records_find_shared(const struct records *records,
                                       const struct site_domain *domain);

/* Appends what the domain needs, with what it shares with others. */
void records_add_domain(struct records *records, const struct site_domain *domain);

/* The index behind the last record of the same name and type, withheld or not, as the one there. */
size_t records_set_end(const struct records *records, size_t begin);

/* By domain, name, type and value. */
void records_sort(struct records *list);

/* Reads the file into the list; also what was withheld then, for it may have been
 * published earlier still, and has to go with the rest. False when that is not possible, which is
 * reported as DIAG_FATAL. */
bool records_read(struct records *before, const char *path, struct diag *diag);

/* It is not known whether the sets of the pending list are published: they are uncertain from now on, and
 * those that are not in the earlier list are added to it. Sorts both, which are of one arena. */
void records_doubt(struct records *before, struct records *pending);

/* Sorts the earlier list and sets the news of both. Domains that are refused now keep all their records,
 * and so does what is withheld; with keep_missing what is not there any more does so too, but for the
 * shared records of the zone, if one is named (with its final dot; or NULL). A shared record stays as long as an alias that
 * leads to it does. What is uncertain is never the same. */
void records_compare(struct records *before, struct records *now, bool keep_missing,
                     const char *zone);

/* Appends the records to out. With before, which has been compared with them, only what has changed; it
 * may be NULL. The same lists give the same bytes, always. */
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

/* The file of what was published. What is about to be sent is written down beside it before it is sent,
 * and the file is replaced after that has succeeded, so that whatever is interrupted or fails is sent
 * again the next time, also when the configuration has been changed back meanwhile. */
struct publication {
    const char *path;      /* of the file; borrowed from the arena */
    int lock;              /* owned; or -1 */
    bool is_new;           /* there is no file yet */
    struct records before; /* what the file says; what may have been sent since is uncertain */
};

/* Reads the file into the arena, and with is_committing locks it against others. A file that is not there
 * is an empty list; its folder must be there. False after a fault, which is reported as DIAG_FATAL. End
 * with publication_close. */
bool publication_open(const char *path, bool is_committing, struct arena *arena, struct diag *diag,
                      struct publication *ret_publication);
void publication_close(struct publication *publication);

/* Prints the difference and runs the shell command with it on its standard input. When that fails it is
 * run again with parts of it, so that a domain that cannot be published does not hinder the others.
 * Then the file is replaced, if any part has succeeded. Without anything to send only a file that is
 * not there yet is written. False after saying on standard error what went wrong; the news of what
 * was not taken are then DNS_KEPT. */
bool publication_commit(struct publication *publication, struct records *now, records_print *print,
                        const char *command);

#endif
