/*
 * What a change of the configuration means to senders that hold what was served
 * before (policy/promise.h): findings with their reason and what to do. It reads
 * no file; the history comes from load/history.h. Runs in the loader and in
 * commands.
 */
#ifndef LOAD_LIFE_H
#define LOAD_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "load/history.h"
#include "policy/policy.h"
#include "site/site.h"

struct life {
    struct history *history; /* settled; or NULL: nothing is judged */
    int64_t now;             /* as the history was settled */
    uint32_t ttl;            /* of the TXT records as configured; 0: not known */
    size_t tested_long;      /* domains so far that are in testing for more than a month */
    size_t findings;         /* domains so far with an error or a warning */
};

/* Judges the policy that is configured for the domain. False when it must not be served: its id has named
 * other bytes before, which is reported as DIAG_ERROR; the rest is advice. */
bool life_judge(struct life *life, const char *domain, const struct policy *policy,
                struct position at, struct diag *diag);

/* Reports the domains that are not configured any more while senders hold an enforced policy of them. */
void life_judge_gone(struct life *life, const struct site *site, struct position at,
                     struct diag *diag);

#endif
