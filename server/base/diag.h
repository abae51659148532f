/*
 * Diagnostics: everything that is wrong with what an operator wrote, each with
 * the place where it stands, why it matters and what to write instead. A
 * reader reports and goes on; whoever called it asks at the end how bad it was.
 * Used by the loader and the commands. It never lacks memory (base/heap.h).
 */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* The two levels of fault, and the two of advice. */
enum diag_level {
    DIAG_FATAL,   /* the whole configuration cannot be used; printed as "error" */
    DIAG_ERROR,   /* one domain or one file beside the main one is out; "error" */
    DIAG_WARNING, /* it works, but likely not as meant */
    DIAG_NOTE,    /* worth knowing for someone who looks; never logged by serve */
};
#define DIAG_LEVELS 4

/* What of a load a diagnostic is about. */
enum diag_part {
    DIAG_FILES,        /* the configuration files */
    DIAG_CERTIFICATES, /* the certificates and keys, which may be loaded without the rest */
};

/* A place in a file. line and column count from 1, the column in characters; 0
 * means that the problem has no such place. */
struct position {
    const char *file; /* borrowed; must live as long as the diag */
    uint32_t line;
    uint32_t column;
};

/* What a message shows of a word that somebody wrote, so that it is recognised. Whoever had us read a
 * file that is none of ours must not see its lines in the log: what is no plain word (letters, digits,
 * and the characters of names and patterns) is cut. */
enum { DIAG_WORD_SIZE = 256 + sizeof("...") };
struct diag_word {
    char text[DIAG_WORD_SIZE];
};

/* Of a value or a name. */
struct diag_word diag_word(struct span text);

/* Of a key where any text may be a key: of what is no plain word only the word that it begins with. */
struct diag_word diag_key(struct span text);

struct diag;

/* An empty list; owned. */
struct diag *diag_new(void);
void diag_free(struct diag *diag);

/* A C string that lives as long as the diag; for file names in positions.
 * Equal names share one copy. */
const char *diag_intern(struct diag *diag, struct span name);

/* Of each level, at most so many diagnostics of the file are kept, and one that says that there are
 * more. most is at least 1. */
void diag_limit(struct diag *diag, const char *file, size_t most);

/* What is added from now on is about that part; at first about DIAG_FILES. */
void diag_set_part(struct diag *diag, enum diag_part part);

/* Whether the diagnostic that was added last was kept, so that a hint to it is worth its search. */
bool diag_is_kept(const struct diag *diag);

/* Adds a diagnostic: one sentence without a full stop. The same words for the
 * same place are taken once. */
void diag_add(struct diag *diag, enum diag_level level, struct position at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* To the diagnostic that was added last: why it matters (who would refuse it). */
void diag_reason(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* To the diagnostic that was added last: what to write instead. */
void diag_hint(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* To the diagnostic that was added last: another place that has to do with it. */
void diag_related(struct diag *diag, struct position at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Names the diagnostic that was added last, until the first is printed; and gives it another level, or with
 * DIAG_LEVELS leaves it out. */
size_t diag_mark(const struct diag *diag);
void diag_set_level(struct diag *diag, size_t mark, unsigned level);

/* To the diagnostic that was added last: it has a cause in common with all of its kind and reason that have a
 * subject, too, and the subject is what it is about. Printed as one if there are many. */
void diag_subject(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How many of this level were added. */
size_t diag_count(const struct diag *diag, enum diag_level level);

/* How many of this level are not hidden, and in how many files there is one of it or a graver one. */
size_t diag_shown(const struct diag *diag, enum diag_level level);
size_t diag_shown_files(const struct diag *diag, enum diag_level least);

/* Another place that has to do with a diagnostic. */
struct diag_related {
    struct diag_related *next; /* or NULL */
    struct position at;
    const char *message;
};

/* A diagnostic; everything is borrowed from the list. */
struct diag_entry {
    enum diag_level level;
    enum diag_part part;
    struct position at;
    const char *kind; /* equal for those that differ only in names and numbers */
    const char *message;
    const char *reason, *hint;    /* or NULL */
    struct diag_related *related; /* the first; or NULL */
    bool is_limited;              /* its file has a limit (diag_limit) */
};

/* Hides every diagnostic that is not wanted. */
typedef bool diag_wanted(void *context, const struct diag_entry *entry);
void diag_choose(struct diag *diag, diag_wanted *wanted, void *context);

/* Calls visit for each that diag_print would print, in the same order; text is what it prints of it. */
typedef void diag_visit(void *context, const struct diag_entry *entry, struct span text);
void diag_each(struct diag *diag, enum diag_level least, diag_visit *visit, void *context);

/* Appends members of a JSON object: file, line, column, scope, reason and hint as in
 * diag_print_json, and the message as text. */
void diag_print_members(const struct diag_entry *entry, struct text *out);

/* Appends the diagnostics of this level and graver, sorted by file (in the
 * order in which files were first named), line and column, in compiler form:
 *   FILE:LINE:COLUMN: error: TEXT
 *       why: TEXT
 *       fix: TEXT
 *   FILE:LINE:COLUMN: note: TEXT
 * Of many that have one cause (diag_subject), the first with the number and the first few subjects. */
void diag_print(struct diag *diag, enum diag_level least, struct text *out);

/* Appends them under the key, each by itself, as a JSON array of objects with the members file, line,
 * column (null when there is none), level ("error", "warning", "note"), scope
 * ("file" when nothing can be served, else "domain"), message, reason, hint
 * (null when not known) and related (an array of file, line, column, message). */
void diag_print_json(struct diag *diag, const char *key, enum diag_level least, struct text *out);

#endif
