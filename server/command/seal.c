#include "serve/seal.h"

#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "command/command.h"
#include "command/reading.h"
#include "command/rehearsal.h"
#include "serve/wall.h"
#include "supervise/confine.h"
#include "supervise/identity.h"

static const char *state_text(enum seal_state state)
{
    switch (state) {
    case SEAL_IN_FORCE:
        return "in force";
    case SEAL_KEPT:
        return "kept";
    case SEAL_MISSING:
        break;
    }
    return "missing";
}

/* The value of the key in the lines of /proc/PID/status; empty when it is not there. */
static struct span value_of(struct span status, const char *key)
{
    size_t key_len = strlen(key);
    while (status.len > 0) {
        struct span line = span_take_line(&status);
        if (line.len > key_len && memcmp(line.data, key, key_len) == 0 && line.data[key_len] == ':')
            return span_trim(span_skip(line, key_len + 1));
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

static void print_step(const struct seal_report *report, size_t step, struct span kernel, bool json,
                       struct text *out)
{
    const char *state = state_text(report->outcomes[step].state);
    if (!json) {
        text_printf(out, kernel.len == 0 ? "%-24s%s" : "%-24s%-10s", seal_step_name(step), state);
        text_append(out, kernel);
        text_append(out, span_of("\n"));
        return;
    }
    json_new_line(out);
    json_open(out, NULL, '{');
    json_text(out, "step", seal_step_name(step));
    json_text(out, "state", state);
    json_span(out, "kernel", kernel);
    json_close(out, '}');
}

static void print(const struct seal_report *report, const struct text *status, bool json,
                  struct text *out)
{
    text_append(out, json ? span_of("[") : span_of("STEP                    STATE     KERNEL\n"));
    for (size_t i = 0; i < SEAL_STEPS; i++) {
        struct text kernel = {0};
        describe(report, i, (struct span){status->data, status->len}, &kernel);
        out->failed = out->failed || kernel.failed;
        print_step(report, i, (struct span){kernel.data, kernel.len}, json, out);
        text_free(&kernel);
    }
    if (json)
        text_append(out, span_of("]\n"));
}

int command_seal(const struct command_line *line)
{
    struct text status = {0}, out = {0};
    struct seal_report report;
    struct identity identity;
    struct reading reading = reading_new(line, true, NULL);
    int result = STATUS_WRONG;
    (void)reading_print(&reading, DIAG_FATAL);
    /* The same steps in the same order as the supervisor's. */
    if (reading.configuration == NULL || !confine_supervisor() ||
        !identity_resolve(reading.configuration->settings.user, geteuid() == 0, &identity) ||
        !rehearsal_run(&identity, wall_open_void(), &report, &status))
        goto done;
    print(&report, &status, line->json, &out);
    if (command_write(&out) && seal_is_whole(&report))
        result = STATUS_GOOD;
done:
    text_free(&out);
    text_free(&status);
    reading_free(&reading);
    return result;
}
