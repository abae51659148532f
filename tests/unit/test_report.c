/* Reports: equal findings are one, and none that is grave is lost. */
#include "probe/report.h"

#include <stdlib.h>

#include "unit.h"

static struct report *new_report(void)
{
    struct report *report = malloc(sizeof(*report));
    assert_non_null(report);
    report_begin(report, "example.com");
    report->visit_count = 3;
    return report;
}

/* Adds a fault of the addresses with these bits. */
#define add(report, bits, ...) ((report)->visiting = (bits), report_add(report, __VA_ARGS__))

static void equal_findings_are_one(void **state)
{
    (void)state;
    struct report *report = new_report();
    add(report, 1, FAULT_REFUSED, "the connection is refused");
    add(report, 4, FAULT_REFUSED, "the connection is refused");
    add(report, 2, FAULT_REFUSED, "the connection is %s", "reset");
    add(report, 0, FAULT_REFUSED, "the connection is refused");
    assert_int_equal(report->finding_count, 3);
    assert_int_equal(report->findings[0].visits, 5);
    assert_int_equal(report->findings[1].visits, 2);
    assert_int_equal(report->findings[2].visits, 0);
    free(report);
}

/* A fault of a policy that several addresses serve is told once. */
static void equal_findings_of_a_policy_are_one(void **state)
{
    (void)state;
    struct report *report = new_report();
    const struct report_finding finding = {
        .code = "blank-line",
        .stage = STAGE_POLICY,
        .level = DIAG_ERROR,
        .line = 5,
        .column = 1,
        .message = "there is a blank line",
    };
    struct report_finding other = finding;
    other.line = 6;
    report->visiting = 1;
    report_add_finding(report, &finding);
    report->visiting = 1;
    report_add_finding(report, &other);
    report->visiting = 2;
    report_add_finding(report, &finding);
    assert_int_equal(report->finding_count, 2);
    assert_int_equal(report->findings[0].visits, 3);
    assert_int_equal(report->findings[1].visits, 1);
    free(report);
}

static void gravest_of_a_stage_is_found(void **state)
{
    (void)state;
    struct report *report = new_report();
    const struct report_visit *visit = &report->visits[1];
    assert_null(report_gravest(report, visit, STAGE_CERTIFICATE));
    assert_int_equal(report_level(report), DIAG_NOTE);
    add(report, 2, FAULT_CERTIFICATE_ENDS_SOON, "soon");
    assert_int_equal(report_level(report), DIAG_WARNING);
    add(report, 1, FAULT_CERTIFICATE_EXPIRED, "over");
    assert_string_equal(report_gravest(report, visit, STAGE_CERTIFICATE)->message, "soon");
    add(report, 2, FAULT_CERTIFICATE_NAME, "other");
    assert_string_equal(report_gravest(report, visit, STAGE_CERTIFICATE)->message, "other");
    assert_null(report_gravest(report, visit, STAGE_TLS));
    assert_int_equal(report_level(report), DIAG_ERROR);
    free(report);
}

static void grave_findings_displace_others(void **state)
{
    (void)state;
    struct report *report = new_report();
    for (int i = 0; i < LIMIT_PROBE_FINDINGS + 10; i++)
        add(report, 0, FAULT_RECORD_ID, "warning %d", i);
    assert_int_equal(report->finding_count, LIMIT_PROBE_FINDINGS);
    assert_int_equal(report->lost, 10);
    add(report, 0, FAULT_RECORD_MISSING, "error");
    assert_int_equal(report->lost, 11);
    assert_int_equal(report_level(report), DIAG_ERROR);
    assert_string_equal(report->findings[0].message, "warning 0");
    for (int i = 0; i < LIMIT_PROBE_FINDINGS + 10; i++)
        add(report, 0, FAULT_RECORD_MISSING, "error %d", i);
    assert_string_equal(report_gravest(report, NULL, STAGE_DNS)->code, "record-missing");
    free(report);
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    struct report *report = new_report();
    add(report, 0, FAULT_REDIRECT, "%2000s", "x");
    assert_int_equal(strlen(report->findings[0].message), REPORT_TEXT - 1);
    free(report);
}

/* The table of faults: every row has its place, and codes are words of their own. */
static void faults_are_a_table(void **state)
{
    (void)state;
    for (int fault = 0; fault <= FAULT_INTERNAL; fault++) {
        const struct fault_rule *rule = &fault_rules[fault];
        assert_non_null(rule->senders);
        assert_true(rule->level != DIAG_FATAL);
        for (const char *byte = rule->code; *byte != '\0'; byte++)
            assert_true(ascii_is_alpha(*byte) || ascii_is_digit(*byte) || *byte == '-' ||
                        *byte == '.');
    }
}

/* What senders refuse is as grave as the policy is; what only this program does not know is none. */
static void mode_decides_how_grave_a_fault_of_an_mx_is(void **state)
{
    static const struct {
        enum fault fault;
        enum diag_level levels[3]; /* enforce, testing, none */
        const char *senders, *fix;
    } cases[] = {
        {FAULT_STARTTLS_MISSING,
         {DIAG_ERROR, DIAG_WARNING, DIAG_NOTE},
         "deliver to",
         "switch on TLS"},
        {FAULT_CERTIFICATE_NAME,
         {DIAG_ERROR, DIAG_WARNING, DIAG_NOTE},
         "deliver to",
         "this very name"},
        {FAULT_CERTIFICATE_ENDS_SOON, {DIAG_WARNING, DIAG_WARNING, DIAG_NOTE}, "after that", "new"},
        {FAULT_REFUSED,
         {DIAG_WARNING, DIAG_WARNING, DIAG_NOTE},
         "nothing is known",
         "block port 25"},
        {FAULT_NOT_ASKED, {DIAG_WARNING, DIAG_WARNING, DIAG_NOTE}, "nothing is known", "--timeout"},
        {FAULT_DNS_SERVFAIL, {DIAG_WARNING, DIAG_WARNING, DIAG_NOTE}, "nothing is known", "DNSSEC"},
        {FAULT_TLS_SUITES, {DIAG_WARNING, DIAG_WARNING, DIAG_NOTE}, "nothing is known", "ECDHE"},
        {FAULT_NO_ROUTE, {DIAG_NOTE, DIAG_NOTE, DIAG_NOTE}, "this machine has no address", ""},
        {FAULT_INTERNAL, {DIAG_ERROR, DIAG_ERROR, DIAG_ERROR}, "nothing is known", "try again"},
    };
    static const enum diag_level modes[] = {DIAG_ERROR, DIAG_WARNING, DIAG_NOTE};
    (void)state;
    for (size_t i = 0; i < 3 * (sizeof(cases) / sizeof(cases[0])); i++) {
        struct report *report = new_report();
        report->is_mx = true;
        report->mx_level = modes[i % 3];
        add(report, 1, cases[i / 3].fault, "x");
        const struct report_finding *found = &report->findings[0];
        assert_int_equal(found->level, cases[i / 3].levels[i % 3]);
        assert_non_null(strstr(found->senders, cases[i / 3].senders));
        assert_non_null(strstr(found->fix, cases[i / 3].fix));
        free(report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_findings_are_one),
        cmocka_unit_test(equal_findings_of_a_policy_are_one),
        cmocka_unit_test(gravest_of_a_stage_is_found),
        cmocka_unit_test(grave_findings_displace_others),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(faults_are_a_table),
        cmocka_unit_test(mode_decides_how_grave_a_fault_of_an_mx_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
