#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"

static const char *level_text(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error: ";
    case LOG_LEVEL_WARNING:
        return "warning: ";
    case LOG_LEVEL_NOTICE:
    default:
        return "";
    }
}

/* The one variable of the program that is not part of an object: it belongs to
 * standard error, of which a process has one too. */
static size_t lost_lines;

/* A pipe that is ready takes PIPE_BUF bytes without blocking, and len is no more. */
static bool put(const char *line, size_t len)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0 &&
           write(STDERR_FILENO, line, len) == (ssize_t)len;
}

static bool put_loss(void)
{
    char line[96];
    int len = snprintf(line, sizeof(line), "mta-sts-httpd: %s%zu lines of the log were lost\n",
                       level_text(LOG_LEVEL_WARNING), lost_lines);
    return len > 0 && put(line, (size_t)len);
}

/* Nothing is said before the loss in front of it was. */
static void emit(const char *line, size_t len)
{
    if (lost_lines > 0 && put_loss())
        lost_lines = 0;
    if (lost_lines > 0 || !put(line, len))
        lost_lines++;
}

void log_begin(void)
{
    lost_lines = 0;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[LIMIT_LOG_LINE];
    int head = snprintf(line, sizeof(line), "mta-sts-httpd: %s", level_text(level));
    size_t len = head > 0 ? (size_t)head : 0;

    va_list arguments;
    va_start(arguments, format);
    int tail = vsnprintf(line + len, sizeof(line) - len, format, arguments);
    va_end(arguments);
    if (tail > 0)
        len += (size_t)tail;
    if (len > sizeof(line) - 1)
        len = sizeof(line) - 1;
    line[len++] = '\n';

    emit(line, len);
}

size_t log_lines(struct span text, size_t lines_most)
{
    size_t count = 0;
    for (; text.len > 0; count++) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data) + 1;
        if (count < lines_most)
            emit(text.data, len < LIMIT_LOG_LINE ? len : LIMIT_LOG_LINE);
        text = span_skip(text, len);
    }
    return count;
}
