/*
 * The probe of one domain: asks the DNS, visits every address, and fills the
 * report. Runs in a child, one domain after the other.
 */
#ifndef PROBE_PROBE_H
#define PROBE_PROBE_H

#include <stdint.h>

#include "base/address.h"
#include "policy/policy.h"
#include "probe/report.h"
#include "probe/trust.h"

/* The same for all domains of a run; everything is borrowed. */
struct probe {
    const struct address *connect; /* ask this one instead of what the DNS says; or NULL */
    const struct trust *trust;
    int64_t now;      /* seconds since 1970 UTC; for the dates of certificates */
    uint32_t warning; /* seconds before the end of a certificate */
    int64_t timeout_ms;
};

struct probe_domain {
    const char *name;            /* example.com; a valid name */
    const struct policy *policy; /* what the configuration says; or NULL */
};

/* Once a process, before the first probe_run. */
void probe_begin(const struct probe *probe);

/* Fills the report. What goes wrong in this program is in it too (FAULT_INTERNAL). */
void probe_run(const struct probe *probe, const struct probe_domain *domain,
               struct report *ret_report);

#endif
