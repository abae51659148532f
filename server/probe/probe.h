/*
 * The probe of a domain: asks the DNS, visits every address, and fills a report. Runs
 * in a child of a command (probe/probe_workers).
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

/* Probes the domain, in a child, into a report that is zero. */
void probe_run(const struct probe *probe, const struct probe_domain *domain, struct report *report);

/* Completes the report when the child was ended because it was late, or has died. */
void probe_lose(const struct probe_domain *domain, struct report *report, bool is_late);

#endif
