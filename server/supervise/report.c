#include "supervise/report.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"

/* A reload of a large broken configuration must not flood the log. */
enum { DIAGNOSTIC_LINES = 300 };

void report_diagnostics(struct diag *diag)
{
    struct text text = {0};
    diag_print(diag, DIAG_WARNING, &text);
    size_t lines = log_lines((struct span){text.data, text.len}, DIAGNOSTIC_LINES);
    if (lines > DIAGNOSTIC_LINES)
        log_line(LOG_LEVEL_WARNING, "%zu more lines: \"mta-sts-httpd check\" shows them all",
                 lines - DIAGNOSTIC_LINES);
    if (text.failed)
        log_line(LOG_LEVEL_ERROR, "out of memory: not everything that is wrong was told");
    text_free(&text);
}

/* "generation 2, 1 worker, 5000 domains (5 stale)" */
static void print_generation(const struct generation *generation, struct text *out)
{
    const struct site *site = generation->configuration->site;
    size_t stale = 0, refused = 0;
    for (size_t i = 0; i < site_count(site); i++) {
        stale += site_at(site, i)->state == SITE_STALE ? 1 : 0;
        refused += site_at(site, i)->state == SITE_REFUSED ? 1 : 0;
    }
    text_printf(out, "generation %u, %zu worker%s, %zu domain%s", generation->number,
                generation->worker_count, generation->worker_count == 1 ? "" : "s",
                site_count(site), site_count(site) == 1 ? "" : "s");
    if (stale > 0)
        text_printf(out, " (%zu stale)", stale);
    if (refused > 0)
        text_printf(out, " (%zu refused)", refused);
}

void report_summary(const struct generation *current, const struct changes *changes,
                    struct status_load *ret_load)
{
    struct text *out = &ret_load->summary;
    text_append(out, span_of("serves "));
    print_generation(current, out);
    text_append(out, span_of("\n"));
    text_append(
        out,
        span_of(changes_print(changes, "\n", SIZE_MAX, out) ? "\n" : "no domain has changed\n"));
    if (ret_load->errors + ret_load->warnings > 0)
        text_printf(out, "%zu error%s, %zu warning%s: \"mta-sts-httpd check\" tells them\n",
                    ret_load->errors, ret_load->errors == 1 ? "" : "s", ret_load->warnings,
                    ret_load->warnings == 1 ? "" : "s");
}

void report_ready(const struct generation *current, const struct changes *changes,
                  const struct listeners *listeners, const struct notifier *notifier)
{
    const struct settings *settings = &current->configuration->settings;
    struct text text = {0};
    if (changes_print(changes, ", ", LIMIT_LOG_NAMES, &text))
        text_append(&text, span_of("; "));
    text_append(&text, span_of("ready: "));
    print_generation(current, &text);
    listeners_print(listeners, settings->listeners, settings->listener_count, ENDPOINT_POLICIES,
                    ", listening on ", &text);
    listeners_print(listeners, settings->listeners, settings->listener_count, ENDPOINT_METRICS,
                    "; metrics on ", &text);
    listeners_print(listeners, settings->listeners, settings->listener_count, ENDPOINT_CHALLENGES,
                    "; challenges on ", &text);
    char fallback[64];
    (void)snprintf(fallback, sizeof(fallback), "ready: generation %u (out of memory to tell more)",
                   current->number); /* it fits */
    const char *line = text.failed || text.data == NULL ? fallback : text.data;
    log_line(LOG_LEVEL_NOTICE, "%s", line);
    notifier_tell(notifier, NOTIFY_READY, line);
    text_free(&text);
}

void report_refusal(const struct generation *current, const struct notifier *notifier,
                    const char *why, struct status_load *ret_load)
{
    char line[128];
    (void)snprintf(line, sizeof(line), "reload refused: %sgeneration %u serves on as before", why,
                   current->number);
    log_line(LOG_LEVEL_ERROR, "%s", line);
    notifier_tell(notifier, NOTIFY_READY, line);
    ret_load->is_refused = true;
    text_printf(&ret_load->summary, "%s\n", line);
}

void report_restless(const struct configuration *configuration, bool certificates)
{
    struct text path = {0}, shown = {0};
    watch_find_latest(configuration, certificates, &path);
    text_escape(&shown, (struct span){path.data, path.len}, LIMIT_LOG_REQUEST);
    log_line(LOG_LEVEL_WARNING,
             "%s is changed again and again: its changes are not waited for any longer",
             shown.failed || shown.data == NULL ? "a file" : shown.data);
    text_free(&path);
    text_free(&shown);
}

void report_missing_seal(const struct seal_report *report, bool required)
{
    struct text missing = {0};
    seal_print_missing(report, &missing);
    log_line(required ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
             required ? "seal: required, and this machine lacks: %s"
                      : "workers are not sealed completely, this machine lacks: %s",
             missing.failed ? "something" : missing.data);
    text_free(&missing);
}

void report_death(pid_t pid, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        log_line(LOG_LEVEL_ERROR,
                 "worker %d died: it made a system call that no worker needs; the kernel's log "
                 "has its number",
                 (int)pid);
    else if (WIFSIGNALED(status))
        log_line(LOG_LEVEL_ERROR, "worker %d died: %s", (int)pid, strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        log_line(LOG_LEVEL_ERROR, "worker %d ended with status %d", (int)pid, WEXITSTATUS(status));
}
