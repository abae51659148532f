/*
 * Questions to the DNS: asked of the name servers in /etc/resolv.conf, over UDP
 * and, for an answer that is cut, over TCP, and never waited for beyond one
 * deadline. Addresses in /etc/hosts come first, as for senders on this machine.
 * It keeps nothing from one call to the next. Runs in a child of the probe, and
 * in the import.
 */
#ifndef PROBE_RESOLVE_H
#define PROBE_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/limits.h"
#include "probe/dns.h"

/* The addresses of a host, those of both families in turn, each once. */
struct resolve_host {
    struct address addresses[LIMIT_PROBE_ADDRESSES];
    size_t count;
    struct dns_outcome ipv4, ipv6;
};

struct resolve_question {
    const char *host; /* whose addresses; or NULL */
    uint16_t port;    /* of the addresses */
    const char *txt;  /* whose TXT records; or NULL */
    const char *mx;   /* whose MX records; or NULL */
    int64_t deadline_us;
};

/* Asks everything at the same time. What was not asked for is DNS_NONE; its place may be NULL.
 * End ret_txt with dns_txt_free. */
void resolve_ask(const struct resolve_question *question, struct resolve_host *ret_host,
                 struct dns_txt *ret_txt, struct dns_mx *ret_mx);

/* Finds out which of the hosts are aliases: one whose address is not known before the deadline counts as
 * none. */
void resolve_aliases(struct dns_mx *mx, int64_t deadline_us);

/* The name servers of this machine for a sentence: "127.0.0.53, 192.0.2.1". */
void resolve_servers_text(char *out, size_t size);

#endif
