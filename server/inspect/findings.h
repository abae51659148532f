/*
 * The kinds of findings, each as a row of struct finding_rule (inspect/inspect) without the FINDING_ and DIAG_
 * of its names. Include it where FINDING says what to make of a row. The words in capitals are in inspect.c.
 */
FINDING(EMPTY, "empty", ERROR, DECISION, "there is nothing in it",
        "every sender treats the domain as one without a policy", "write a policy")
FINDING(WEB_PAGE, "web-page", ERROR, DECISION, "this is a web page, not a policy",
        "no sender finds a policy in it", "see why the server answers with a page")
FINDING(UTF16, "utf-16", ERROR, DECISION, "this is UTF-16, not ASCII", "no sender can read it",
        "save it as ASCII")
FINDING(BYTE_ORDER_MARK, "byte-order-mark", ERROR, 0, "there is a byte order mark at the beginning",
        "11 of 14 senders refuse the policy", "leave out the first three bytes")
FINDING(LF, "lf", WARNING, 0, "the lines end with LF instead of CRLF",
        "no sender refuses it, but MailPolicyExplainer and two testers complain",
        "end every line with CRLF")
FINDING(MIXED_LINE_ENDS, "mixed-line-ends", ERROR, 0, "some lines end with LF, others with CRLF",
        "checkdmarc refuses the policy", "end every line with CRLF")
FINDING(LONE_CR, "lone-cr", ERROR, 0, "a line ends with a lone CR",
        "12 of 14 senders refuse the policy", "end every line with CRLF")
FINDING(NO_LAST_LINE_END, "no-last-line-end", NOTE, 0, "the last line has no line end", RFC_FORM,
        "end the last line with CRLF too")
FINDING(BLANK_LINE, "blank-line", ERROR, 0, "there is a blank line",
        "mox, foxcpp and postfix-tlspol refuse the policy", "leave it out")
FINDING(LEADING_BLANK_LINE, "leading-blank-line", ERROR, 0,
        "there is a blank line at the beginning",
        "mox, foxcpp and postfix-tlspol refuse the policy, and Mail::STS reads \"mode: none\"",
        "leave it out")
FINDING(COMMENT, "comment", ERROR, 0, "there is a comment", "7 of 14 senders refuse the policy",
        "leave it out")
FINDING(NO_COLON, "no-colon", ERROR, DECISION, "there is no colon in the line",
        "a line must be a key, a colon and a value (RFC 8461 section 3.2)",
        "write what was meant, or leave it out")
FINDING(LINE_END_LOST, "line-end-lost", ERROR, DECISION, "the line end before this key is lost",
        "a line has one key (RFC 8461 section 3.2); no sender finds the others",
        "write version, mode, each mx and max_age in a line of its own")
FINDING(BLANK, "blank-character", ERROR, MEANING,
        "there is an invisible character:", "RFC 8461 section 3.2 allows ASCII only",
        "write a space, or leave it out")
FINDING(LEADING_SPACE, "leading-space", ERROR, 0, "there is space before the key",
        "6 of 14 senders refuse the policy", "begin the line with the key")
FINDING(TRAILING_SPACE, "trailing-space", ERROR, 0, "there is space at the end of the line",
        "Mail::STS refuses the policy", "leave it out")
FINDING(SPACE_BEFORE_COLON, "space-before-colon", ERROR, 0, "there is space before the colon",
        "5 of 14 senders refuse the policy", "leave it out")
FINDING(NO_SPACE, "no-space", ERROR, 0, "there is no space after the colon",
        "Mail::STS refuses the policy", "write one space")
FINDING(OTHER_SPACE, "other-space", NOTE, 0,
        "there is something other than one space after the colon", RFC_FORM, "write one space")
FINDING(KEY_CASE, "key-case", ERROR, MEANING, "another case in the key", OTHER_CASE,
        "write it in lower case")
FINDING(KEY_UNKNOWN, "key-unknown", ERROR, 0, "unknown key",
        "danmarg, Mail::STS, checkdmarc and NCSC refuse the policy", "leave out the line")
FINDING(KEY_MISSPELT, "key-misspelt", ERROR, DECISION, "unknown key",
        "danmarg, Mail::STS, checkdmarc and NCSC refuse the policy, the others do without the line",
        NULL)
FINDING(KEY_TWICE, "key-twice", WARNING, 0, "a second line has the key",
        "senders read it in different ways", "leave out the line")
FINDING(KEY_CONTRADICTION, "key-contradiction", ERROR, DECISION,
        "a second line with another value has the key", "senders read it in different ways",
        "leave out one of them")
FINDING(MODE_TWICE, "mode-twice", ERROR, 0, "a second line has the key",
        "checkdmarc and KumoMTA refuse the policy", "leave out the line")
