#include "policy/finding.h"

#include <assert.h>
#include <stddef.h>

static const char RFC_FORM[] = "no sender is known to refuse it, but only the form of RFC 8461 is "
                               "known to be accepted by all";
static const char OTHER_CASE[] = "12 or 13 of 14 senders refuse the policy";

static const struct finding_rule rules[] = {
    {FINDING_EMPTY, "empty", FINDING_REFUSAL, true, "there is nothing in it",
     "every sender treats the domain as one without a policy", "write a policy"},
    {FINDING_WEB_PAGE, "web-page", FINDING_REFUSAL, true, "this is a web page, not a policy",
     "no sender finds a policy in it", "see why the server answers with a page"},
    {FINDING_UTF16, "utf-16", FINDING_REFUSAL, true, "this is UTF-16, not ASCII",
     "no sender can read it", "save it as ASCII"},
    {FINDING_BYTE_ORDER_MARK, "byte-order-mark", FINDING_REFUSAL, false,
     "there is a byte order mark at the beginning", "11 of 14 senders refuse the policy",
     "leave out the first three bytes"},
    {FINDING_LF, "lf", FINDING_WARNING, false, "the lines end with LF instead of CRLF",
     "no sender refuses it, but MailPolicyExplainer and two testers complain",
     "end every line with CRLF"},
    {FINDING_MIXED_LINE_ENDS, "mixed-line-ends", FINDING_REFUSAL, false,
     "some lines end with LF, others with CRLF", "checkdmarc refuses the policy",
     "end every line with CRLF"},
    {FINDING_LONE_CR, "lone-cr", FINDING_REFUSAL, false, "a line ends with a lone CR",
     "12 of 14 senders refuse the policy", "end every line with CRLF"},
    {FINDING_NO_LAST_LINE_END, "no-last-line-end", FINDING_NOTE, false,
     "the last line has no line end", RFC_FORM, "end the last line with CRLF too"},
    {FINDING_BLANK_LINE, "blank-line", FINDING_REFUSAL, false, "there is a blank line",
     "mox, foxcpp and postfix-tlspol refuse the policy", "leave it out"},
    {FINDING_LEADING_BLANK_LINE, "leading-blank-line", FINDING_REFUSAL, false,
     "there is a blank line at the beginning",
     "mox, foxcpp and postfix-tlspol refuse the policy, and Mail::STS reads \"mode: none\"",
     "leave it out"},
    {FINDING_COMMENT, "comment", FINDING_REFUSAL, false, "there is a comment",
     "7 of 14 senders refuse the policy", "leave it out"},
    {FINDING_NO_COLON, "no-colon", FINDING_REFUSAL, true, "there is no colon in the line",
     "a line must be a key, a colon and a value (RFC 8461 section 3.2)",
     "write what was meant, or leave it out"},
    {FINDING_LINE_END_LOST, "line-end-lost", FINDING_REFUSAL, true,
     "the line end before this key is lost",
     "a line has one key (RFC 8461 section 3.2); no sender finds the others",
     "write version, mode, each mx and max_age in a line of its own"},
    {FINDING_BLANK, "blank-character", FINDING_REFUSAL, false, "there is an invisible character:",
     "RFC 8461 section 3.2 allows ASCII only", "write a space, or leave it out"},
    {FINDING_LEADING_SPACE, "leading-space", FINDING_REFUSAL, false,
     "there is space before the key", "6 of 14 senders refuse the policy",
     "begin the line with the key"},
    {FINDING_TRAILING_SPACE, "trailing-space", FINDING_REFUSAL, false,
     "there is space at the end of the line", "Mail::STS refuses the policy", "leave it out"},
    {FINDING_SPACE_BEFORE_COLON, "space-before-colon", FINDING_REFUSAL, false,
     "there is space before the colon", "5 of 14 senders refuse the policy", "leave it out"},
    {FINDING_NO_SPACE, "no-space", FINDING_REFUSAL, false, "there is no space after the colon",
     "Mail::STS refuses the policy", "write one space"},
    {FINDING_OTHER_SPACE, "other-space", FINDING_NOTE, false,
     "there is something other than one space after the colon", RFC_FORM, "write one space"},
    {FINDING_KEY_CASE, "key-case", FINDING_REFUSAL, false, "another case in the key", OTHER_CASE,
     "write it in lower case"},
    {FINDING_KEY_UNKNOWN, "key-unknown", FINDING_REFUSAL, false, "unknown key",
     "danmarg, Mail::STS, checkdmarc and NCSC refuse the policy", "leave out the line"},
    {FINDING_KEY_MISSPELT, "key-misspelt", FINDING_REFUSAL, true, "unknown key",
     "danmarg, Mail::STS, checkdmarc and NCSC refuse the policy, the others do without the line",
     NULL},
    {FINDING_KEY_TWICE, "key-twice", FINDING_WARNING, false,
     "there for the second time:", "senders read it in different ways", "leave out the line"},
    {FINDING_KEY_CONTRADICTION, "key-contradiction", FINDING_REFUSAL, true,
     "there for the second time, with another value:", "senders read it in different ways",
     "leave out one of them"},
    {FINDING_MODE_TWICE, "mode-twice", FINDING_REFUSAL, false, "there for the second time:",
     "checkdmarc and KumoMTA refuse the policy", "leave out the line"},
    {FINDING_MODE_CONTRADICTION, "mode-contradiction", FINDING_REFUSAL, true,
     "there for the second time, with another value:",
     "checkdmarc and KumoMTA refuse the policy, of the others some take the first and some the last",
     "leave out one of them"},
    {FINDING_ORDER, "order", FINDING_NOTE, false,
     "not in the order version, mode, mx, max_age:", RFC_FORM, "write them in this order"},
    {FINDING_VERSION_MISSING, "version-missing", FINDING_REFUSAL, false, "there is no version",
     "RFC 8461 section 3.2 requires it", "begin with \"version: STSv1\""},
    {FINDING_VERSION_CASE, "version-case", FINDING_REFUSAL, false, "another case in the version",
     OTHER_CASE, "write STSv1"},
    {FINDING_VERSION_OTHER, "version-other", FINDING_REFUSAL, false, "unknown version",
     "RFC 8461 section 3.2 knows only STSv1", "write STSv1"},
    {FINDING_MODE_MISSING, "mode-missing", FINDING_REFUSAL, true, "there is no mode",
     "RFC 8461 section 3.2 requires it", "write enforce, testing or none"},
    {FINDING_MODE_CASE, "mode-case", FINDING_REFUSAL, false, "another case in the mode", OTHER_CASE,
     "write it in lower case"},
    {FINDING_MODE_UNKNOWN, "mode-unknown", FINDING_REFUSAL, true, "unknown mode",
     "every sender refuses the policy (RFC 8461 section 3.2)", "write enforce, testing or none"},
    {FINDING_MAX_AGE_MISSING, "max-age-missing", FINDING_REFUSAL, true, "there is no max_age",
     "RFC 8461 section 3.2 requires it", "write \"max_age: 1209600\" (two weeks)"},
    {FINDING_MAX_AGE_FORM, "max-age-form", FINDING_REFUSAL, true, "max_age",
     "RFC 8461 section 3.2 allows digits only", "write a number of seconds"},
    {FINDING_MAX_AGE_UNIT, "max-age-unit", FINDING_REFUSAL, false, "max_age",
     "RFC 8461 section 3.2 allows digits only", NULL},
    {FINDING_MAX_AGE_ZEROS, "max-age-zeros", FINDING_NOTE, false, "max_age", RFC_FORM,
     "leave out the zeros"},
    {FINDING_MAX_AGE_ZERO, "max-age-zero", FINDING_REFUSAL, false, "max_age",
     "chasquid, rest-mail, danmarg, aykevl and NCSC refuse the policy",
     "write 86400 (one day), which is the least"},
    {FINDING_MAX_AGE_BELOW, "max-age-below", FINDING_REFUSAL, false, "max_age",
     "aykevl refuses the policy, and Google asks for at least a day",
     "write 86400 (one day), which is the least"},
    {FINDING_MAX_AGE_ABOVE, "max-age-above", FINDING_REFUSAL, false, "max_age",
     "chasquid, rest-mail, mailauth, postfix-mta-sts-resolver and checkdmarc refuse the policy",
     "write 31557600 (one year), which is the most"},
    {FINDING_MAX_AGE_SHORT, "max-age-short", FINDING_WARNING, false, "max_age",
     "mimecast raises it to a week, NCSC and aykevl warn",
     "write 1209600 (two weeks) or more once the policy has proven itself"},
    {FINDING_MX_MISSING, "mx-missing", FINDING_REFUSAL, true, "there is no mx",
     "chasquid, aykevl, Stalwart and NCSC refuse the policy, in every mode",
     "write the hosts of the MX records"},
    {FINDING_MX_EMPTY, "mx-empty", FINDING_REFUSAL, false, "there is an mx without a name",
     "RFC 8461 section 3.2 requires one", "leave out the line"},
    {FINDING_MX_CASE, "mx-case", FINDING_WARNING, false, "mx",
     "mimecast compares upper and lower case", "write it in lower case"},
    {FINDING_MX_TWICE, "mx-twice", FINDING_WARNING, false, "mx", NULL, "leave out the line"},
    {FINDING_MX_SEVERAL, "mx-several", FINDING_REFUSAL, false, "mx",
     "3 to 6 of 14 senders refuse the policy", "write a line \"mx:\" for each"},
    {FINDING_MX_MENDED, "mx-mended", FINDING_REFUSAL, false, "mx", NULL, NULL},
    {FINDING_MX_INVALID, "mx-invalid", FINDING_REFUSAL, true, "mx", NULL,
     "write the host name that the MX record points to, or leave out the line"},
    {FINDING_LARGE_ADVISED, "large-advised", FINDING_WARNING, false, "it is", "aykevl warns",
     "cover several hosts with one \"*.\" pattern"},
    {FINDING_LARGE, "large", FINDING_REFUSAL, false, "it is", "chasquid reads no further",
     "leave out what is no policy"},
    {FINDING_LARGE_MOST, "large-most", FINDING_REFUSAL, false, "it is",
     "most senders refuse the policy", "leave out what is no policy"},
    {FINDING_LARGE_WRITTEN, "large-written", FINDING_REFUSAL, true, "it is",
     "chasquid reads no further", "cover several hosts with one \"*.\" pattern"},
};

const struct finding_rule *finding_rule(enum finding_kind kind)
{
    assert((size_t)kind < sizeof(rules) / sizeof(rules[0]) && rules[kind].kind == kind);
    return &rules[kind];
}

bool finding_is_advice(enum finding_kind kind)
{
    return kind == FINDING_MAX_AGE_SHORT || kind == FINDING_LARGE_ADVISED;
}

bool finding_changes_meaning(enum finding_kind kind)
{
    static const enum finding_kind kinds[] = {
        FINDING_MAX_AGE_UNIT, FINDING_MAX_AGE_ZERO, FINDING_MAX_AGE_BELOW, FINDING_MAX_AGE_ABOVE,
        FINDING_MX_CASE,      FINDING_MX_SEVERAL,   FINDING_MX_MENDED,     FINDING_MODE_CASE,
        FINDING_KEY_CASE,     FINDING_BLANK,
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i] == kind)
            return true;
    return false;
}
