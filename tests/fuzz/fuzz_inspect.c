/*
 * Any bytes as a policy that somebody else wrote: every finding has a place in
 * them and words that cannot move a cursor; without a finding they are what
 * policy_new renders; and policy_new takes the fields exactly when no decision
 * is needed, and what it renders is not mended any more.
 */
#include <assert.h>

#include "base/limits.h"
#include "fuzz.h"
#include "inspect/inspect.h"

static void check_words(const char *words)
{
    for (; words != NULL && *words != '\0'; words++)
        assert((unsigned char)*words >= 0x20 && (unsigned char)*words < 0x7f);
}

static void check_findings(const struct inspection *inspection, struct span bytes)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < bytes.len; i++)
        lines += bytes.data[i] == '\n' || bytes.data[i] == '\r' ? 1 : 0;
    assert(inspection->count <= LIMIT_FINDINGS + 1);
    for (size_t i = 0; i < inspection->count; i++) {
        const struct inspect_finding *finding = &inspection->findings[i];
        assert(finding->at.line >= 1 && finding->at.line <= lines);
        assert(finding->at.column >= 1 && finding->at.column <= bytes.len + 1);
        check_words(finding->message);
        check_words(finding->senders);
        check_words(finding->fix);
    }
}

/* What is written is the same when it is read again; all that can be said of it is advice. */
static void check_written(struct span body)
{
    struct diag *diag = diag_new();
    struct inspection *inspection = inspection_new(body, NULL);
    assert(diag != NULL && inspection != NULL);
    for (size_t i = 0; i < inspection->count; i++)
        assert((inspection->findings[i].rule->flags & FINDING_IS_ADVICE) != 0);
    const struct policy_fields fields = inspection->fields;
    struct policy *policy = policy_new(&fields, diag);
    assert(policy != NULL && span_equal(policy_body(policy), body));
    policy_free(policy);
    inspection_free(inspection);
    diag_free(diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = {(const char *)data, size};
    struct diag *diag = diag_new();
    struct inspection *inspection = inspection_new(bytes, "f");
    assert(diag != NULL && inspection != NULL);
    check_findings(inspection, bytes);
    const struct policy_fields fields = inspection->fields;
    struct policy *policy = policy_new(&fields, diag);
    assert((policy == NULL) == inspection->needs_decision);
    if (policy != NULL) {
        check_written(policy_body(policy));
        if (inspection->count == 0)
            assert(span_equal(policy_body(policy), bytes));
    }
    policy_free(policy);
    inspection_free(inspection);
    diag_free(diag);
    return 0;
}
