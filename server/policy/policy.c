#include "policy/policy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/table.h"
#include "base/text.h"
#include "policy/name.h"
#include "policy/record.h"

/* One block without pointers: whoever copies its bytes has the policy. */
struct policy {
    uint32_t max_age; /* seconds */
    uint16_t body_len;
    uint16_t mx_count;
    uint8_t mode;
    char id[LIMIT_ID + 1];
    uint16_t mx[]; /* where in the body each name begins; the body follows */
};

/* "mx: x.y" is the shortest line, without which a policy has 20 bytes at least. */
enum { MX_MOST = LIMIT_BODY / (sizeof("mx: x.y\r\n") - 1) };
static_assert(LIMIT_BODY <= UINT16_MAX, "a body has its length in two bytes");

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

bool policy_mode_read(struct span text, bool any_case, enum policy_mode *ret_mode)
{
    for (int i = 0; i < MODES; i++)
        if (any_case ? span_equal_fold(text, span_of(mode_texts[i]))
                     : span_equal(text, span_of(mode_texts[i]))) {
            *ret_mode = (enum policy_mode)i;
            return true;
        }
    return false;
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
    if (policy_mode_read(text, false, ret_mode))
        return true;
    diag_add(diag, DIAG_ERROR, fields->mode.at, "mode \"%s\" is none of enforce, testing, none",
             diag_word(text).text);
    if (policy_mode_read(text, true, ret_mode)) {
        diag_reason(diag, "12 of 14 senders refuse a mode in another case");
        diag_hint(diag, "write %s in lower case", mode_texts[*ret_mode]);
    } else {
        diag_reason(diag, "every sender refuses the policy (RFC 8461 section 3.2)");
        diag_hint(diag, "write enforce, testing or none");
    }
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

static bool judge_id(const struct policy_fields *fields, struct diag *diag)
{
    struct span text = fields->id.text;
    bool number, valid = record_is_id(text, &number);
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
    struct span word;
    size_t count = 0;
    bool good = text.len <= LIMIT_BODY_ADVISED;
    while (good && name_take(&text, &word)) {
        good = name_suggest(word, NAME_PATTERN, &name);
        const char *quote = good && name.text[0] == '*' ? "\"" : "";
        if (good)
            text_printf(&list, "%s%s%s%s", count++ == 0 ? "" : ", ", quote, name.text, quote);
    }
    good = good && count > 1;
    if (good)
        diag_hint(diag, "write a list: [%s]", heap_text(&list).data);
    text_free(&list);
    return good;
}

/* "10 mail.example.com", as an MX record has it. */
static bool hint_preference(struct span text, struct diag *diag)
{
    struct span number;
    uint64_t preference;
    struct name name;
    if (!name_take(&text, &number) || !span_number(number, UINT64_MAX, &preference) ||
        !name_suggest(span_trim(text), NAME_PATTERN, &name))
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
             name_faults[fault].text);
    if (name_faults[fault].senders != NULL)
        diag_reason(diag, "%s", name_faults[fault].senders);
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

/* A body while it is written. */
struct rendering {
    size_t len;                /* of the body, also of what has no room in it */
    size_t mx_count;           /* names that are wholly in the body */
    uint16_t mx[MX_MOST];      /* where each begins */
    uint32_t sources[MX_MOST]; /* the number of each among the fields */
    char body[LIMIT_BODY];
};

static void append(struct rendering *rendering, struct span bytes)
{
    if (rendering->len <= LIMIT_BODY && bytes.len <= LIMIT_BODY - rendering->len)
        memcpy(rendering->body + rendering->len, bytes.data, bytes.len);
    rendering->len += bytes.len;
}

/* A line of the body, without its end. */
static struct span line_at(const char *body, size_t body_len, size_t at)
{
    const char *end = memchr(body + at, '\r', body_len - at);
    return (struct span){body + at, end == NULL ? body_len - at : (size_t)(end - (body + at))};
}

static struct span mx_key(const void *items, size_t index)
{
    const struct rendering *rendering = items;
    return line_at(rendering->body, LIMIT_BODY, rendering->mx[index]);
}

/* The bytes of an mx line. */
static size_t line_size(struct span name)
{
    return strlen("mx: ") + name.len + strlen("\r\n");
}

/* Appends the line. */
static void add_mx(struct rendering *rendering, struct table *table, struct span name,
                   size_t source)
{
    size_t at = rendering->len + strlen("mx: ");
    append(rendering, span_of("mx: "));
    append(rendering, name);
    append(rendering, span_of("\r\n"));
    if (rendering->len > LIMIT_BODY)
        return; /* the body is too long, which its own check tells */
    rendering->mx[rendering->mx_count] = (uint16_t)at;
    rendering->sources[rendering->mx_count] = (uint32_t)source;
    table_add(table, name, rendering->mx_count++);
}

/* Appends the mx lines to the body, and stops where a body ends: a list may be of any length, and
 * many policies may use it. The bytes of the lines that are left are in ret_rest. */
static bool judge_all_mx(const struct policy_fields *fields, struct diag *diag,
                         struct rendering *rendering, size_t *ret_rest)
{
    bool good = true;
    struct name name;
    struct table table = {0}; /* of the names */
    size_t seen = 0;
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
        size_t first = table_find(&table, span_of(name.text), mx_key, rendering);
        if (first != TABLE_NONE) {
            diag_add(diag, DIAG_ERROR, fields->mx[i].at, "mx \"%s\" is listed twice", name.text);
            diag_hint(diag, "delete one of them");
            diag_related(diag, fields->mx[rendering->sources[first]].at, "the first one is here");
            good = false;
        } else {
            add_mx(rendering, &table, span_of(name.text), i);
        }
    }
    table_free(&table);
    return good;
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

static struct policy *make(const struct rendering *rendering, struct span id, enum policy_mode mode,
                           uint32_t max_age)
{
    size_t mx_size = rendering->mx_count * sizeof(uint16_t);
    struct policy *policy = heap_take(1, sizeof(*policy) + mx_size + rendering->len);
    *policy = (struct policy){
        .max_age = max_age,
        .body_len = (uint16_t)rendering->len,
        .mx_count = (uint16_t)rendering->mx_count,
        .mode = (uint8_t)mode,
    };
    memcpy(policy->mx, rendering->mx, mx_size);
    memcpy(policy->mx + policy->mx_count, rendering->body, rendering->len);
    const uint64_t least = UINT64_C(100000000000000000); /* of 18 digits */
    if (id.data != NULL)
        memcpy(policy->id, id.data, id.len);
    else
        (void)snprintf(policy->id, sizeof(policy->id), "%" PRIu64,
                       least + span_hash(policy_body(policy)) % (9 * least));
    return policy;
}

static struct policy *judge(const struct policy_fields *fields, struct diag *diag,
                            struct rendering *rendering)
{
    char line[64]; /* the longest is that of mode */
    enum policy_mode mode = POLICY_ENFORCE;
    uint32_t max_age = 0;
    bool good = judge_mode(fields, diag, &mode);
    good = judge_max_age(fields, diag, &max_age) && good;
    if (good && mode == POLICY_ENFORCE && max_age < LIMIT_MAX_AGE_ADVISED) {
        diag_add(diag, DIAG_WARNING, fields->max_age.at,
                 "max_age %" PRIu32 " is short for an enforced policy", max_age);
        diag_reason(diag,
                    "an attacker has to block a sender only that long; mimecast raises it to a "
                    "week, NCSC and aykevl warn");
        diag_hint(diag, "write 2w or more once the policy has proven itself");
    }
    if (fields->id.text.data != NULL)
        good = judge_id(fields, diag) && good;
    append(rendering, span_of("version: STSv1\r\nmode: "));
    append(rendering, span_of(policy_mode_text(mode)));
    append(rendering, span_of("\r\n"));
    if (fields->mx_count == 0) {
        report_missing(fields, diag, "mx",
                       "chasquid, aykevl, Stalwart and NCSC refuse it, in every mode",
                       "write \"mx: [mail.example.com]\" with the hosts of the MX records");
        return NULL;
    }
    size_t rest = 0;
    good = judge_all_mx(fields, diag, rendering, &rest) && good;
    (void)snprintf(line, sizeof(line), "max_age: %" PRIu32 "\r\n", max_age); /* it fits */
    append(rendering, span_of(line));
    if (!judge_size(fields, rendering->len + rest, diag) || !good || fields->unreadable)
        return NULL;
    return make(rendering, fields->id.text, mode, max_age);
}

struct policy *policy_new(const struct policy_fields *fields, struct diag *diag)
{
    struct rendering *rendering =
        heap_grow(NULL, 1, sizeof(*rendering)); /* large, and not zeroed */
    rendering->len = rendering->mx_count = 0;
    struct policy *policy = judge(fields, diag, rendering);
    free(rendering);
    return policy;
}

void policy_free(struct policy *policy)
{
    free(policy);
}

struct span policy_bytes(const struct policy *policy)
{
    size_t len =
        offsetof(struct policy, mx) + policy->mx_count * sizeof(policy->mx[0]) + policy->body_len;
    return (struct span){(const char *)policy, len};
}

/* The header is read before its fields are known to be sound, which needs no more than its bytes. */
const struct policy *policy_open(struct span bytes)
{
    const struct policy *policy = (const void *)bytes.data;
    if ((uintptr_t)bytes.data % alignof(struct policy) != 0 || bytes.len < sizeof(*policy) ||
        policy_bytes(policy).len > bytes.len || policy->mode >= MODES ||
        policy->body_len > LIMIT_BODY || memchr(policy->id, '\0', sizeof(policy->id)) == NULL)
        return NULL;
    for (size_t i = 0; i < policy->mx_count; i++)
        if (policy->mx[i] >= policy->body_len)
            return NULL;
    return policy;
}

struct span policy_body(const struct policy *policy)
{
    return (struct span){(const char *)(policy->mx + policy->mx_count), policy->body_len};
}

const char *policy_id(const struct policy *policy)
{
    return policy->id;
}

enum policy_mode policy_mode(const struct policy *policy)
{
    return (enum policy_mode)policy->mode;
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
    return line_at(policy_body(policy).data, policy->body_len, policy->mx[index]);
}
