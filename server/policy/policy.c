#include "policy/policy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "base/limits.h"
#include "base/table.h"
#include "base/text.h"
#include "policy/name.h"

struct policy {
    size_t owners;
    enum policy_mode mode;
    uint32_t max_age; /* seconds */
    char id[LIMIT_ID + 1];
    struct text body;
    struct span *mx; /* owned; each borrowed from body */
    size_t mx_count;
};

static const char *const mode_texts[] = {
    [POLICY_ENFORCE] = "enforce",
    [POLICY_TESTING] = "testing",
    [POLICY_NONE] = "none",
};
enum { MODES = sizeof(mode_texts) / sizeof(mode_texts[0]) };

const char *policy_mode_text(enum policy_mode mode)
{
    return mode_texts[mode];
}

/* A missing field, told once. */
static void report_missing(const struct policy_fields *fields, struct diag *diag, const char *field,
                           const char *reason, const char *hint)
{
    if (fields->unreadable)
        return;
    diag_add(diag, DIAG_ERROR, fields->at, "the policy has no %s", field);
    diag_reason(diag, "%s", reason);
    diag_hint(diag, "%s", hint);
}

static bool judge_mode(const struct policy_fields *fields, struct diag *diag,
                       enum policy_mode *ret_mode)
{
    struct span text = fields->mode.text;
    if (text.data == NULL) {
        report_missing(fields, diag, "mode", "RFC 8461 section 3.2 requires it",
                       "write \"mode: enforce\", or \"mode: testing\" for the first weeks");
        return false;
    }
    for (int i = 0; i < MODES; i++)
        if (span_equal(text, span_of(mode_texts[i]))) {
            *ret_mode = (enum policy_mode)i;
            return true;
        }
    diag_add(diag, DIAG_ERROR, fields->mode.at, "mode \"%s\" is none of enforce, testing, none",
             diag_word(text).text);
    for (int i = 0; i < MODES; i++)
        if (span_equal_fold(text, span_of(mode_texts[i]))) {
            diag_reason(diag, "12 of 14 senders refuse a mode in another case");
            diag_hint(diag, "write %s in lower case", mode_texts[i]);
            return false;
        }
    diag_reason(diag, "every sender refuses the policy (RFC 8461 section 3.2)");
    diag_hint(diag, "write enforce, testing or none");
    return false;
}

static bool judge_max_age(const struct policy_fields *fields, struct diag *diag,
                          uint32_t *ret_seconds)
{
    struct span text = fields->max_age.text;
    struct position at = fields->max_age.at;
    if (text.data == NULL) {
        report_missing(fields, diag, "max_age", "RFC 8461 section 3.2 requires it",
                       "write \"max_age: 2w\"");
        return false;
    }
    uint32_t seconds = 0;
    if (!calendar_duration(text, &seconds)) {
        diag_add(diag, DIAG_ERROR, at, "max_age \"%s\" is not a number of seconds",
                 diag_word(text).text);
        diag_hint(diag, "write a number, alone (seconds) or followed by s, m, h, d or w: 2w");
        return false;
    }
    if (seconds < LIMIT_MAX_AGE_LEAST) {
        diag_add(diag, DIAG_ERROR, at, "max_age %" PRIu32 " is below %d (one day)", seconds,
                 LIMIT_MAX_AGE_LEAST);
        diag_reason(diag, seconds == 0
                              ? "chasquid, rest-mail, danmarg, aykevl and NCSC refuse max_age 0"
                              : "aykevl refuses the policy, and Google asks for at least a day");
        diag_hint(diag, "write 1d or more; 2w is a good start");
        return false;
    }
    if (seconds > LIMIT_MAX_AGE_MOST) {
        diag_add(diag, DIAG_ERROR, at, "max_age %" PRIu32 " is above %d (one year)", seconds,
                 LIMIT_MAX_AGE_MOST);
        diag_reason(diag, "chasquid, rest-mail, mailauth, postfix-mta-sts-resolver and checkdmarc "
                          "refuse the policy (RFC 8461 section 3.2)");
        diag_hint(diag, "write 52w or less");
        return false;
    }
    *ret_seconds = seconds;
    return true;
}

