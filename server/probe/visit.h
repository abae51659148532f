/*
 * For smtp and visit. One address of a policy host: fetches from it and judges every stage, from
 * the connection to the bytes of the policy; or one of an MX, up to its
 * certificate. Runs in a child of the probe.
 */
#ifndef PROBE_VISIT_H
#define PROBE_VISIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/limits.h"
#include "certificates/trust.h"
#include "policy/policy.h"
#include "probe/fetch.h"
#include "probe/report.h"

/* What a server sent, for who wants to use it. */
struct visit_kept {
    bool is_whole; /* the body is there, as it was meant: status 200, not cut, broken or encoded */
    size_t body_len;
    size_t leaf_len; /* 0: there was no certificate, or it does not fit */
    char body[LIMIT_BODY_MOST];
    char leaf[LIMIT_VISIT_LEAF]; /* DER */
};

/* What is borrowed comes first; the rest belongs to visit_run. */
struct visit {
    const struct address *address;
    const char *host;
    bool is_mx;                  /* TLS begins with STARTTLS, and nothing is fetched */
    const struct policy *policy; /* what the configuration says; or NULL */
    const struct trust *trust;
    int64_t now;     /* seconds since 1970 UTC; for the dates of certificates */
    int64_t warning; /* seconds before the end of a certificate, or the default of site/site.h */
    int64_t deadline_us;
    int64_t spent_us; /* that a sender has waited already, for the DNS */
    /* Is given what was sent, and then nothing is said of the policy and of TLS 1.2; or NULL. */
    struct visit_kept *kept;

    struct report *report;
    struct report_visit *result; /* the report's */
    int64_t begin_us;
    struct fetch fetch;
};

/* Adds the visit to the report, which has room for it, and all that is wrong with it. */
void visit_run(struct visit *visit, struct report *report);

/* What comes before TLS on the port of an MX (RFC 5321, RFC 3207): the greeting, EHLO and STARTTLS. A reply
 * is bounded in bytes and, by the stream, in time, and nothing of it is shown but escaped. False when TLS
 * does not begin; then the report has the reason, and the visit, which is the report's, the stage. */
bool smtp_start_tls(struct stream *stream, struct report *report, struct report_visit *visit);

#endif
