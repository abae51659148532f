/*
 * One address of a policy host: fetches from it and judges every stage, from
 * the connection to the bytes of the policy. Runs in a child of the probe.
 */
#ifndef PROBE_VISIT_H
#define PROBE_VISIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "policy/policy.h"
#include "probe/report.h"
#include "probe/trust.h"

/* Everything is borrowed. */
struct visit_question {
    const struct address *address;
    const char *host;
    const struct policy *policy; /* what the configuration says; or NULL */
    const struct trust *trust;
    int64_t now;      /* seconds since 1970 UTC; for the dates of certificates */
    uint32_t warning; /* seconds before the end of a certificate */
    int64_t timeout_ms;
    int64_t spent_us; /* that a sender has waited already, for the DNS */
};

/* Adds a visit, for which the report has room, and all that is wrong with it. False when memory is
 * short. */
bool visit_run(const struct visit_question *question, struct report *report);

#endif
