/*
 * For dns and resolve. Questions to the DNS: asked of the name servers in /etc/resolv.conf, over UDP
 * and, for an answer that is cut, over TCP, and never waited for beyond one
 * deadline. Addresses in /etc/hosts come first, as for senders on this machine.
 * It keeps nothing from one call to the next. And answers (RFC 1035 section 4.1), of any
 * bytes: which records of a name they hold, or of the name that it is an alias of. Runs in a
 * child of the probe, and in the import.
 */
#ifndef PROBE_RESOLVE_H
#define PROBE_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/limits.h"
#include "base/span.h"
#include "base/text.h"

enum dns_result {
    DNS_DONE,
    DNS_NONE,      /* there is no such name, or it has no such record */
    DNS_SILENT,    /* no answer before the deadline */
    DNS_CUT,       /* the answer is too long for UDP, and did not come over TCP */
    DNS_ERROR,     /* the name servers answer with an error; rcode tells which */
    DNS_MALFORMED, /* the answer cannot be read */
    DNS_NO_SERVER, /* none of the name servers that this machine asks can be reached */
};

/* A name as text, where a byte may be "\\DDD" (RFC 1035 section 5.1). */
enum { DNS_NAME_SIZE = 4 * 255 + 1 };

/* What a message begins with. Spans are borrowed. */
struct dns_message {
    struct span bytes;
    char name[DNS_NAME_SIZE]; /* of the question; "" when there is none */
    unsigned type;            /* the same */
    unsigned count;           /* of the records in the answer */
    struct span answers;
};

/* What became of one question. */
struct dns_outcome {
    enum dns_result result;
    unsigned rcode;  /* of DNS_ERROR (RFC 1035 section 4.1.1) */
    int64_t took_us; /* until the answer or the deadline */
};

/* The values of TXT records, each with its strings joined. */
struct dns_txt {
    struct text *values; /* owned */
    size_t count, capacity;
    bool is_more; /* there are more than LIMIT_DNS_RECORDS */
    uint32_t ttl; /* the longest, of aliases too; seconds */
    char alias
        [DNS_NAME_SIZE]; /* the name that the one asked for is an alias of; "" when it is none */
    struct dns_outcome outcome;
};

/* The hosts of MX records, in the order of the answer. DNS_NONE: there is no such record. */
struct dns_mx {
    char hosts[LIMIT_PROBE_MX][LIMIT_NAME + 1];
    char aliases[LIMIT_PROBE_MX][LIMIT_NAME + 1]; /* what each is an alias of; "" when it is none */
    size_t count;
    bool is_null; /* it takes no mail (RFC 7505); with hosts it is not known what is meant */
    bool is_more; /* there are more than LIMIT_PROBE_MX */
    struct dns_outcome outcome;
};

void dns_txt_free(struct dns_txt *txt);

/* What became of it, as the end of the sentence "the look-up ...": "fails with SERVFAIL". Static. */
const char *dns_text(const struct dns_outcome *outcome);

/* Reads the beginning. False when it is malformed. */
bool dns_read_question(struct span message, struct dns_message *ret_message);

/* Adds the values of the TXT records of the name. */
enum dns_result dns_read_txt(struct span message, const char *name, struct dns_txt *ret_txt);

/* The same for the MX records; what is no name of a host is left out. */
enum dns_result dns_read_mx(struct span message, const char *name, struct dns_mx *ret_mx);

/* The name that this one is an alias of; "" when it is none. */
void dns_read_alias(struct span message, const char *name, char ret_alias[static LIMIT_NAME + 1]);

/* The same for the addresses of the type (ns_t_a, ns_t_aaaa), with the port. Writes at most most. */
enum dns_result dns_read_addresses(struct span message, const char *name, int type, uint16_t port,
                                   struct address *ret_addresses, size_t most, size_t *ret_count);

/* The addresses of a host, those of both families in turn, each once. */
struct resolve_host {
    struct address addresses[LIMIT_PROBE_ADDRESSES];
    size_t count;
    struct dns_outcome outcomes[2]; /* IPv4, IPv6 */
};

struct resolve_question {
    const char *host; /* whose addresses; or NULL */
    uint16_t port;    /* of the addresses */
    const char *txt;  /* whose TXT records; or NULL */
    const char *mx;   /* whose MX records; or NULL */
    int64_t deadline_us;
};

/* Asks everything at the same time. The place of what is not asked for may be NULL. End ret_txt with
 * dns_txt_free. */
void resolve_ask(const struct resolve_question *question, struct resolve_host *ret_host,
                 struct dns_txt *ret_txt, struct dns_mx *ret_mx);

/* Finds out which of the hosts are aliases: one whose address is not known before the deadline counts as
 * none. */
void resolve_aliases(struct dns_mx *mx, int64_t deadline_us);

/* The name servers of this machine for a sentence: "127.0.0.53, 192.0.2.1". */
void resolve_servers_text(char *out, size_t size);

#endif
