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

/* A question, and the records that answer it, of the name or of the one that it is an alias of. Begin with the
 * name (borrowed) and the type, or with no name for nothing to ask; end with dns_lookup_free. */
struct dns_lookup {
    const char *name;
    int type; /* ns_t_a, ns_t_aaaa, ns_t_txt or ns_t_mx */
    struct dns_outcome outcome;
    char alias[DNS_NAME_SIZE]; /* what the name is an alias of; "" when it is none */
    uint32_t ttl;              /* the longest, of aliases too; seconds */
    /* Owned: an address in network order, the strings of a TXT record joined, or the host of an MX record as
     * text, "" for none (RFC 7505). In the order of the answer. */
    struct text *values;
    size_t count;
    bool is_more; /* there are more than LIMIT_DNS_RECORDS */
};

void dns_lookup_free(struct dns_lookup *lookup);

/* What became of it, as the end of the sentence "the look-up ...": "fails with SERVFAIL". Static. */
const char *dns_text(const struct dns_outcome *outcome);

/* Reads the beginning. False when it is malformed. */
bool dns_read_question(struct span message, struct dns_message *ret_message);

/* Adds what the message says to a look-up without records. */
enum dns_result dns_read(struct span message, struct dns_lookup *lookup);

/* Asks everything at the same time. */
void resolve_ask(struct dns_lookup *lookups, size_t count, int64_t deadline_us);

/* The addresses of a host, those of both families in turn, each once. */
struct resolve_host {
    struct address addresses[LIMIT_PROBE_ADDRESSES];
    size_t count;
    struct dns_outcome outcomes[2]; /* IPv4, IPv6 */
};

/* Asks for the addresses by the first two look-ups, which begin as {0}, unless they are in /etc/hosts; and at
 * the same time the others. */
void resolve_host(const char *host, uint16_t port, struct dns_lookup *lookups, size_t count,
                  int64_t deadline_us, struct resolve_host *ret_host);

/* The name servers of this machine for a sentence: "127.0.0.53, 192.0.2.1". */
void resolve_servers_text(char *out, size_t size);

#endif