static void warn_short_max_age(const struct policy_fields *fields, const struct policy *policy,
                               struct diag *diag)
{
    if (policy->mode != POLICY_ENFORCE || policy->max_age >= LIMIT_MAX_AGE_ADVISED)
        return;
    diag_add(diag, DIAG_WARNING, fields->max_age.at,
             "max_age %" PRIu32 " is short for an enforced policy", policy->max_age);
    diag_reason(diag, "an attacker has to block a sender only that long; mimecast raises it to a "
                      "week, NCSC and aykevl warn");
    diag_hint(diag, "write 2w or more once the policy has proven itself");
}

static bool judge_id(const struct policy_fields *fields, struct diag *diag)
{
    struct span text = fields->id.text;
    bool valid = text.len >= 1 && text.len <= LIMIT_ID;
    bool number = text.len <= LIMIT_ID_DIGITS;
    for (size_t i = 0; i < text.len && valid; i++) {
        valid = ascii_is_alpha(text.data[i]) || ascii_is_digit(text.data[i]);
        number = number && ascii_is_digit(text.data[i]);
    }
    if (!valid) {
        diag_add(diag, DIAG_ERROR, fields->id.at, "id \"%s\" is not 1 to 32 letters and digits",
                 diag_word(text).text);
        diag_reason(diag, "senders ignore the TXT record (RFC 8461 section 3.1)");
        diag_hint(diag, "leave id out: it is derived from the policy and never forgotten");
    } else if (!number) {
        diag_add(diag, DIAG_WARNING, fields->id.at,
                 "id \"%s\" is not a number of at most %d digits", diag_word(text).text,
                 LIMIT_ID_DIGITS);
        diag_reason(diag, "the Exim script compares ids as numbers and may miss a change");
        diag_hint(diag, "leave id out: it is derived from the policy and never forgotten");
    }
    return valid;
}

/* The words between separators, which must all be names; to the hint. */
static bool hint_list(struct span text, struct diag *diag)
{
    struct text list = {0};
    struct name name;
    size_t count = 0;
    bool good = text.len <= LIMIT_BODY_ADVISED;
    for (size_t i = 0; good && i < text.len;) {
        size_t begin = i;
        while (i < text.len && strchr(" \t,;", text.data[i]) == NULL)
            i++;
        struct span word = {text.data + begin, i - begin};
        i += i < text.len ? 1 : 0;
        if (word.len == 0)
            continue;
        good = name_parse(word, NAME_PATTERN, &name) == NAME_OK ||
               name_suggest(word, NAME_PATTERN, &name);
        if (!good)
            break; /* then there is nothing in the name */
        const char *quote = name.text[0] == '*' ? "\"" : "";
        text_printf(&list, "%s%s%s%s", count++ == 0 ? "" : ", ", quote, name.text, quote);
    }
    good = good && !list.failed && count > 1;
    if (good)
        diag_hint(diag, "write a list: [%s]", list.data);
    text_free(&list);
    return good;
}

/* "10 mail.example.com", as an MX record has it. */
static bool hint_preference(struct span text, struct diag *diag)
{
    size_t digits = 0, begin = 0;
    struct name name;
    while (digits < text.len && ascii_is_digit(text.data[digits]))
        digits++;
    begin = digits;
    while (begin < text.len && (text.data[begin] == ' ' || text.data[begin] == '\t'))
        begin++;
    struct span rest = span_skip(text, begin);
    if (digits == 0 || begin == digits ||
        (name_parse(rest, NAME_PATTERN, &name) != NAME_OK &&
         !name_suggest(rest, NAME_PATTERN, &name)))
        return false;
    diag_hint(diag, "leave the preference out: %s", name.text);
    return true;
}

