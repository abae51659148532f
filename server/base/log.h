/*
 * Log lines: one event, one line, one write to standard error, as text or as JSON. A
 * reader that does not read must not stop the server, so a line for which the pipe or
 * the disk has no room is dropped; the next one that gets through says how many were.
 * Used by every process.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/span.h"
#include "base/text.h"

/* Values are the priorities of syslog(3), which journald understands too. */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
};

/* Which answers to clients have a line. */
enum log_access {
    LOG_ACCESS_OFF,
    LOG_ACCESS_ON,
    LOG_ACCESS_ERRORS,
};

struct log_style {
    bool json;
    bool anonymize; /* the addresses of clients are shortened */
    enum log_access access;
};

/* Once, in the server, before others are forked: from now on standard error never makes it wait. When
 * it is journald's (JOURNAL_STREAM) every line begins with its priority; when it is a terminal or a
 * file, where nobody adds the time, lines of text begin with that. */
void log_open(void);

/* In which style from now on; at first as text, without answers. */
void log_set_style(const struct log_style *style);
const struct log_style *log_style(void);

/* Writes "mta-sts-httpd: LEVEL: TEXT" and a line end; notices have no LEVEL.
 * The caller escapes what came from a client (text_escape). */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes a diagnostic: as the lines of text, which are complete, or in JSON as one record with the first line of it as the
 * message, and with the members (base/json.h). */
void log_diagnostic(enum log_level level, struct span text, struct span members);

/* Writes a line in the style, which has no line end yet, as it is. One that is longer than
 * LIMIT_LOG_LINE with all around it is lost. */
void log_record(enum log_level level, struct span line);

/* From now on errors and warnings are appended to the copy too, as lines of text in every style, until
 * it has bytes_most; NULL ends it. */
void log_copy(struct text *copy, size_t bytes_most);

/* A line could not be made, and is lost. */
void log_lose(void);

/* Begins to count lost lines anew; for a process that was just forked, because
 * those of its parent are not its own. */
void log_begin(void);

#endif
