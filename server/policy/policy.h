/*
 * A policy (RFC 8461 section 3.2). It can only be made by the constructor
 * below, which judges every field, and only a policy has a body: an invalid
 * policy cannot be served because it cannot exist. Immutable, and one block of
 * memory without pointers, so that a copy of its bytes is the policy as well.
 * Pure: no file, socket or clock.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/span.h"

enum policy_mode {
    POLICY_ENFORCE,
    POLICY_TESTING,
    POLICY_NONE,
};

/* A value as somebody wrote it, and where. text.data is NULL when it is missing. */
struct field {
    struct span text;
    struct position at;
};

/* A policy before it was judged. Everything is borrowed for the call. */
struct policy_fields {
    struct position at; /* where the policy begins; for what is missing */
    struct field mode;
    struct field max_age; /* seconds, or with a unit s m h d w */
    struct field id;      /* missing: derived from the body */
    const struct field *mx;
    size_t mx_count;
    struct field mx_key; /* where mx is written; data NULL when it is missing */
    bool unreadable;     /* a key was refused before: what is missing is not told again */
};

struct policy;

/* Judges the fields, reports every problem at its position as DIAG_ERROR or
 * DIAG_WARNING, and returns a new policy (owned), or NULL after an error, when
 * fields are unreadable, or when memory is short (which is reported too). */
struct policy *policy_new(const struct policy_fields *fields, struct diag *diag);

void policy_free(struct policy *policy); /* NULL is legal */

/* All bytes of the policy; borrowed. Equal policies have equal bytes. A copy begins at an address that
 * four divides. */
struct span policy_bytes(const struct policy *policy);

/* The policy that such bytes begin with, as somebody handed them over: borrowed from them. NULL when one
 * of the functions below could read beyond them. */
const struct policy *policy_open(struct span bytes);

/* The exact bytes to serve, at most LIMIT_BODY; borrowed from the policy. */
struct span policy_body(const struct policy *policy);

/* The id for the TXT record (RFC 8461 section 3.1), NUL-terminated; borrowed. */
const char *policy_id(const struct policy *policy);

enum policy_mode policy_mode(const struct policy *policy);

/* "enforce", "testing" or "none"; static. */
const char *policy_mode_text(enum policy_mode mode);

/* The mode with this text; with any_case, in upper case as well. False when there is none. */
bool policy_mode_read(struct span text, bool any_case, enum policy_mode *ret_mode);

/* Seconds, LIMIT_MAX_AGE_LEAST to LIMIT_MAX_AGE_MOST. */
uint32_t policy_max_age(const struct policy *policy);

/* The mx patterns in the order written, lower case; borrowed. */
size_t policy_mx_count(const struct policy *policy);
struct span policy_mx(const struct policy *policy, size_t index);

#endif
