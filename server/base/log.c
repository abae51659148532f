#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/json.h"
#include "base/limits.h"

/* A message of which every byte is escaped in JSON still fits a line. */
enum { JSON_MESSAGE = 600 };

/* Of a line without its priority and its end. */
enum { LINE_MOST = LIMIT_LOG_LINE - 8 };

static const struct {
    const char *word;
    const char *text; /* in front of a line */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", "error: "},
    [LOG_LEVEL_WARNING] = {"warning", "warning: "},
    [LOG_LEVEL_NOTICE] = {"notice", ""},
    [LOG_LEVEL_INFO] = {"info", ""},
};

/* The one variable of the program that is not part of an object: it belongs to
 * standard error, of which a process has one too. */
static struct {
    struct log_style style;
    size_t lost;
    bool is_journal;
    bool is_socket;
    bool is_timed;
    struct text *copy; /* borrowed; or NULL */
    size_t copy_most;
} output;

/* systemd.exec(5): device and inode of the stream that goes to the journal. */
static bool is_journal(const struct stat *status)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[64];
    int len =
        snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)status->st_dev, (uintmax_t)status->st_ino);
    return stream != NULL && len > 0 && strcmp(stream, own) == 0;
}

/* A pipe has room for a line when we look, and another process may take it before we write. So the
 * pipe is opened once more, for us alone, to be told then instead of waiting. Where that cannot
 * be done, looking has to do. */
static void open_pipe_anew(void)
{
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    (void)dup2(fd, STDERR_FILENO); /* if it fails, the old one is there still */
    (void)close(fd);               /* nothing was written through it */
}

void log_open(void)
{
    struct stat status;
    if (fstat(STDERR_FILENO, &status) != 0)
        return;
    output.is_journal = is_journal(&status);
    output.is_socket = S_ISSOCK(status.st_mode);
    output.is_timed = !output.is_journal && (S_ISREG(status.st_mode) || isatty(STDERR_FILENO) == 1);
    if (S_ISFIFO(status.st_mode))
        open_pipe_anew();
}

void log_set_style(const struct log_style *style)
{
    output.style = *style;
}

const struct log_style *log_style(void)
{
    return &output.style;
}

/* A pipe that is ready takes PIPE_BUF bytes at once, and len is no more. */
static bool put(const char *line, size_t len)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (output.is_socket)
        return send(STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0 &&
           write(STDERR_FILENO, line, len) == (ssize_t)len;
}

/* Puts a priority in front and the end behind. */
static bool put_line(enum log_level level, const char *line, size_t len)
{
    char whole[LIMIT_LOG_LINE];
    size_t head = 0;
    if (output.is_journal)
        head = (size_t)snprintf(whole, sizeof(whole), "<%d>", (int)level); /* it fits */
    if (head + len + 1 > sizeof(whole))
        return false;
    memcpy(whole + head, line, len);
    whole[head + len] = '\n';
    return put(whole, head + len + 1);
}

/* One that is too long is cut, and has no members then. */
static bool put_json(enum log_level level, struct span message, struct span members)
{
    struct text text = {0};
    json_open(&text, NULL, '{');
    json_text(&text, "time", calendar_iso_time(time(NULL)).text);
    json_text(&text, "level", levels[level].word);
    json_span(&text, "message", message);
    if (members.len > 0)
        json_printf(&text, NULL, "%.*s", (int)members.len, members.data);
    json_close(&text, '}');
    bool fits = !text.failed && text.len <= LINE_MOST;
    bool is_put = fits && put_line(level, text.data, text.len);
    text_free(&text);
    if (fits || (members.len == 0 && message.len <= JSON_MESSAGE))
        return is_put;
    message.len = message.len < JSON_MESSAGE ? message.len : JSON_MESSAGE;
    return put_json(level, message, (struct span){0});
}

/* A message in the style. */
static bool put_message(enum log_level level, struct span message, bool is_complete)
{
    char line[LINE_MOST];
    size_t len = 0;
    if (output.style.json)
        return put_json(level, message, (struct span){0});
    /* What belongs to the line before it is moved in, and has its time. */
    if (output.is_timed && (message.len == 0 || message.data[0] != ' ' || !is_complete)) {
        memcpy(line, calendar_iso_time(time(NULL)).text, CALENDAR_ISO_SIZE - 1);
        line[CALENDAR_ISO_SIZE - 1] = ' ';
        len = CALENDAR_ISO_SIZE;
    }
    if (!is_complete)
        len += (size_t)snprintf(line + len, sizeof(line) - len, "mta-sts-httpd: %s",
                                levels[level].text); /* it fits */
    size_t room = sizeof(line) - len, taken = message.len < room ? message.len : room;
    memcpy(line + len, message.data, taken);
    return put_line(level, line, len + taken);
}

/* Nothing is said before the loss in front of it was. */
static bool may_speak(void)
{
    char line[64];
    if (output.lost == 0)
        return true;
    int len = snprintf(line, sizeof(line), "%zu lines of the log were lost", output.lost);
    if (!put_message(LOG_LEVEL_WARNING, (struct span){line, (size_t)len}, false))
        return false;
    output.lost = 0;
    return true;
}

void log_copy(struct text *copy, size_t bytes_most)
{
    output.copy = copy;
    output.copy_most = bytes_most;
}

/* Behind what has no room there is nothing more. */
static void copy_message(enum log_level level, struct span message, bool is_complete)
{
    if (output.copy == NULL || level > LOG_LEVEL_WARNING)
        return;
    const char *head = is_complete ? "" : levels[level].text;
    if (output.copy->len + strlen(head) + message.len + 1 > output.copy_most) {
        output.copy = NULL;
        return;
    }
    text_append(output.copy, span_of(head));
    text_append(output.copy, message);
    text_append(output.copy, span_of("\n"));
}

void log_lose(void)
{
    output.lost++;
}

void log_begin(void)
{
    output.lost = 0;
    output.copy = NULL;
}

void log_record(enum log_level level, struct span line)
{
    if (!may_speak() || !put_line(level, line.data, line.len))
        log_lose();
}

void log_line(enum log_level level, const char *format, ...)
{
    char message[LIMIT_LOG_LINE];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    size_t shown = len < 0 ? 0 : (size_t)len < sizeof(message) ? (size_t)len : sizeof(message) - 1;
    copy_message(level, (struct span){message, shown}, false);
    if (!may_speak() || !put_message(level, (struct span){message, shown}, false))
        log_lose();
}

void log_diagnostic(enum log_level level, struct span text, struct span members)
{
    struct span rest = text, first = span_take_line(&rest);
    if (output.style.json && (!may_speak() || !put_json(level, first, members)))
        log_lose();
    while (text.len > 0) {
        struct span line = span_take_line(&text);
        copy_message(level, line, true);
        if (!output.style.json && (!may_speak() || !put_message(level, line, true)))
            log_lose();
    }
}
