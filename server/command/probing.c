#include "command/probing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "files/file.h"
#include "load/history.h"
#include "probe/probe_workers.h"
#include "site/site.h"

int probing_begin(struct probing *probing, const char *command, const struct command_line *line)
{
    uint32_t seconds = LIMIT_PROBE_TIMEOUT;
    if (line->timeout != NULL && (!calendar_duration(span_of(line->timeout), &seconds) ||
                                  seconds == 0 || seconds > LIMIT_PROBE_TIMEOUT_MOST))
        return command_misused(command, "not a duration such as 5s:", line->timeout, NULL);
    struct diag *diag = diag_new();
    probing->line = line;
    probing->trust = trust_new(line->ca, diag);
    probing->probe = (struct probe){
        .connect = line->connect,
        .trust = probing->trust,
        .now = line->now,
        .warning = VERDICT_WARNING_DEFAULT,
        .timeout_ms = (int64_t)seconds * 1000,
    };
    (void)reading_print(diag, DIAG_ERROR); /* the exit status says it too */
    diag_free(diag);
    return probing->trust != NULL ? STATUS_GOOD : STATUS_WRONG;
}

void probing_end(struct probing *probing)
{
    trust_free(probing->trust);
    history_free(probing->history);
    *probing = (struct probing){0};
}

static uint64_t stamp_of_record(const char *folder)
{
    char path[PATH_MAX + sizeof(".new")]; /* a longer one has no file */
    (void)snprintf(path, sizeof(path), "%s/%s", folder, state_forms[STATE_SIGHTINGS].name);
    return file_signature_of_path(path);
}

bool probing_read(struct probing *probing, const struct reading *reading)
{
    const char *folder =
        reading->configuration == NULL ? NULL : reading->configuration->settings.state;
    if (folder != NULL)
        probing->seen = stamp_of_record(folder);
    if (reading->configuration != NULL)
        probing->history = reading_history(probing->line, reading, &probing->now);
    if (!probing->line->record)
        return true;
    if (folder == NULL)
        return command_complain(
            "--record writes into the folder of \"state:\", and no configuration "
            "with one was read");
    return !probing->history->is_unread ||
           command_complain(
               "--record would replace a file that could not be read: nothing is done");
}

/* The policy that the visit has found, as senders hold it. What a sender would take for a shorter time than
 * RFC 8461 allows counts in full. False when it is none. */
static bool read_policy(const struct report_visit *visit, struct promise *ret_promise)
{
    uint64_t max_age = 0;
    *ret_promise = (struct promise){.mx = span_of(visit->patterns)};
    if (!policy_mode_read(span_of(visit->mode), false, &ret_promise->mode) ||
        ret_promise->mx.len == 0 || !span_number(span_of(visit->max_age), UINT32_MAX, &max_age))
        return false;
    ret_promise->max_age = max_age < LIMIT_MAX_AGE_LEAST  ? LIMIT_MAX_AGE_LEAST
                           : max_age > LIMIT_MAX_AGE_MOST ? LIMIT_MAX_AGE_MOST
                                                          : (uint32_t)max_age;
    return true;
}

/* What servers before ours serve, of domains that are configured. An address that does not answer may
 * serve what it served before. */
static void see_policies(struct probing *probing, const struct probe_domain *domain,
                         const struct report *report)
{
    struct promise seen[LIMIT_PROBE_ADDRESSES];
    size_t count = 0;
    bool is_whole = report->visit_count > 0;
    if (domain->policy == NULL || report->is_mx)
        return;
    for (size_t i = 0; i < report->visit_count; i++) {
        const struct report_visit *visit = &report->visits[i];
        is_whole =
            is_whole && (visit->reached == STAGE_POLICY || report_is_out_of_reach(report, visit));
        if (report->id[0] != '\0' && visit->reached == STAGE_POLICY &&
            read_policy(visit, &seen[count]))
            seen[count++].id = span_of(report->id);
    }
    history_see_policies(probing->history, domain->name, seen, count, is_whole, probing->now);
}

void probing_done(struct probing *probing, size_t index, const struct report *report)
{
    if (probing->line->record && report->is_record_known) {
        history_see(probing->history, report->domain, span_of(report->id), report->ttl,
                    probing->now);
        see_policies(probing, &probing->domains[index], report);
    }
    probing->done++;
    /* How many are done; removed at the end. A courtesy: it may fail. */
    if (probing->count > 1 && isatty(STDERR_FILENO))
        (void)fprintf(stderr, "\r%zu of %zu\033[K%s", probing->done, probing->count,
                      probing->done == probing->count ? "\r\033[K" : "");
}

static void run(void *context, size_t index, void *result)
{
    const struct probing *probing = context;
    probe_run(&probing->probe, &probing->domains[index], result);
}

static void lose(void *context, size_t index, void *result, bool is_late, int signal)
{
    const struct probing *probing = context;
    (void)signal; /* of no interest to who asks about a domain */
    probe_lose(&probing->domains[index], result, is_late);
}

bool probing_run(struct probing *probing, const struct probe_domain *domains, size_t count,
                 probing_take *take, void (*tick)(void *probing))
{
    probing->domains = domains;
    probing->count = count;
    probing->done = 0;
    const struct probe_jobs jobs = {
        .count = count,
        .result_size = sizeof(struct report),
        .timeout_ms = LIMIT_PROBE_TIMEOUTS * probing->probe.timeout_ms + LIMIT_PROBE_GRACE_MS,
        .run = run,
        .lost = lose,
        .done = take,
        .tick = tick,
        .context = probing,
    };
    return probe_workers_run(&jobs) ||
           command_complain("cannot start processes to probe: %s", strerror(errno));
}

/* What another command has recorded meanwhile stays. */
static bool add_what_is_new(struct probing *probing, const char *folder)
{
    struct text bytes = {0};
    if (stamp_of_record(folder) == probing->seen)
        return true;
    bool good = state_file_read(folder, STATE_SIGHTINGS, NULL, &bytes);
    bool is_gone = !good && errno == ENOENT;
    if (good) /* what is damaged is ignored, as before */
        (void)history_take(probing->history, &bytes, STATE_SIGHTINGS);
    text_free(&bytes);
    return good || is_gone;
}

/* A descriptor of the folder, with a lock where the file system has locks. The other commands write at once,
 * so the wait is short; -1 with the reason in errno. */
static int lock_folder(const char *folder)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; i++) {
        if (i == LIMIT_RECORD_TRIES)
            descriptor_close(&fd);
        else
            (void)nanosleep(&pause, NULL); /* a signal may shorten it */
    }
    return fd;
}

bool probing_record(struct probing *probing, const struct reading *reading)
{
    struct text bytes = {0};
    if (!probing->line->record)
        return true;
    const char *folder = reading->configuration->settings.state;
    int lock = lock_folder(folder);
    bool good = lock >= 0 && add_what_is_new(probing, folder);
    if (good) {
        (void)history_settle(probing->history, probing->now); /* by the same clock */
        history_print(probing->history, STATE_SIGHTINGS, &bytes);
        good = state_file_write(folder, state_forms[STATE_SIGHTINGS].name, &bytes);
    }
    if (!good)
        (void)command_complain(
            "%s/%s cannot be written: %s", folder, state_forms[STATE_SIGHTINGS].name,
            lock < 0 && errno == EWOULDBLOCK ? "another command has locked the folder"
                                             : strerror(errno));
    descriptor_close(&lock);
    text_free(&bytes);
    return good;
}
