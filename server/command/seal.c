#include "sandbox/seal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "command/command.h"
#include "command/reading.h"
#include "files/file.h"
#include "probe/probe_workers.h"
#include "sandbox/filesystem.h"
#include "sandbox/identity.h"

/* The steps of a worker, tried in a child. */
struct trial {
    struct seal seal;
    struct text *status; /* what /proc says of the child, unless that cannot be read */
    struct seal_report *report;
    bool is_whole; /* no step has failed that every kernel has */
};

/* What the child reports. */
struct result {
    pid_t pid;
    const char *failed; /* the sentence; a static text, the same in both processes */
    int reason;
    struct seal_report report;
};

static void take_steps(void *context, size_t index, void *ret_result)
{
    const struct trial *trial = context;
    struct result *result = ret_result;
    (void)index; /* the only one */
    log_begin();
    result->pid = getpid();
    result->failed = seal_process(&trial->seal, &result->report);
    result->reason = errno;
}

static void lose(void *context, size_t index, void *result, bool is_late, int signal)
{
    (void)context, (void)index;
    memset(result, 0, sizeof(struct result));
    if (is_late)
        log_line(LOG_LEVEL_ERROR, "cannot try the seal: the process that tested it does not end");
    else
        log_line(LOG_LEVEL_ERROR, "cannot try the seal: the process that tried it died: %s",
                 signal != 0 ? strsignal(signal) : "it ended");
}

static void take(void *context, size_t index, const void *taken)
{
    struct trial *trial = context;
    const struct result *result = taken;
    char path[64];
    (void)index;
    if (result->pid == 0)
        return;                                                              /* it was lost */
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)result->pid); /* it fits */
    (void)file_read_named(path, LIMIT_YAML_FILE, trial->status);             /* it is there yet */
    *trial->report = result->report;
    trial->is_whole = result->failed == NULL;
    if (result->failed != NULL)
        log_line(LOG_LEVEL_ERROR, "cannot %s: %s", result->failed, strerror(result->reason));
}

/* A child takes the steps of a worker of that identity, and is ended. False, logged, when a step failed that
 * every kernel has, or no child can be made. */
static bool try_seal(const struct identity *identity, struct seal_report *ret_report,
                     struct text *ret_status)
{
    struct trial trial = {
        .seal = {.keep_identity = identity->keep,
                 .uid = identity->uid,
                 .gid = identity->gid,
                 .supervisor = getpid(),
                 .empty_root_fd = filesystem_open_empty_root()},
        .status = ret_status,
        .report = ret_report,
    };
    const struct probe_jobs jobs = {
        .count = 1,
        .result_size = sizeof(struct result),
        .timeout_ms = LIMIT_READY_MS,
        .run = take_steps,
        .lost = lose,
        .done = take,
        .context = &trial,
    };
    if (!probe_workers_run(&jobs))
        log_line(LOG_LEVEL_ERROR, "cannot try the seal: %s", strerror(errno));
    return trial.is_whole;
}

/* The value of the key in the lines of /proc/PID/status; empty when it is not there. */
static struct span value_of(struct span status, const char *key)
{
    size_t len = strlen(key);
    while (status.len > 0) {
        struct span line = span_take_line(&status);
        if (span_begins_fold(line, span_of(key)) && line.len > len && line.data[len] == ':')
            return span_trim(span_skip(line, len + 1));
    }
    return (struct span){0};
}

/* What the kernel says of the step: its line in the status, or why it is missing. */
static void describe(const struct seal_report *report, size_t step, struct span status,
                     struct text *out)
{
    const char *proof = seal_step_proof(step);
    if (report->outcomes[step].reason != 0)
        text_append(out, span_of(strerror(report->outcomes[step].reason)));
    else if (report->outcomes[step].state == SEAL_KEPT)
        text_append(out, span_of("not started as root"));
    if (proof == NULL || status.len == 0)
        return;
    struct span value = value_of(status, proof);
    text_printf(out, "%s%s ", out->len > 0 ? "; " : "", proof);
    for (size_t i = 0; i < value.len; i++)
        text_append(out, value.data[i] == '\t' ? span_of(" ") : (struct span){value.data + i, 1});
    if (value.len == 0)
        text_append(out, span_of("none"));
}

static void print_step(const struct seal_report *report, size_t step, struct span status, bool json,
                       struct text *out)
{
    static const char *const states[] = {
        [SEAL_IN_FORCE] = "in force", [SEAL_KEPT] = "kept", [SEAL_MISSING] = "missing"};
    const char *state = states[report->outcomes[step].state];
    struct text text = {0};
    describe(report, step, status, &text);
    const struct span kernel = heap_text(&text);
    if (json) {
        json_new_line(out);
        json_open(out, NULL, '{');
        json_text(out, "step", seal_step_name(step));
        json_text(out, "state", state);
        json_span(out, "kernel", kernel);
        json_close(out, '}');
    } else {
        text_printf(out, kernel.len == 0 ? "%-24s%s" : "%-24s%-10s", seal_step_name(step), state);
        text_append(out, kernel);
        text_append(out, span_of("\n"));
    }
    text_free(&text);
}

int command_seal(const struct command_line *line, struct text *out)
{
    struct text status = {0};
    struct seal_report report;
    struct identity identity;
    struct reading reading = reading_new(line, true);
    (void)reading_print(reading.diag, DIAG_FATAL);
    /* The same steps in the same order as the supervisor's. */
    bool good = reading.configuration != NULL && seal_supervisor() &&
                identity_resolve(reading.configuration->settings.user, geteuid() == 0, &identity) &&
                try_seal(&identity, &report, &status);
    if (good)
        text_append(out, line->json ? span_of("[")
                                    : span_of("STEP                    STATE     KERNEL\n"));
    for (size_t i = 0; good && i < SEAL_STEPS; i++)
        print_step(&report, i, heap_text(&status), line->json, out);
    if (good && line->json)
        text_append(out, span_of("]\n"));
    text_free(&status);
    reading_free(&reading);
    return good && seal_is_whole(&report) ? STATUS_GOOD : STATUS_WRONG;
}