static bool judge_mx(const struct field *mx, struct diag *diag, struct name *ret_name)
{
    enum name_fault fault = name_parse(mx->text, NAME_PATTERN, ret_name);
    if (fault == NAME_OK)
        return true;
    diag_add(diag, DIAG_ERROR, mx->at, "mx \"%s\" %s", diag_word(mx->text).text,
             name_fault_text(fault));
    if (name_fault_senders(fault) != NULL)
        diag_reason(diag, "%s", name_fault_senders(fault));
    if (fault == NAME_ADDRESS)
        diag_hint(diag, "write the host name that the MX record points to");
    else if (!diag_is_kept(diag) || hint_preference(mx->text, diag) || hint_list(mx->text, diag))
        return false;
    else if (name_suggest(mx->text, NAME_PATTERN, ret_name))
        diag_hint(diag, "write %s", ret_name->text);
    else if (fault == NAME_U_LABEL)
        diag_hint(diag, "write the A-label (\"xn--...\"); the command idn2 prints it");
    return false;
}

static struct span mx_key(const void *items, size_t index)
{
    const struct span *mx = items;
    return mx[index];
}

/* The bytes of an mx line. */
static size_t line_size(struct span name)
{
    return strlen("mx: ") + name.len + strlen("\r\n");
}

/* Appends the mx lines to the body, and stops where a body ends: a list may be of any length, and
 * many policies may use it. The bytes of the lines that are left are in ret_rest. While the body may
 * still move, mx[i].data is not yet set; it is found by the offsets that render() keeps. */
static bool judge_all_mx(const struct policy_fields *fields, struct diag *diag,
                         struct policy *policy, size_t *ret_rest)
{
    bool good = true;
    struct name name;
    struct table table = {0}; /* of policy->mx */
    size_t *sources = calloc(fields->mx_count, sizeof(*sources));
    char *names = malloc(LIMIT_BODY + sizeof(name.text));
    policy->mx = calloc(fields->mx_count, sizeof(*policy->mx));
    if (sources == NULL || names == NULL || policy->mx == NULL) {
        diag_shortage(diag);
        good = false;
        goto done;
    }
    size_t used = 0, seen = 0;
    for (size_t i = 0; i < fields->mx_count; i++) {
        if (seen > LIMIT_BODY) {
            *ret_rest += line_size(fields->mx[i].text);
            continue;
        }
        seen += line_size(fields->mx[i].text);
        if (!judge_mx(&fields->mx[i], diag, &name)) {
            good = false;
            continue;
        }
        struct span key = {name.text, name.len};
        size_t first = table_find(&table, key, mx_key, policy->mx);
        if (first != TABLE_NONE) {
            diag_add(diag, DIAG_ERROR, fields->mx[i].at, "mx \"%s\" is listed twice", name.text);
            diag_hint(diag, "delete one of them");
            diag_related(diag, fields->mx[sources[first]].at, "the first one is here");
            good = false;
            continue;
        }
        text_printf(&policy->body, "mx: %s\r\n", name.text);
        if (used + name.len > LIMIT_BODY)
            continue; /* the body is too long already, which its own check tells */
        memcpy(names + used, name.text, name.len);
        if (!table_add(&table, key, policy->mx_count)) {
            diag_shortage(diag);
            good = false;
            break;
        }
        sources[policy->mx_count] = i;
        policy->mx[policy->mx_count++] = (struct span){names + used, name.len};
        used += name.len;
    }
done:
    table_free(&table);
    free(sources);
    free(names);
    return good;
}

/* The spans of mx pointed into scratch memory; now the body is whole and stays. */
static void point_mx_into_body(struct policy *policy, size_t first)
{
    const char *line = policy->body.data + first;
    for (size_t i = 0; i < policy->mx_count; i++) {
        policy->mx[i].data = line + strlen("mx: ");
        line = policy->mx[i].data + policy->mx[i].len + strlen("\r\n");
    }
}

