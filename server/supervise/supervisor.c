#include "supervise/supervisor_inside.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "sandbox/filesystem.h"
#include "sandbox/seal.h"

/* When no process can be made, the next try. Milliseconds. */
enum { RETRY_MS = 1000 };

static void start_later(struct supervisor *supervisor, int64_t pause)
{
    int64_t at = clock_monotonic_ms() + pause;
    supervisor->retry_at = at < supervisor->retry_at ? at : supervisor->retry_at;
}

void supervisor_start_workers(struct supervisor *supervisor, struct generation *generation)
{
    if (!generation_start(generation, supervisor))
        start_later(supervisor, RETRY_MS);
}

static void stop(struct supervisor *supervisor)
{
    bool again = supervisor->stopping;
    supervisor->stopping = true;
    loader_stop(&supervisor->loader);
    generation_free(supervisor->next);
    supervisor->next = NULL;
    notifier_tell(&supervisor->notifier, NOTIFY_STOPPING, NULL);
    watcher_stop(&supervisor->watcher);
    listeners_close(&supervisor->listeners);
    if (supervisor->current != NULL)
        generation_drain(supervisor->current, clock_monotonic_ms());
    struct generation *const all[] = {supervisor->current, supervisor->retiring};
    for (size_t i = 0; i < 2 && again; i++)
        if (all[i] != NULL)
            all[i]->deadline = 0;
}

/* A worker of the current generation has ended though nobody told it to. */
static void replace(struct supervisor *supervisor, pid_t pid, int status)
{
    bool others = generation_count(supervisor->current).ready > 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        log_line(LOG_LEVEL_ERROR, "worker %d ended unexpectedly", (int)pid);
    stats_add(supervisor->stats, STATS_WORKERS_REPLACED);
    int64_t pause =
        child_replace(CHILD_WORKER, pid, &supervisor->backoff, others, clock_monotonic_ms());
    if (pause == 0)
        supervisor_start_workers(supervisor, supervisor->current);
    else
        start_later(supervisor, pause);
}

/* Nothing works: the end is seen by the service manager, which an empty loop would not be. */
static void give_up_if_hopeless(struct supervisor *supervisor, int64_t now)
{
    bool works = supervisor->current == NULL || generation_count(supervisor->current).ready > 0;
    if (!backoff_is_hopeless(&supervisor->backoff, works, now) || supervisor->stopping)
        return;
    log_line(LOG_LEVEL_ERROR, "no worker was ready for %d s: giving up", LIMIT_CRASHES_MS / 1000);
    supervisor->failed = true;
    stop(supervisor);
}

static void on_process_exit(struct supervisor *supervisor, pid_t pid, int status)
{
    if (reload_end_child(supervisor, pid, status) ||
        watcher_end(&supervisor->watcher, pid, status, clock_monotonic_ms()) ||
        generation_end_worker(supervisor->retiring, pid, status))
        return;
    if (generation_end_worker(supervisor->next, pid, status))
        reload_give_up_next(supervisor);
    else if (generation_end_worker(supervisor->current, pid, status) && !supervisor->stopping)
        replace(supervisor, pid, status);
}

static void on_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    int status = 0;
    while (read(supervisor->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP)
            supervisor->reload_wanted = LOAD_ALL;
        else if (info.ssi_signo != SIGCHLD)
            stop(supervisor);
    }
    /* Several children may share one SIGCHLD, so it only says that it is time to look. */
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        on_process_exit(supervisor, pid, status);
}

static void on_deadlines(struct supervisor *supervisor, int64_t now)
{
    if (now >= supervisor->retry_at) {
        supervisor->retry_at = INT64_MAX;
        if (supervisor->next != NULL && supervisor->next->deadline != INT64_MAX)
            supervisor_start_workers(supervisor, supervisor->next);
        if (supervisor->current != NULL && !supervisor->stopping)
            supervisor_start_workers(supervisor, supervisor->current);
    }
    if (now >= supervisor->gauges_at) {
        generation_set_memory_gauges(supervisor);
        supervisor->gauges_at = now + LIMIT_GAUGES_MS;
    }
    reload_expire(supervisor, now);
    if (supervisor->next != NULL && now >= supervisor->next->deadline) {
        log_line(LOG_LEVEL_ERROR, "workers were not ready in time");
        reload_give_up_next(supervisor);
    }
    generation_expire(supervisor->current, now);
    generation_expire(supervisor->retiring, now);
    give_up_if_hopeless(supervisor, now);
}

/* One generation starts and one drains at a time; further requests are one. */
static bool is_settled(const struct supervisor *supervisor)
{
    return !supervisor->stopping && supervisor->loader.pid == 0 && supervisor->next == NULL &&
           supervisor->current != NULL && supervisor->retiring == NULL && !supervisor->is_ready_due;
}

