/*
 * Reads the bytes of a policy that somebody else wrote, such as an old file or
 * what a server sent: leniently, so that what was meant is found, and strictly,
 * so that nothing is missed that a sender would refuse. What is found is told against every rule, in the order of the
 * file; no finding at all means that the bytes are those that policy_new would
 * make of the fields. Pure: no file, socket or clock.
 */
#ifndef INSPECT_INSPECT_H
#define INSPECT_INSPECT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "base/span.h"
#include "policy/policy.h"

/* What a rule says beside its level. */
enum {
    FINDING_NEEDS_DECISION = 1,  /* only the operator knows what is right */
    FINDING_CHANGES_MEANING = 2, /* once mended, the policy is another one for some sender that
                                    accepted it */
    FINDING_IS_ADVICE = 4,       /* to write the policy again changes nothing about it */
};

/* What can be wrong with the bytes of a policy. */
enum finding_kind {
#define FINDING(name, ...) FINDING_##name,
#include "inspect/findings.h"
#undef FINDING
};

struct finding_rule {
    const char *code; /* for programs; never changes: "blank-line" */
    /* DIAG_ERROR: at least one sender refuses the policy, or misreads it;
     * DIAG_WARNING: testers complain, or it is not wise; DIAG_NOTE: no sender is
     * known to mind. */
    enum diag_level level;
    unsigned flags;
    const char *text;    /* the fault, as the beginning of a sentence */
    const char *senders; /* why it matters: who refuses it; or NULL */
    const char *fix;     /* what to write instead; or NULL */
};

/* Every text is borrowed from the inspection; what stood in the bytes is
 * escaped in it. */
struct inspect_finding {
    const struct finding_rule *rule; /* static */
    struct position at;              /* line and column count from 1 */
    const char *message;             /* one sentence without a full stop */
    const char *senders;             /* why it matters: who refuses it; or NULL */
    const char *fix;                 /* what to write instead; or NULL */
};

/* What was found. It is changed by nobody once it is there. */
struct inspection {
    struct inspect_finding *findings; /* in the order in which they were found; owned */
    size_t count;
    enum diag_level level; /* of the gravest; DIAG_NOTE when there is none */
    /* One of the findings can only be mended by the operator. Exactly when none
   * is, policy_new makes a policy of the fields. */
    bool needs_decision;
    /* policy_new makes a policy of the fields that means something else than the
   * bytes did to any sender that took them: then the id has to change. */
    bool changes_meaning;
    /* What the bytes mean: mended where that is sure, else as it was written.
   * Borrowed from here. */
    struct policy_fields fields;
};

/* Inspects the bytes, of any length and content, which must live as long as the
 * inspection. file is for the positions, borrowed as long; it may be NULL.
 * LIMIT_FINDINGS are kept, and the first decision always. Owned. */
struct inspection *inspection_new(struct span bytes, const char *file);
void inspection_free(struct inspection *inspection);

/* Adds every finding to diag, with its reason and its fix. For bytes that are
 * going to be written anew (mended) only what needs a decision is
 * DIAG_ERROR, what else would be is DIAG_WARNING, and the fix says that it is
 * done; for bytes that are served the levels are those of the rules. */
void inspection_report(const struct inspection *inspection, bool mended, struct diag *diag);

#endif
