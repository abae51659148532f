#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/limits.h"
#include "command/command.h"
#include "supervise/status.h"

/* Between two looks at the status. Milliseconds. */
enum { LOOK_MS = 20 };

static int complain(const char *path, const char *problem, const char *fix)
{
    (void)command_complain("%s: %s\n    fix: %s", path, problem, fix);
    return STATUS_WRONG;
}

static int complain_of_none(const struct command_line *line, const char *path, const char *problem)
{
    (void)command_complain(
        "no running server is found that serves %s: %s: %s\n"
        "    fix: start it (systemctl start mta-sts-httpd), or name its configuration with -c "
        "or its status file with --status",
        line->path, path, problem);
    return STATUS_WRONG;
}

/* Finds the server and signals it. STATUS_GOOD, or the exit status after a complaint. */
static int signal_server(const struct command_line *line, const char *path,
                         struct status_reading *ret_reading)
{
    const char *main_pid = getenv("MAINPID"); /* set by systemd where this is ExecReload= */
    if (!status_reading_open(path, ret_reading))
        return complain_of_none(line, path, strerror(errno));
    if (!status_reading_look(ret_reading))
        return complain(path, strerror(errno), "see that its file system has locks");
    if (ret_reading->pid == 0)
        return complain_of_none(line, path, "no server has it open");
    if (ret_reading->pid < 0)
        return complain(path, "the server is a process of another PID namespace",
                        "run the command in the same container as the server");
    if (main_pid != NULL && strtol(main_pid, NULL, 10) != ret_reading->pid)
        return complain(path, "it belongs to another server than the service",
                        "stop the other one, and restart the service");
    if (kill(ret_reading->pid, SIGHUP) != 0)
        return complain(path, strerror(errno), "run the command as root or as the server's user");
    return STATUS_GOOD;
}

/* Waits for the end of a load that has begun since. STATUS_GOOD, or the exit status after a complaint. */
static int wait_for_load(const char *path, int64_t since_us, int64_t timeout_us,
                         struct status_reading *reading)
{
    const pid_t pid = reading->pid;
    for (;;) {
        /* In this order: what was written before the end counts. */
        bool is_known = status_reading_look(reading);
        bool is_whole = status_reading_read(reading);
        if (is_whole && reading->begun_us >= since_us)
            return STATUS_GOOD;
        if (!is_known || reading->pid != pid)
            return complain(path, "the server has ended before it had loaded",
                            "see its log (journalctl -u mta-sts-httpd)");
        if (clock_monotonic_us() - since_us > timeout_us)
            return complain(
                path, "the server has not loaded in time, and may do so yet",
                "see its log (journalctl -u mta-sts-httpd), or wait longer: --timeout 5m");
        (void)poll(NULL, 0, LOOK_MS); /* if it is interrupted, the look is earlier */
    }
}

/* The report without the marks; faults, or with them the whole report, are for standard error. */
static void sort_report(const struct status_reading *reading, struct text *out, struct text *faults)
{
    for (struct span rest = reading->report; rest.len > 0;) {
        struct span line = span_take_line(&rest);
        bool is_fault = span_begins_fold(line, span_of("> "));
        struct text *to = is_fault || reading->is_refused ? faults : out;
        if (is_fault)
            line = span_skip(line, 2);
        while (line.len > 0) {
            struct text_character next;
            text_character(line, &next);
            text_append(to, next.is_shown ? (struct span){line.data, next.len} : span_of("?"));
            line = span_skip(line, next.len);
        }
        text_append(to, span_of("\n"));
    }
}

static int graver(int one, int other)
{
    return one == STATUS_WRONG || other == STATUS_GOOD ? one : other;
}

/* Appends what became of the domain, and returns the exit status for it. */
static int print_domain(const struct status_reading *reading, const char *operand, struct text *out,
                        struct text *faults)
{
    struct span name = span_of(operand), state, id;
    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    if (!status_reading_find(reading, name, &state, &id)) {
        text_append(faults, span_of("mta-sts-httpd: domain \""));
        text_escape(faults, name, 256);
        text_append(faults, span_of("\" is not served: no file that was loaded names it\n"));
        return STATUS_WRONG;
    }
    text_append(out, name);
    text_append(out, span_of(": "));
    text_escape(out, state, 32);
    if (!span_equal(id, span_of("-"))) {
        text_append(out, span_of(", id "));
        text_escape(out, id, LIMIT_ID);
    }
    int status = span_equal(state, span_of("served"))           ? STATUS_GOOD
                 : span_equal(state, span_of("no-certificate")) ? STATUS_PENDING
                                                                : STATUS_WRONG;
    if (status == STATUS_WRONG)
        text_printf(out, ": \"mta-sts-httpd check %.*s\" says why", (int)name.len, name.data);
    text_append(out, span_of("\n"));
    return status;
}

/* Prints what became of the load, or of the domains that are named, and returns the exit status. */
static int print_result(const struct command_line *line, const struct status_reading *reading,
                        struct text *out)
{
    struct text faults = {0};
    int status = reading->is_refused ? STATUS_WRONG : STATUS_GOOD;
    if (line->operand_count == 0 || reading->is_refused)
        sort_report(reading, out, &faults);
    /* Good only when every domain is served as configured. */
    for (struct span rest = reading->domains; line->operand_count == 0 && rest.len > 0;) {
        struct span domain = span_take_line(&rest);
        if (memmem(domain.data, domain.len, " served ", 8) == NULL)
            status = graver(status, STATUS_PENDING);
    }
    for (size_t i = 0; i < line->operand_count; i++)
        status = graver(status, print_domain(reading, line->operands[i], out, &faults));
    return command_complain_lines(&faults) ? status : STATUS_WRONG;
}

int command_reload(const struct command_line *line, struct text *out)
{
    struct status_reading reading = {.fd = -1};
    uint32_t seconds = LIMIT_RELOAD_TIMEOUT;
    if (line->timeout != NULL && !calendar_duration(span_of(line->timeout), &seconds))
        return command_misused("reload", "not a duration such as 30s:", line->timeout, NULL);
    char *path = status_path(line->status, line->path);
    if (path == NULL)
        return complain(line->path, "out of memory", "free some");
    const int64_t since_us = clock_monotonic_us();
    int status = signal_server(line, path, &reading);
    if (status == STATUS_GOOD)
        status = wait_for_load(path, since_us, (int64_t)seconds * 1000000, &reading);
    if (status == STATUS_GOOD)
        status = print_result(line, &reading, out);
    status_reading_free(&reading);
    free(path);
    return status;
}
