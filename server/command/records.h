/*
 * The DNS records that the domains of a site need, as a list: what they are,
 * and which of them are not to be published yet and why. It prints nothing and
 * asks nobody. Runs in the command dns.
 */
#ifndef COMMAND_RECORDS_H
#define COMMAND_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/table.h"
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

/* Every text is borrowed from the list. */
struct dns_record {
    const char *domain;   /* which it belongs to; of a record that several share, its name */
    const char *name;     /* with its final dot */
    const char *type;     /* "CNAME", "A", "AAAA" or "TXT" */
    const char *value;    /* a name with its final dot, an address, or a text without quotes; NULL
                             when nobody knows it: the domain is refused */
    uint32_t ttl;         /* seconds; 0: not given */
    const char *file;     /* the configuration file that names the domain; or NULL */
    const char *withheld; /* why it is not to be published, a clause; or NULL */
    bool is_uncertain;    /* in the earlier list: it may be published, or may not be any more */
    enum dns_news news;
    const struct policy
        *policy; /* of a record that several share; borrowed from the site; or NULL */
};

/* Begin with records_begin, which is false when memory is short; end with records_free. */
struct records {
    struct arena *arena;      /* owned */
    struct dns_record *items; /* owned; those of one name and type follow each other */
    size_t count, capacity;
    struct table by_name; /* of what records_add_domain and records_add_shared have appended */
    bool shortage;        /* of memory: something is missing */
    bool with_files;      /* printed as JSON it tells the files too */
};

bool records_begin(struct records *records);
void records_free(struct records *records);

/* Appends a record, whose texts are copied. */
void records_add(struct records *records, const struct dns_record *record);

/* Withholds the record with the index for the reason, which is copied. */
void records_withhold(struct records *records, size_t index, const char *reason);

/* Appends the record of the domain's policy in the zone of "delegate:", unless it is there. now is seconds
 * since 1970 UTC, for the dates of certificates. */
void records_add_shared(struct records *records, const struct settings *settings,
                        const struct site_domain *domain, int64_t now);

/* The index of the domain's record that leads to its policy, and that of the shared one, if there is one;
 * TABLE_NONE when it is not there. */
size_t records_find(const struct records *records, const struct site_domain *domain);
size_t records_find_shared(const struct records *records, const struct settings *settings,
                           const struct site_domain *domain);

/* Appends what the domain needs, with what it shares with others. */
void records_add_domain(struct records *records, const struct settings *settings,
                        const struct site_domain *domain, int64_t now);

/* The index behind the last record of the same name and type, withheld or not, as the one there. */
size_t records_set_end(const struct records *records, size_t begin);

#endif
