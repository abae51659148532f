/*
 * The probe of domains: asks the DNS, visits every address, and fills a report
 * for each. Each domain is probed in a child (probe/probe_workers).
 */
#ifndef PROBE_PROBE_H
#define PROBE_PROBE_H

#include <stdint.h>

#include "base/address.h"
#include "certificates/trust.h"
#include "policy/policy.h"
#include "policy/promise.h"
#include "probe/report.h"

/* The same for all domains of a run; everything is borrowed. */
struct probe {
    const struct address *connect; /* ask this one instead of what the DNS says; or NULL */
    const struct trust *trust;
    int64_t now;          /* seconds since 1970 UTC; for the dates of certificates */
    const char *delegate; /* the zone with the TXT records of all domains; or NULL */
    int64_t warning;    /* seconds before the end of a certificate, or the default of site/site.h */
    int64_t timeout_ms; /* for the DNS, and for each address; LIMIT_PROBE_TIMEOUTS for a domain */
};

struct probe_domain {
    const char *name;            /* example.com; a valid name */
    bool is_mx;                  /* it is the host of an MX record: probe port 25 */
    enum diag_level mx_level;    /* of an MX: how grave it is that senders would refuse it */
    const struct policy *policy; /* what the configuration says; or NULL */
    const char *label;           /* of its record in that zone (policy/record.h); or NULL */
    struct promise_facts facts;  /* what senders may hold; without promises where it is not known */
};

/* The report of the domain with the index; borrowed for the call. They come as they are done. */
typedef void probe_take(void *context, size_t index, const struct report *report);

/* Comes at least once a second while domains are probed; may be NULL. */
typedef void probe_tick(void *context);

/* Probes all domains, many at once, and calls back for each, once. What goes wrong in this program is
 * in the report too (FAULT_INTERNAL). False when it is not possible at all, with the reason in errno. */
bool probe_domains(const struct probe *probe, const struct probe_domain *domains, size_t count,
                   probe_take *take, probe_tick *tick, void *context);

#endif
