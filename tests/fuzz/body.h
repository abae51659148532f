/*
 * A second opinion on the bytes of a policy: reads them as the strictest sender
 * would, by code that shares nothing with server/policy. For the targets that
 * make policies.
 */
#ifndef BODY_H
#define BODY_H

#include <stdbool.h>

#include "base/span.h"
#include "policy/policy.h"

/* "mx: a.b", its line end, and so often in LIMIT_BODY. */
enum { BODY_MX_MOST = 1200 };

/* Spans are borrowed from the bytes. */
struct body {
    struct span mode;
    struct span max_age_text;
    uint32_t max_age;
    struct span mx[BODY_MX_MOST];
    size_t mx_count;
};

/* False unless the bytes are a policy in the one form that this server writes. */
bool body_parse(struct span bytes, struct body *ret_body);

/* A lower-case host name that MTA-STS allows; with a first "*." when it may be a pattern. */
bool body_is_name(struct span text, bool may_be_pattern);

/* Asserts that the policy's body is sound and says the same as its fields, and that its id is one. */
void body_check_policy(const struct policy *policy);

/* Asserts that what people see cannot forge a line or move a cursor, and is UTF-8. */
void body_check_words(struct span words);

#endif
