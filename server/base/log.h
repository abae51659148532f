/*
 * Log lines: one event, one line, one write to standard error. A reader that
 * does not read must not stop the server, so a line for which the pipe or the
 * disk has no room is dropped; the next one that gets through says how many were.
 * Used by every process.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/span.h"

/* Values are the priorities of syslog(3), which journald understands too. */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
};

/* Writes "mta-sts-httpd: LEVEL: TEXT" and a line end; notices have no LEVEL.
 * The caller escapes what came from a client (text_escape). */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes lines that are complete already, such as diagnostics, as they are: at
 * most lines_most of them. Returns how many there were in all. */
size_t log_lines(struct span text, size_t lines_most);

/* Begins to count lost lines anew; for a process that was just forked, because
 * those of its parent are not its own. */
void log_begin(void);

#endif
