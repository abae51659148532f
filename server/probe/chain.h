/*
 * Judges the certificates that a server sent, as senders do: name, dates, key,
 * and whether they lead to an authority that is trusted; if not, why not. It
 * has no socket. Runs in a child of the probe, and in the health check.
 */
#ifndef PROBE_CHAIN_H
#define PROBE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "certificates/certificate.h"
#include "certificates/trust.h"
#include "probe/report.h"

/* What is borrowed comes first; the rest belongs to chain_judge. */
struct chain {
    const struct span *der; /* leaf first */
    size_t count;
    const char *host;          /* the name that the leaf must have */
    const struct trust *trust; /* or NULL: whoever issued it */
    int64_t now;               /* seconds since 1970 UTC */
    int64_t warning; /* seconds before the end of the leaf, or the default of site/site.h */

    struct report *report;
    struct certificate *items[LIMIT_PROBE_CHAIN]; /* owned */
};

/* Adds what is wrong to the report, and the facts of the leaf to the visit, which is the report's. */
void chain_judge(struct chain *chain, struct report *report, struct report_visit *visit);

/* Whether one of the names of the certificate covers the host (RFC 6125 section 6.4). */
bool chain_covers(const struct certificate *leaf, struct span host);

#endif
