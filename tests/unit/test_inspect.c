/* Policies that somebody else wrote: what is found in them, where, and what they are taken for. */
#include "inspect/inspect.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/text.h"
#include "unit.h"

#define GOOD_BODY "version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 1209600\r\n"

/* The findings as "LINE:COLUMN CODE", a decision with "!", joined by commas. */
static void print_findings(const struct inspection *inspection, struct text *out)
{
    for (size_t i = 0; i < inspection->count; i++) {
        const struct inspect_finding *finding = &inspection->findings[i];
        text_printf(out, "%s%u:%u %s%s", i == 0 ? "" : ", ", finding->at.line, finding->at.column,
                    finding->rule->code,
                    (finding->rule->flags & FINDING_NEEDS_DECISION) != 0 ? "!" : "");
    }
}

/* What would be written for the fields, or "refused". Every mistake of ours shows here: the two
 * modules must agree on what is valid. */
static void print_policy(const struct inspection *inspection, struct text *out)
{
    struct diag *diag = diag_new();
    const struct policy_fields fields = inspection->fields;
    struct policy *policy = policy_new(&fields, diag);
    assert_int_equal(policy == NULL, inspection->needs_decision);
    if (policy != NULL)
        text_append(out, policy_body(policy));
    else
        text_append(out, span_of("refused"));
    policy_free(policy);
    diag_free(diag);
}

static void judge(struct span bytes, struct text *findings, struct text *policy)
{
    struct span guarded = guard_copy(bytes);
    struct inspection *inspection = inspection_new(guarded, "f");
    assert_non_null(inspection);
    print_findings(inspection, findings);
    print_policy(inspection, policy);
    inspection_free(inspection);
    guard_free(guarded);
}

static void check(const char *bytes, size_t len, const char *findings, const char *policy)
{
    struct text found = {0}, written = {0};
    judge((struct span){bytes, len}, &found, &written);
    assert_string_equal(found.data == NULL ? "" : found.data, findings);
    assert_string_equal(written.data, policy);
    text_free(&found);
    text_free(&written);
}