/* Milliseconds until the earliest deadline, or -1 when there is none. */
static int time_left(const struct supervisor *supervisor)
{
    int64_t earliest = INT64_MAX;
    const int64_t deadlines[] = {
        supervisor->retry_at,
        generation_next_deadline(supervisor->next),
        generation_next_deadline(supervisor->current),
        generation_next_deadline(supervisor->retiring),
        is_settled(supervisor) ? supervisor->stale_at : INT64_MAX,
        supervisor->loader.deadline,
        supervisor->notifier.next,
        supervisor->gauges_at,
        supervisor->watcher.start_at,
        supervisor->watcher.silent_by,
        supervisor->saver.deadline,
        supervisor->saver.start_at,
    };
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++)
        if (deadlines[i] < earliest)
            earliest = deadlines[i];
    if (earliest == INT64_MAX)
        return -1;
    int64_t left = earliest - clock_monotonic_ms();
    /* At least one, so that a worker that was just killed can die meanwhile. */
    return left < 1 ? 1 : left > 60000 ? 60000 : (int)left;
}

/* What is missing from the seal of a worker is told once at the start, and later only where it matters. */
static void judge_seal(struct supervisor *supervisor, const struct seal_report *report)
{
    if (seal_is_whole(report))
        return;
    bool is_required = supervisor->next->loaded.image->settings.seal_required;
    struct text missing = {0};
    seal_print_missing(report, &missing);
    if (is_required || !supervisor->is_seal_told)
        log_line(is_required ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
                 is_required ? "seal: required, and this machine lacks: %s"
                             : "workers are not sealed completely, this machine lacks: %s",
                 missing.failed ? "something" : missing.data);
    text_free(&missing);
    supervisor->is_seal_told = true;
    if (is_required)
        reload_cancel_next(supervisor, NULL);
}

/* Hears those workers of the generation that are not ready. What one of the next generation says may end
 * that generation. */
static void hear_workers(struct supervisor *supervisor, struct generation *const *generation)
{
    struct seal_report report;
    for (size_t i = 0; *generation != NULL && i < (*generation)->worker_count; i++)
        if ((*generation)->workers[i].pid != 0 && !(*generation)->workers[i].ready &&
            generation_hear(*generation, i, &report) && *generation == supervisor->next)
            judge_seal(supervisor, &report);
}

/* Waits for a signal, for news of files, or for a starting worker to say that it is ready. */
static void wait_for_news(struct supervisor *supervisor)
{
    struct generation *const starting[] = {supervisor->next, supervisor->current};
    struct pollfd polled[3 + 2 * LIMIT_WORKERS];
    nfds_t count = 0;
    polled[count++] = (struct pollfd){.fd = supervisor->signals, .events = POLLIN};
    polled[count++] = (struct pollfd){.fd = supervisor->watcher.control, .events = POLLIN};
    polled[count++] = (struct pollfd){.fd = supervisor->loader.socket, .events = POLLIN};
    for (size_t g = 0; g < 2; g++)
        for (size_t i = 0; starting[g] != NULL && i < starting[g]->worker_count; i++)
            if (starting[g]->workers[i].pid != 0 && !starting[g]->workers[i].ready)
                polled[count++] =
                    (struct pollfd){.fd = starting[g]->workers[i].control, .events = POLLIN};
    if (poll(polled, count, time_left(supervisor)) < 0)
        return; /* EINTR, or short of memory: the next round asks again */
    reload_hear(supervisor);
    hear_workers(supervisor, &supervisor->next); /* if one has died, SIGCHLD tells */
    hear_workers(supervisor, &supervisor->current);
    on_signals(supervisor);
}

/* What the watcher has found; and once a day dates of certificates mean something else. */
static void take_news(struct supervisor *supervisor)
{
    enum load_extent extent = LOAD_NOTHING;
    enum lookout_news news = supervisor->watcher.news;
    supervisor->watcher.news = LOOKOUT_NOTHING;
    if (news == LOOKOUT_FILES) {
        log_line(LOG_LEVEL_NOTICE, "files have changed: loading again");
        extent = LOAD_ALL;
    } else if (news == LOOKOUT_CERTIFICATES) {
        log_line(LOG_LEVEL_NOTICE, "certificates have changed: loading them again");
        extent = LOAD_CERTIFICATES;
    } else if (clock_monotonic_ms() >= supervisor->stale_at) {
        log_line(LOG_LEVEL_NOTICE, "daily check of the certificates");
        extent = LOAD_CERTIFICATES;
        supervisor->stale_at = clock_monotonic_ms() + LIMIT_WATCH_DAY_MS;
    }
    if (supervisor->reload_wanted < extent)
        supervisor->reload_wanted = extent;
}