static bool judge_size(const struct policy_fields *fields, size_t len, struct diag *diag)
{
    struct position at = fields->mx_key.text.data != NULL ? fields->mx_key.at : fields->at;
    if (len > LIMIT_BODY) {
        diag_add(diag, DIAG_ERROR, at, "the policy is %zu bytes long, above %d", len, LIMIT_BODY);
        diag_reason(diag, "chasquid reads no further");
        diag_hint(diag, "cover several hosts with one \"*.\" pattern");
        return false;
    }
    if (len > LIMIT_BODY_ADVISED) {
        diag_add(diag, DIAG_WARNING, at, "the policy is %zu bytes long, above %d", len,
                 LIMIT_BODY_ADVISED);
        diag_reason(diag, "aykevl warns");
        diag_hint(diag, "cover several hosts with one \"*.\" pattern");
    }
    return true;
}

/* 18 digits without a leading zero: 10^17 to 10^18 - 1. */
static void derive_id(struct policy *policy)
{
    const uint64_t least = UINT64_C(100000000000000000);
    uint64_t hash = span_hash((struct span){policy->body.data, policy->body.len});
    (void)snprintf(policy->id, sizeof(policy->id), "%" PRIu64, least + hash % (9 * least));
}

static bool judge(const struct policy_fields *fields, struct diag *diag, struct policy *policy)
{
    bool good = judge_mode(fields, diag, &policy->mode);
    good = judge_max_age(fields, diag, &policy->max_age) && good;
    if (good)
        warn_short_max_age(fields, policy, diag);
    if (fields->id.text.data != NULL)
        good = judge_id(fields, diag) && good;
    text_printf(&policy->body, "version: STSv1\r\nmode: %s\r\n", policy_mode_text(policy->mode));
    size_t first_mx = policy->body.len;
    if (fields->mx_count == 0) {
        report_missing(fields, diag, "mx",
                       "chasquid, aykevl, Stalwart and NCSC refuse it, in every mode",
                       "write \"mx: [mail.example.com]\" with the hosts of the MX records");
        return false;
    }
    size_t rest = 0;
    good = judge_all_mx(fields, diag, policy, &rest) && good;
    text_printf(&policy->body, "max_age: %" PRIu32 "\r\n", policy->max_age);
    if (policy->body.failed) {
        diag_shortage(diag);
        return false;
    }
    if (!judge_size(fields, policy->body.len + rest, diag) || !good || fields->unreadable)
        return false;
    text_trim(&policy->body);
    point_mx_into_body(policy, first_mx);
    return true;
}

struct policy *policy_new(const struct policy_fields *fields, struct diag *diag)
{
    struct policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL) {
        diag_shortage(diag);
        return NULL;
    }
    policy->owners = 1;
    if (!judge(fields, diag, policy)) {
        policy_free(policy);
        return NULL;
    }
    if (fields->id.text.data != NULL)
        memcpy(policy->id, fields->id.text.data, fields->id.text.len);
    else
        derive_id(policy);
    return policy;
}

struct policy *policy_share(struct policy *policy)
{
    policy->owners++;
    return policy;
}

void policy_free(struct policy *policy)
{
    if (policy == NULL || --policy->owners > 0)
        return;
    text_free(&policy->body);
    free(policy->mx);
    free(policy);
}

struct span policy_body(const struct policy *policy)
{
    return (struct span){policy->body.data, policy->body.len};
}

const char *policy_id(const struct policy *policy)
{
    return policy->id;
}

enum policy_mode policy_mode(const struct policy *policy)
{
    return policy->mode;
}

uint32_t policy_max_age(const struct policy *policy)
{
    return policy->max_age;
}

size_t policy_mx_count(const struct policy *policy)
{
    return policy->mx_count;
}

struct span policy_mx(const struct policy *policy, size_t index)
{
    assert(index < policy->mx_count);
    return policy->mx[index];
}