FINDING(
    MODE_CONTRADICTION, "mode-contradiction", ERROR, DECISION,
    "a second line with another value has the key",
    "checkdmarc and KumoMTA refuse the policy, of the others some take the first and some the last",
    "leave out one of them")
FINDING(ORDER, "order", NOTE, 0, "not in the order version, mode, mx, max_age:", RFC_FORM,
        "write them in this order")
FINDING(VERSION_MISSING, "version-missing", ERROR, 0, "there is no version",
        "RFC 8461 section 3.2 requires it", "begin with \"version: STSv1\"")
FINDING(VERSION_CASE, "version-case", ERROR, 0, "another case in the version", OTHER_CASE,
        "write STSv1")
FINDING(VERSION_OTHER, "version-other", ERROR, 0, "unknown version",
        "RFC 8461 section 3.2 knows only STSv1", "write STSv1")
FINDING(MODE_MISSING, "mode-missing", ERROR, DECISION, "there is no mode",
        "RFC 8461 section 3.2 requires it", "write enforce, testing or none")
FINDING(MODE_CASE, "mode-case", ERROR, MEANING, "another case in the mode", OTHER_CASE,
        "write it in lower case")
FINDING(MODE_UNKNOWN, "mode-unknown", ERROR, DECISION, "unknown mode",
        "every sender refuses the policy (RFC 8461 section 3.2)", "write enforce, testing or none")
FINDING(MAX_AGE_MISSING, "max-age-missing", ERROR, DECISION, "there is no max_age",
        "RFC 8461 section 3.2 requires it", "write \"max_age: 1209600\" (two weeks)")
FINDING(MAX_AGE_FORM, "max-age-form", ERROR, DECISION, "max_age",
        "RFC 8461 section 3.2 allows digits only", "write a number of seconds")
FINDING(MAX_AGE_UNIT, "max-age-unit", ERROR, MEANING, "max_age",
        "RFC 8461 section 3.2 allows digits only", NULL)
FINDING(MAX_AGE_ZEROS, "max-age-zeros", NOTE, 0, "max_age", RFC_FORM, "leave out the zeros")
FINDING(MAX_AGE_ZERO, "max-age-zero", ERROR, MEANING, "max_age",
        "chasquid, rest-mail, danmarg, aykevl and NCSC refuse the policy",
        "write 86400 (one day), which is the least")
FINDING(MAX_AGE_BELOW, "max-age-below", ERROR, MEANING, "max_age",
        "aykevl refuses the policy, and Google asks for at least a day",
        "write 86400 (one day), which is the least")
FINDING(MAX_AGE_ABOVE, "max-age-above", ERROR, MEANING, "max_age",
        "chasquid, rest-mail, mailauth, postfix-mta-sts-resolver and checkdmarc refuse the policy",
        "write 31557600 (one year), which is the most")
FINDING(MAX_AGE_SHORT, "max-age-short", WARNING, ADVICE, "max_age",
        "mimecast raises it to a week, NCSC and aykevl warn",
        "write 1209600 (two weeks) or more once the policy has proven itself")
FINDING(MX_MISSING, "mx-missing", ERROR, DECISION, "there is no mx",
        "chasquid, aykevl, Stalwart and NCSC refuse the policy, in every mode",
        "write the hosts of the MX records")
FINDING(MX_EMPTY, "mx-empty", ERROR, 0, "there is an mx without a name",
        "RFC 8461 section 3.2 requires one", "leave out the line")
FINDING(MX_CASE, "mx-case", WARNING, MEANING, "mx", "mimecast compares upper and lower case",
        "write it in lower case")
FINDING(MX_TWICE, "mx-twice", WARNING, 0, "mx", NULL, "leave out the line")
FINDING(MX_SEVERAL, "mx-several", ERROR, MEANING, "mx", "3 to 6 of 14 senders refuse the policy",
        "write a line \"mx:\" for each")
FINDING(MX_MENDED, "mx-mended", ERROR, MEANING, "mx", NULL, NULL)
FINDING(MX_INVALID, "mx-invalid", ERROR, DECISION, "mx", NULL,
        "write the host name that the MX record points to, or leave out the line")
FINDING(LARGE_ADVISED, "large-advised", WARNING, ADVICE, "it is", "aykevl warns",
        "cover several hosts with one \"*.\" pattern")
FINDING(LARGE, "large", ERROR, 0, "it is", "chasquid reads no further",
        "leave out what is no policy")
FINDING(LARGE_MOST, "large-most", ERROR, 0, "it is", "most senders refuse the policy",
        "leave out what is no policy")
FINDING(LARGE_WRITTEN, "large-written", ERROR, DECISION, "it is", "chasquid reads no further",
        "cover several hosts with one \"*.\" pattern")
