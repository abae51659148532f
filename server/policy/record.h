/*
 * The TXT record at _mta-sts.DOMAIN (RFC 8461 section 3.1), as somebody
 * published it, and what senders make of it. Pure: no file, socket or clock.
 */
#ifndef POLICY_RECORD_H
#define POLICY_RECORD_H

#include <stdbool.h>

#include "base/limits.h"
#include "base/span.h"

enum record_form {
    RECORD_SOUND,
    RECORD_OTHER,   /* it is about something else */
    RECORD_VERSION, /* it was meant to begin with "v=STSv1;" and does not */
    RECORD_FIELD,   /* a part of it is not NAME=VALUE */
    RECORD_NO_ID,
    RECORD_ID_TWICE,
    RECORD_ID_FORM,      /* the id is not 1 to 32 letters and digits */
    RECORD_SPACE_BEFORE, /* sound by the RFC, but with space before a semicolon */
    RECORD_SPACE_BEHIND, /* the same, behind the last semicolon */
};

struct record {
    enum record_form form;
    struct span id; /* borrowed from the value; data NULL when it is missing or malformed */
    bool is_number; /* the id is a number of at most LIMIT_ID_DIGITS digits */
};

/* Whether the text is 1 to LIMIT_ID letters and digits; and whether they are at most LIMIT_ID_DIGITS digits. */
bool record_is_id(struct span id, bool *ret_is_number);

/* Reads the value: the strings of the record, joined. */
void record_read(struct span value, struct record *ret_record);

/* Where the TXT record of a policy is that several domains share: LABEL._mta-sts.ZONE, with the label that
 * record_label makes of the policy's name and, where that counts in one file alone, of the file. It is the
 * same as long as these are, whatever the policy says, and two policies never have the same. */
enum { RECORD_LABEL_SIZE = 2 * (LIMIT_LABEL + 1) };
void record_label(struct span name, const char *file, char ret_label[static RECORD_LABEL_SIZE]);
enum { RECORD_NAME_SIZE = 2 * LIMIT_NAME + sizeof("._mta-sts.") };
void record_shared_name(const char *label, const char *zone,
                        char ret_name[static RECORD_NAME_SIZE]);

/* What is wrong with it, as the end of the sentence "the record ...". Static. */
const char *record_form_text(enum record_form form);

#endif