static void supervise(struct supervisor *supervisor)
{
    while (!supervisor->stopping || generation_count(supervisor->current).running > 0 ||
           generation_count(supervisor->retiring).running > 0 ||
           saver_is_waited_for(&supervisor->saver)) {
        wait_for_news(supervisor);
        on_deadlines(supervisor, clock_monotonic_ms());
        notifier_live(&supervisor->notifier, clock_monotonic_ms());
        watcher_hear(&supervisor->watcher, clock_monotonic_ms());
        watcher_expire(&supervisor->watcher, clock_monotonic_ms());
        reload_advance(supervisor);
        if (is_settled(supervisor))
            take_news(supervisor);
        if (supervisor->reload_wanted != LOAD_NOTHING && is_settled(supervisor))
            reload_begin(supervisor, supervisor->reload_wanted);
    }
}

/* Whoever has started us may have left anything open; workers would inherit it. */
static void keep_descriptors(const struct supervisor *supervisor)
{
    const struct listeners *listeners = &supervisor->listeners;
    const int own[] = {STDIN_FILENO,
                       STDOUT_FILENO,
                       STDERR_FILENO,
                       supervisor->signals,
                       supervisor->empty_root_fd,
                       supervisor->notifier.fd,
                       supervisor->status.fd};
    enum { OWN = sizeof(own) / sizeof(own[0]) };
    int kept[LIMIT_LISTENERS + OWN];
    memcpy(kept, own, sizeof(own));
    for (size_t i = 0; i < listeners->count; i++)
        kept[OWN + i] = listeners->items[i].fd;
    descriptors_keep_only(kept, OWN + listeners->count);
}

/* These end a process that says nothing of them, or stop it, and mean nothing to this one: a script
 * that rotates logs sends them to whatever runs. A closed log, and a terminal that wants no output
 * from behind, must not end or stop it either. */
static const int ignored_signals[] = {
    SIGUSR1, SIGUSR2,   SIGALRM, SIGVTALRM, SIGPROF, SIGIO,
    SIGPWR,  SIGSTKFLT, SIGXFSZ, SIGPIPE,   SIGTTIN, SIGTTOU,
};

static bool catch_signals(struct supervisor *supervisor)
{
    sigset_t set;
    (void)sigemptyset(&set); /* these cannot fail with signals that exist */
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGQUIT);
    (void)sigaddset(&set, SIGCHLD);
    for (size_t i = 0; i < sizeof(ignored_signals) / sizeof(ignored_signals[0]); i++)
        (void)signal(ignored_signals[i], SIG_IGN);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        (void)signal(number, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return false;
    supervisor->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return supervisor->signals >= 0;
}

int supervisor_run(const struct supervisor_options *options)
{
    struct supervisor supervisor = {
        .options = options,
        .gauges_at = INT64_MAX,
        .retry_at = INT64_MAX,
        .watcher = WATCHER_NONE,
        .saver = SAVER_NONE,
        .loader = LOADER_NONE,
    };
    clock_steady_begin(&supervisor.clock);
    status_open(status_path(options->status, options->path),
                options->status != NULL || getenv("RUNTIME_DIRECTORY") != NULL, &supervisor.status);
    memory_begin(); /* workers inherit it */
    if (!catch_signals(&supervisor)) {
        log_line(LOG_LEVEL_ERROR, "cannot catch signals: %s", strerror(errno));
        return 1; /* the process ends, and with it what it holds */
    }
    if (!seal_supervisor())
        return 1;
    supervisor.empty_root_fd = filesystem_open_empty_root(); /* the workers tell if it is missed */
    supervisor.stats = stats_new();
    if (supervisor.stats == NULL) {
        log_line(LOG_LEVEL_ERROR, "cannot share counters with workers: %s", strerror(errno));
        return 1;
    }
    supervisor.watcher.stats = supervisor.stats;
    supervisor.notifier = notifier_open(clock_monotonic_ms());
    if (!listeners_inherit(&supervisor.listeners))
        return 1;
    keep_descriptors(&supervisor);
    reload_begin(&supervisor, LOAD_ALL);
    supervise(&supervisor);
    if (supervisor.failed && supervisor.current == NULL)
        log_line(LOG_LEVEL_ERROR, "not started");
    else
        log_line(LOG_LEVEL_NOTICE, supervisor.failed ? "stopped after a failure" : "stopped");
    saver_close(&supervisor.saver);
    watcher_close(&supervisor.watcher);
    child_wait_all();
    generation_free(supervisor.current);
    generation_free(supervisor.retiring);
    stats_free(supervisor.stats);
    listeners_close(&supervisor.listeners);
    descriptor_close(&supervisor.notifier.fd);
    status_close(&supervisor.status);
    status_load_free(&supervisor.coming);
    status_load_free(&supervisor.last);
    descriptor_close(&supervisor.signals);
    descriptor_close(&supervisor.empty_root_fd);
    return supervisor.failed ? 1 : 0;
}
