/*
 * What can be wrong with a server of policies, or with the DNS around it: each
 * fault in one row of a table, with a stable word for programs, a short one for
 * the table, how grave it is, who refuses the policy for it, and how it is
 * mended. The faults of the policy itself are those of policy/finding. Pure:
 * constant data.
 */
#ifndef PROBE_FAULT_H
#define PROBE_FAULT_H

#include "base/diag.h"

/* The stages of a fetch, in their order. */
enum stage {
    STAGE_DNS,
    STAGE_CONNECT,
    STAGE_TLS,
    STAGE_CERTIFICATE,
    STAGE_HTTP,
    STAGE_POLICY,
};
#define STAGES 6

enum fault {
    FAULT_DNS_FAILED,
    FAULT_DNS_SERVFAIL,
    FAULT_DNS_REFUSED,
    FAULT_DNS_CUT,
    FAULT_DNS_SILENT,
    FAULT_DNS_MUTE,
    FAULT_DNS_HERE,
    FAULT_DNS_FAMILY,
    FAULT_DNS_SLOW,
    FAULT_NO_ADDRESS,
    FAULT_RECORD_MISSING,
    FAULT_RECORD_SEVERAL,
    FAULT_RECORD_OTHERS,
    FAULT_RECORD_FORM,
    FAULT_RECORD_QUOTED,
    FAULT_RECORD_SPACE_BEFORE,
    FAULT_RECORD_SPACE_BEHIND,
    FAULT_RECORD_ID,
    FAULT_RECORD_DIFFERS,
    FAULT_MX_NULL,
    FAULT_MX_HELD,
    FAULT_MX_HELD_ALL,
    FAULT_REFUSED,
    FAULT_UNREACHABLE,
    FAULT_NO_ROUTE,
    FAULT_CONNECT_TIMEOUT,
    FAULT_NOT_ASKED,
    FAULT_TLS_TIMEOUT,
    FAULT_TLS_OLD,
    FAULT_TLS_13_ONLY,
    FAULT_TLS_12_TIMEOUT,
    FAULT_TLS_NAME,
    FAULT_TLS_SUITES,
    FAULT_TLS_ALERT,
    FAULT_TLS_CLOSED,
    FAULT_TLS_BROKEN,
    FAULT_PLAIN_HTTP,
    FAULT_NOT_TLS,
    FAULT_CERTIFICATE_UNREADABLE,
    FAULT_CERTIFICATE_EXPIRED,
    FAULT_CERTIFICATE_NOT_YET,
    FAULT_CERTIFICATE_ENDS_SOON,
    FAULT_CERTIFICATE_NAME,
    FAULT_CERTIFICATE_SELF_SIGNED,
    FAULT_CERTIFICATE_INCOMPLETE,
    FAULT_CERTIFICATE_UNKNOWN_ROOT,
    FAULT_CERTIFICATE_CHAIN_EXPIRED,
    FAULT_CERTIFICATE_KEY,
    FAULT_CERTIFICATE_WEAK,
    FAULT_CERTIFICATE_USAGE,
    FAULT_CERTIFICATE_LARGE,
    FAULT_CERTIFICATE_COSTLY,
    FAULT_CERTIFICATE_CONSTRAINED,
    FAULT_CERTIFICATE_NOT_JUDGED,
    FAULT_CERTIFICATE_STAPLE,
    FAULT_CERTIFICATE_TAIL_EXPIRED,
    FAULT_HTTP_TIMEOUT,
    FAULT_HTTP_CLOSED,
    FAULT_HTTP_MALFORMED,
    FAULT_REDIRECT,
    FAULT_STATUS,
    FAULT_STATUS_2XX,
    FAULT_TYPE_MISSING,
    FAULT_TYPE,
    FAULT_TYPE_CASE,
    FAULT_COMPRESSED,
    FAULT_SLOW,
    FAULT_SLOW_4,
    FAULT_SLOW_5,
    FAULT_LARGE,
    FAULT_POLICY_DIFFERS,
    FAULT_MX_REFUSED,
    FAULT_MX_UNCOVERED,
    FAULT_MX_UNUSED,
    FAULT_UNFINISHED,
    FAULT_INTERNAL,
};

struct fault_rule {
    enum fault fault;
    const char *code; /* for programs; never changes: "certificate-expired" */
    enum stage stage;
    enum diag_level level;
    const char *cell;    /* for the table: "expired" */
    const char *senders; /* why it matters: who refuses it */
    const char *fix;     /* what to do; or NULL */
};

/* The row of the fault; static. */
const struct fault_rule *fault_rule(enum fault fault);

/* "dns", "connect" …; static. */
const char *stage_text(enum stage stage);

#endif
