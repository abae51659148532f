/*
 * The inside of an inspection: the data that its modules share, which are the
 * findings with the public face (inspect), lines and their keys (inspect_line)
 * and the values of the keys (inspect_value). Nobody else includes this. Pure.
 */
#ifndef POLICY_INSPECT_STATE_H
#define POLICY_INSPECT_STATE_H

#include "base/arena.h"
#include "base/table.h"
#include "base/text.h"
#include "policy/inspect.h"

/* In the order of RFC 8461 section 3.2, in which they are written. */
enum inspect_key { INSPECT_VERSION, INSPECT_MODE, INSPECT_MX, INSPECT_MAX_AGE, INSPECT_KEYS };

enum inspect_line_end {
    INSPECT_END_LF,
    INSPECT_END_CRLF,
    INSPECT_END_CR,
    INSPECT_END_NONE,
    INSPECT_LINE_ENDS
};

struct inspection {
    struct arena *arena;              /* owned */
    struct position at;               /* of the whole */
    struct inspect_finding *findings; /* owned */
    size_t count, capacity;
    enum finding_gravity gravity;
    bool needs_decision;
    bool changes_meaning;
    bool shortage;

    struct field values[INSPECT_KEYS]; /* as they were written; mx unused */
    struct field keys[INSPECT_KEYS];   /* where each was written first */
    enum inspect_key last_key;         /* for the order */
    bool is_ordered;
    struct field mode, max_age; /* mended */
    struct field *mx;           /* owned; mended */
    size_t mx_count, mx_capacity;
    struct table by_name; /* of mx */
    size_t ends[INSPECT_LINE_ENDS];
    struct position ends_at[INSPECT_LINE_ENDS]; /* of the first */
};

/* A line without its end, and the place of its first byte. */
struct inspect_line {
    struct span text;
    uint32_t number;
    uint32_t column; /* of text in the line */
    const char *file;
};

/* Not about anything that stands there. */
#define INSPECT_NOTHING ((struct span){0})

/* The names of the keys. */
extern const char *const inspect_key_texts[INSPECT_KEYS];

/* The place of a byte of the line, or of its end; columns are characters. */
struct position inspect_place(const struct inspect_line *line, const char *byte);

/* A copy of the text, which is freed; borrowed from the inspection. NULL on a shortage, which is
 * noted. */
const char *inspect_keep(struct inspection *inspection, struct text *text);

/* Adds a finding: the rule's text, what it is about in quotes (or INSPECT_NOTHING), and a tail (or
 * NULL). The finding may be changed until the next one; NULL when it is not kept. */
struct inspect_finding *inspect_add(struct inspection *inspection, enum finding_kind kind,
                                    struct position at, struct span about, const char *tail);

/* What to write instead, when that depends on what stands there. finding may be NULL. */
void inspect_advise(struct inspection *inspection, struct inspect_finding *finding,
                    const char *verb, const char *words);

/* Reads the bytes line by line; column is where the first line begins. */
void inspect_lines(struct inspection *inspection, struct span bytes, uint32_t column);

/* Reads the value of a key, which stands in the line behind its colon. */
void inspect_value(struct inspection *inspection, const struct inspect_line *line,
                   enum inspect_key key, struct span value);

/* Digits alone, of any length, as a number; what is too large becomes the largest. */
bool inspect_digits(struct span text, uint32_t *ret_number);

#endif