static void finds_and_mends(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *findings;
    } rows[] = {
        {GOOD_BODY, ""},
        {"\xef\xbb\xbf" GOOD_BODY, "1:1 byte-order-mark"},
        {"version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 1209600\n", "1:15 lf"},
        {"version: STSv1\r\nmode: enforce\nmx: a.example\r\nmax_age: 1209600\r\n",
         "2:14 mixed-line-ends"},
        {"version: STSv1\rmode: enforce\r\nmx: a.example\r\nmax_age: 1209600\r\n", "1:15 lone-cr"},
        {"version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 1209600",
         "4:17 no-last-line-end"},
        {GOOD_BODY "\r\n", "5:1 blank-line"},
        {GOOD_BODY "\r\n \t\r\n\r\n", "5:1 blank-line"},
        {"\r\n" GOOD_BODY, "1:1 leading-blank-line"},
        {"# mine\r\n" GOOD_BODY, "1:1 comment"},
        {"version: STSv1 \r\nmode: enforce\t\r\nmx: a.example\r\nmax_age: 1209600\r\n",
         "1:15 trailing-space, 2:14 trailing-space"},
        {"version: STSv1\r\nmode: enforce\xc2\xa0\r\nmx:\xc2\xa0"
         "a.example\r\nmax_age: 12\xe2\x80\x8b"
         "09600\xa0\r\n",
         "2:14 blank-character, 2:14 trailing-space, 3:4 blank-character, 4:12 blank-character, "
         "4:17 trailing-space"},
        {" version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 1209600\r\n",
         "1:1 leading-space"},
        {"version : STSv1\r\nmode:enforce\r\nmx:  a.example\r\nmax_age:\t1209600\r\n",
         "1:9 space-before-colon, 2:6 no-space, 3:4 other-space, 4:9 other-space"},
        {"Version: STSV1\r\nmode: Enforce\r\nMX: A.Example\r\nmax_age: 1209600\r\n",
         "1:1 key-case, 1:10 version-case, 2:7 mode-case, 3:1 key-case, 3:5 mx-case"},
        {"version: STSv2\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 1209600\r\n",
         "1:10 version-other"},
        {"mode: enforce\r\nmx: a.example\r\nmax_age: 1209600\r\n", "1:1 version-missing"},
        {"version: STSv1\r\nmode: enforce\r\nmax_age: 1209600\r\nmx: a.example\r\n", "4:1 order"},
        {GOOD_BODY "comment: hello\r\n", "5:1 key-unknown"},
        {GOOD_BODY "mode: enforce\r\n", "5:1 mode-twice"},
        {GOOD_BODY "max_age: 1209600\r\nversion: STSv2\r\n", "5:1 key-twice, 6:1 key-twice"},
        {"version: STSv1\r\nmode: enforce\r\nmx: a.example.\r\nmx: A.EXAMPLE:25\r\n"
         "max_age: 01209600\r\n",
         "3:5 mx-mended, 4:5 mx-mended, 4:5 mx-twice, 5:10 max-age-zeros"},
        {"version: STSv1\r\nmode: enforce\r\nmx: a.example, A.example\r\nmx:\r\nmax_age: 2w\r\n",
         "3:5 mx-several, 3:16 mx-case, 3:16 mx-twice, 4:4 no-space, 4:4 mx-empty, "
         "5:10 max-age-unit"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check(rows[i].bytes, strlen(rows[i].bytes), rows[i].findings, GOOD_BODY);
}

static void bounds_max_age(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *max_age, *findings, *written;
    } rows[] = {
        {"testing", "0", "4:10 max-age-zero", "86400"},
        {"testing", "000", "4:10 max-age-zeros, 4:10 max-age-zero", "86400"},
        {"testing", "86399", "4:10 max-age-below", "86400"},
        {"testing", "86400", "", "86400"},
        {"testing", "31557600", "", "31557600"},
        {"testing", "31557601", "4:10 max-age-above", "31557600"},
        {"none", "99999999999999999999999", "4:10 max-age-above", "31557600"},
        {"enforce", "604799", "4:10 max-age-short", "604799"},
        {"enforce", "3600", "4:10 max-age-below, 4:10 max-age-short", "86400"},
        {"none", "1h", "4:10 max-age-unit, 4:10 max-age-below", "86400"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char bytes[200], written[200];
        (void)snprintf(bytes, sizeof(bytes),
                       "version: STSv1\r\nmode: %s\r\nmx: a.example\r\nmax_age: %s\r\n",
                       rows[i].mode, rows[i].max_age);
        (void)snprintf(written, sizeof(written),
                       "version: STSv1\r\nmode: %s\r\nmx: a.example\r\nmax_age: %s\r\n",
                       rows[i].mode, rows[i].written);
        check(bytes, strlen(bytes), rows[i].findings, written);
    }
}

static void asks_for_decisions(void **state)
{
    (void)state;
#define HEAD "version: STSv1\r\nmode: enforce\r\n"
#define TAIL "max_age: 1209600\r\n"
    static const struct {
        const char *bytes, *findings;
    } rows[] = {
        {"", "1:1 empty!"},
        {" \r\n\t\n", "1:1 empty!"},
        {"\xef\xbb\xbf", "1:1 byte-order-mark, 1:1 empty!"},
        {"\n<!DOCTYPE html>\n", "1:1 web-page!"},
        {"\xff\xfev", "1:1 utf-16!"},
        {"version: STSv1 mode: enforce mx: a.example max_age: 1209600\r\n", "1:16 line-end-lost!"},
        {"version: STSv1mode: enforceMX: a.examplemax_age: 1209600\r\n",
         "1:15 line-end-lost!, 1:28 key-case"},
        {"version: STSv1\\nmode: enforce\\r\\nmx: a.example\\nmax_age: 1209600\\n\r\n",
         "1:17 line-end-lost!"},
        {HEAD "mx: a.example mx: b.example\r\n" TAIL, "3:15 line-end-lost!"},
        {HEAD "mx: a.example\r\n" TAIL "comment: mode: none\r\nmx\r\n",
         "5:1 key-unknown, 6:1 no-colon!"},
        {HEAD "mx a.example\r\nmx: a.example\r\n" TAIL, "3:1 no-colon!"},
        {HEAD "mxs: b.example\r\nmx: a.example\r\n" TAIL, "3:1 key-misspelt!"},
        {HEAD "mx: a.example\r\n" TAIL "mode: none\r\nmax_age: 86400\r\n",
         "5:1 mode-contradiction!, 6:1 key-contradiction!"},
        {"version: STSv1\r\nmode: on\r\nmx: a.example\r\n" TAIL, "2:7 mode-unknown!"},
        {"version: STSv1\r\nmx: a.example\r\n" TAIL, "1:1 mode-missing!"},
        {HEAD "mx: a.example\r\n", "1:1 max-age-missing!"},
        {HEAD "mx: a.example\r\nmax_age: 604,800\r\n", "4:10 max-age-form!"},
        {HEAD "mx: a.example\r\nmax_age: \r\n",
         "4:9 trailing-space, 4:9 no-space, 4:9 max-age-form!"},
        {"version: STSv1\r\nmode: none\r\n" TAIL, "1:1 mx-missing!"},
        {HEAD "mx: \r\n" TAIL, "3:4 trailing-space, 3:4 no-space, 3:4 mx-empty, 1:1 mx-missing!"},
        {HEAD "mx: 192.0.2.1\r\nmx: a_b.example\r\nmx: *\r\n" TAIL,
         "3:5 mx-invalid!, 4:5 mx-invalid!, 5:5 mx-invalid!"},
        {HEAD "mx: a.example (primary)\r\n" TAIL, "3:5 mx-invalid!"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check(rows[i].bytes, strlen(rows[i].bytes), rows[i].findings, "refused");
    check("v\0e\0", 4, "1:1 utf-16!", "refused");
}

/* Only what is written counts for a decision, and what is served for the senders. */
static void judges_the_size(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *finding;
    } rows[] = {
        {LIMIT_BODY_ADVISED, NULL},    {LIMIT_BODY_ADVISED + 1, "large-advised"},
        {LIMIT_BODY, "large-advised"}, {LIMIT_BODY + 1, "large"},
        {LIMIT_BODY_MOST, "large"},    {LIMIT_BODY_MOST + 1, "large-most"},
    };
    static char bytes[LIMIT_BODY_MOST + 1];
    for (size_t i = 0; i < COUNT(rows); i++) {
        memset(bytes, '#', rows[i].len);
        memcpy(bytes, GOOD_BODY, strlen(GOOD_BODY));
        memcpy(bytes + rows[i].len - 2, "\r\n", 2);
        char findings[100] = "5:1 comment";
        if (rows[i].finding != NULL)
            (void)snprintf(findings, sizeof(findings), "5:1 comment, 1:1 %s", rows[i].finding);
        check(bytes, rows[i].len, findings, GOOD_BODY);
    }
    struct text long_body = {0}, found = {0}, written = {0};
    text_append(&long_body, span_of("version: STSv1\r\nmode: none\r\n"));
    for (int i = 0; i < 700; i++)
        text_printf(&long_body, "mx: m%d.example\r\n", i);
    text_append(&long_body, span_of("max_age: 86400\r\n"));
    judge((struct span){long_body.data, long_body.len}, &found, &written);
    assert_string_equal(found.data, "1:1 large-written!");
    text_free(&long_body);
    text_free(&found);
    text_free(&written);
}

static void names_senders_and_fixes(void **state)
{
    (void)state;
    static const char bytes[] = "version: STSv1\nmode: enforce\nmx: b\xc3\xbc"
                                "cher.example\nmx: a_b.example\nmax_age: 1d\n\n";
    static const char told[] =
        "f:1:15: warning: the lines end with LF instead of CRLF\n"
        "    why: no sender refuses it, but MailPolicyExplainer and two testers complain\n"
        "    fix: end every line with CRLF\n"
        "f:3:5: error: mx \"b\\xc3\\xbccher.example\" has letters beyond ASCII (a U-label)\n"
        "    why: mox, danmarg, postfix-tlspol, Mail::STS, postfix-mta-sts-resolver and aykevl "
        "refuse it\n"
        "    fix: write xn--bcher-kva.example\n"
        "f:4:5: error: mx \"a_b.example\" has an underscore, which no host name has\n"
        "    why: 3 to 6 of 14 senders refuse the policy\n"
        "    fix: write the host name that the MX record points to, or leave out the line\n"
        "f:5:10: error: max_age \"1d\" has a unit\n"
        "    why: RFC 8461 section 3.2 allows digits only\n"
        "    fix: write 86400\n"
        "f:5:10: warning: max_age \"86400\" is short for an enforced policy\n"
        "    why: mimecast raises it to a week, NCSC and aykevl warn\n"
        "    fix: write 1209600 (two weeks) or more once the policy has proven itself\n"
        "f:6:1: error: there is a blank line\n"
        "    why: mox, foxcpp and postfix-tlspol refuse the policy\n"
        "    fix: leave it out\n";
    struct diag *diag = diag_new();
    struct text out = {0};
    struct inspection *inspection = inspection_new(span_of(bytes), diag_intern(diag, span_of("f")));
    assert_int_equal(inspection->level, DIAG_ERROR);
    inspection_report(inspection, false, diag);
    diag_print(diag, DIAG_NOTE, &out);
    assert_string_equal(out.data, told);
    struct diag *mended = diag_new();
    inspection_report(inspection, true, mended);
    assert_int_equal(diag_count(mended, DIAG_ERROR), 1);
    assert_int_equal(diag_count(mended, DIAG_WARNING), 5);
    inspection_free(inspection);
    diag_free(mended);
    diag_free(diag);
    text_free(&out);
}

/* What fills the list does not hide that a decision is needed. */
static void keeps_the_first_decision(void **state)
{
    (void)state;
    struct text bytes = {0};
    for (int i = 0; i < 3 * LIMIT_FINDINGS; i++)
        text_append(&bytes, span_of("# comment\r\n"));
    text_append(&bytes, span_of("mode: on\r\nmode: off\r\n"));
    struct inspection *inspection = inspection_new((struct span){bytes.data, bytes.len}, NULL);
    assert_int_equal(inspection->count, LIMIT_FINDINGS + 1);
    const struct inspect_finding *last = &inspection->findings[LIMIT_FINDINGS];
    assert_string_equal(last->rule->code, "mode-unknown");
    inspection_free(inspection);
    text_free(&bytes);
}

/* A generator that is the same everywhere. */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Whatever the bytes are: no finding means that they are those which policy_new writes, what
 * policy_new writes has no finding, and only a decision keeps it from writing (print_policy). */
static void agrees_with_the_constructor(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "version: STSv1\r\n",
        "mode: enforce\r\n",
        "mode: testing\r\n",
        "mx: a.example\r\n",
        "mx: *.b.example\r\n",
        "max_age: 1209600\r\n",
        "max_age: 60\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        ":",
        "mx: A.example.\r\n",
        "#",
        "x: y\r\n",
        "\xc3\xbc",
        "0",
        ",",
        "mx: a.example,b.example\r\n",
        "mod: e\r\n",
        "mx: 1.2.3.4\r\n",
        "MODE: Testing\r\n",
        "\xef\xbb\xbf",
        "\t",
    };
    uint32_t random = 8461;
    size_t sound = 0, mended = 0;
    for (int round = 0; round < 20000; round++) {
        struct text bytes = {0}, found = {0}, written = {0}, again = {0}, same = {0};
        text_append(&bytes, span_of(round % 2 == 0 ? "" : GOOD_BODY));
        for (uint32_t i = next_random(&random) % 6; i > 0; i--)
            text_append(&bytes, span_of(pieces[next_random(&random) % COUNT(pieces)]));
        if (bytes.len > 0 && round % 3 == 0)
            bytes.data[next_random(&random) % bytes.len] = (char)next_random(&random);
        struct span span = {bytes.data, bytes.len};
        judge(span, &found, &written);
        struct span body = {written.data, written.len};
        if (found.len == 0) {
            sound++;
            assert_true(span_equal(span, body));
        } else if (!span_equal(body, span_of("refused"))) {
            mended++;
            judge(body, &again, &same);
            assert_true(again.len == 0 || strstr(again.data, "max-age-short") != NULL);
            assert_true(span_equal(body, (struct span){same.data, same.len}));
        }
        text_free(&bytes);
        text_free(&found);
        text_free(&written);
        text_free(&again);
        text_free(&same);
    }
    assert_true(sound > 100 && mended > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_and_mends),
        cmocka_unit_test(bounds_max_age),
        cmocka_unit_test(asks_for_decisions),
        cmocka_unit_test(judges_the_size),
        cmocka_unit_test(names_senders_and_fixes),
        cmocka_unit_test(keeps_the_first_decision),
        cmocka_unit_test(agrees_with_the_constructor),
    };
    return cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
}
