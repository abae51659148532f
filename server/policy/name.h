/*
 * DNS names as MTA-STS needs them: lower-case LDH A-labels (RFC 5890 section
 * 2.3.1), at least two, no trailing dot; and mx patterns, which may begin with
 * one "*." (RFC 8461 section 4.1). Pure: no file, socket or clock.
 */
#ifndef POLICY_NAME_H
#define POLICY_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

/* What is wrong with a name. The first that applies is told. */
enum name_fault {
    NAME_OK,
    NAME_EMPTY,
    NAME_ADDRESS, /* an IPv4 or IPv6 address */
    NAME_TRAILING_DOT,
    NAME_BLANK,   /* beyond ASCII, and looks like a space or is not seen */
    NAME_U_LABEL, /* bytes above 127 */
    NAME_UNDERSCORE,
    NAME_WILDCARD,    /* a star anywhere but as the whole first label of a pattern */
    NAME_CHARACTER,   /* any other byte that no host name has */
    NAME_EMPTY_LABEL, /* two dots, or a leading one */
    NAME_HYPHEN,      /* a label begins or ends with a hyphen */
    NAME_LABEL_LONG,
    NAME_LONG,
    NAME_SINGLE_LABEL,
    NAME_NUMERIC_TLD, /* the last label is digits: resolvers take it for an address */
};

enum name_kind {
    NAME_HOST,    /* mail.example.com */
    NAME_PATTERN, /* the same, or *.example.com */
    NAME_DOMAIN,  /* example.com, which is short enough for "mta-sts." before it */
};

struct name {
    char text[LIMIT_NAME + 1]; /* lower case, NUL-terminated */
    size_t len;
};

/* Judges the text and, when it is a valid name, writes it in lower case. */
enum name_fault name_parse(struct span text, enum name_kind kind, struct name *ret_name);

/* What is told of each fault. */
extern const struct name_fault_words {
    const char *text;    /* the end of the sentence "NAME ..." */
    const char *senders; /* who refuses such an mx, or NULL when nobody in particular */
} name_faults[];

struct name_blank {
    uint32_t point; /* U+00A0 */
    bool is_space;  /* else it is not seen at all */
};

/* The length of the character beyond ASCII that looks like a space, or is not seen, and that the text
 * begins with; 0 when there is none. A byte A0 alone is the non-breaking space of Latin-1. */
size_t name_blank(struct span text, struct name_blank *ret_blank);

/* The name that was likely meant, which for a valid one is itself: without blanks around it, the trailing dot
 * or the port, A-labels for U-labels (RFC 3492). False when there is no sure answer. */
bool name_suggest(struct span text, enum name_kind kind, struct name *ret_name);

/* Takes the next word off a list with commas, semicolons or space between them. False at its end. */
bool name_take(struct span *list, struct span *ret_word);

/* Whether the pattern, a valid one, stands for the host: "*." for exactly one label (RFC 8461 section
 * 4.1). A pattern in place of the host matches only where every host of it does. Case is ignored. */
bool name_matches(struct span pattern, struct span host);

#endif
