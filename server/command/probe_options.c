#include "command/probe_options.h"

#include "base/calendar.h"
#include "base/diag.h"
#include "site/verdict.h"

static bool read_trust(const struct command_line *line, struct probe_options *options)
{
    struct text out = {0};
    struct diag *diag = diag_new();
    if (diag == NULL)
        return false;
    options->trust = trust_new(line->ca, diag);
    options->probe.trust = options->trust;
    diag_print(diag, DIAG_ERROR, &out);
    (void)command_complain_lines(&out); /* the exit status says it too */
    text_free(&out);
    diag_free(diag);
    return options->trust != NULL;
}

int probe_options_read(const char *command, const struct command_line *line,
                       struct probe_options *ret_options)
{
    uint32_t seconds = LIMIT_PROBE_TIMEOUT;
    if (line->connect != NULL) {
        if (!command_read_server(line->connect, &ret_options->connect))
            return command_misused(
                command, "not an address such as 192.0.2.1 or [2001:db8::1]:443:", line->connect,
                NULL);
        ret_options->probe.connect = &ret_options->connect;
    }
    if (line->timeout != NULL && (!calendar_duration(span_of(line->timeout), &seconds) ||
                                  seconds == 0 || seconds > LIMIT_PROBE_TIMEOUT_MOST))
        return command_misused(command, "not a duration such as 5s:", line->timeout, NULL);
    ret_options->probe.timeout_ms = (int64_t)seconds * 1000;
    ret_options->probe.now = line->now;
    ret_options->probe.warning = VERDICT_WARNING_DEFAULT;
    return read_trust(line, ret_options) ? STATUS_GOOD : STATUS_WRONG;
}

void probe_options_free(struct probe_options *options)
{
    trust_free(options->trust);
    *options = (struct probe_options){0};
}
