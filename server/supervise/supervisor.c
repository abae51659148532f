#include "supervise/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "sandbox/confine.h"
#include "sandbox/filesystem.h"
#include "shared/stats.h"
#include "supervise/child.h"
#include "supervise/generation.h"
#include "supervise/loader.h"
#include "supervise/notify.h"
#include "supervise/report.h"
#include "supervise/saver.h"
#include "supervise/watcher.h"

enum {
    /* How long a worker has beyond its own deadline before it is killed. Milliseconds. */
    KILL_GRACE_MS = 3000,
    /* When no process can be made, the next try. Milliseconds. */
    RETRY_MS = 1000,
};

struct supervisor {
    const struct supervisor_options *options; /* borrowed */
    int signals;                              /* a signalfd */
    int empty_root_fd;                        /* owned; or -1 (sandbox/filesystem.h) */
    struct stats *stats;                      /* owned */
    int64_t gauges_at;                        /* when its figures are due */
    struct listeners listeners;
    struct notifier notifier;
    struct watcher watcher; /* for the current generation */
    struct saver saver;
    struct generation *current;  /* owned; serves; NULL until the first one is ready */
    struct generation *next;     /* owned; starts; or NULL */
    struct generation *retiring; /* owned; drains; or NULL */
    unsigned last_number;
    struct loader loader;
    struct steady_clock clock;
    int64_t load_begun;
    bool
        is_without_state; /* the load that is under way, because the disk of the state folder hangs */
    int64_t load_ms;      /* how long the last load took */
    int64_t stale_at;     /* when what was judged of certificates is to be judged anew */
    enum load_extent reload_wanted;
    bool is_ready_due; /* the current generation serves, and that was not said yet */
    struct status status;
    unsigned loads;
    unsigned load_deaths;       /* of loaders, since a load has come to anything */
    enum load_extent loading;   /* what the load is of that is under way */
    int state_fds[SAVER_PARTS]; /* owned; what it has for the state folder; or -1 */
    bool is_start_due;          /* the next generation waits until its promises are saved */
    struct status_load coming;  /* what is known of it */
    struct status_load last;    /* of the configuration files, and finished */
    bool is_seal_told;          /* what this machine lacks for it */
    bool stopping;
    bool failed;
    int64_t retry_at; /* 0, or when to fork what could not be forked or was to wait */
    int64_t stop_by;  /* when stopping: then workers are killed */
    struct backoff backoff;
};

static void start_later(struct supervisor *supervisor, int64_t pause)
{
    int64_t at = clock_monotonic_ms() + pause;
    if (supervisor->retry_at == 0 || at < supervisor->retry_at)
        supervisor->retry_at = at;
}

static void start_workers(struct supervisor *supervisor, struct generation *generation)
{
    if (!generation_start(generation, &supervisor->listeners))
        start_later(supervisor, RETRY_MS);
}

static void retain_listeners(struct supervisor *supervisor)
{
    assert(supervisor->current != NULL);
    const struct settings *settings = &supervisor->current->image->settings;
    listeners_retain(&supervisor->listeners, settings->listeners, settings->listener_count);
}

/* NULL until a load was good. */
static const struct settings *settings_in_use(const struct supervisor *supervisor)
{
    const struct generation *latest =
        supervisor->current != NULL ? supervisor->current : supervisor->next;
    return latest == NULL ? NULL : &latest->image->settings;
}

/* Forks the loader. False, logged, when that cannot be done. */
static bool begin_load(struct supervisor *supervisor, bool state_hangs)
{
    const struct generation *current = supervisor->current;
    int64_t now = clock_monotonic_ms();
    struct load_order order = {
        .path = supervisor->options->path,
        .listen = supervisor->options->listen,
        .extent = supervisor->loading,
        .previous = current == NULL ? NULL : current->image,
        .site_fd = current == NULL ? -1 : current->site_fd,
        .state_hangs = state_hangs,
        .supervisor = getpid(),
        .now = clock_steady_time(&supervisor->clock),
        .stats = supervisor->stats,
        .challenges = supervisor->watcher.challenges,
    };
    supervisor->load_begun = now;
    supervisor->is_without_state = state_hangs;
    notifier_begin(&supervisor->notifier, now);
    return loader_begin(&supervisor->loader, load_run, &order, order.site_fd, now);
}

static void forget_state(struct supervisor *supervisor)
{
    for (size_t i = 0; i < SAVER_PARTS; i++) {
        if (supervisor->state_fds[i] >= 0)
            (void)close(supervisor->state_fds[i]); /* it is not to be saved */
        supervisor->state_fds[i] = -1;
    }
}

static void save_part(struct supervisor *supervisor, const struct settings *settings,
                      enum saver_part part)
{
    saver_begin(&supervisor->saver, settings, part, supervisor->state_fds[part],
                clock_monotonic_ms());
    supervisor->state_fds[part] = -1;
}

/* Starts the workers of the next generation when its promises are saved, or the disk does not answer. */
static void start_next(struct supervisor *supervisor)
{
    if (supervisor->next == NULL || !supervisor->is_start_due ||
        saver_is_waited_for(&supervisor->saver))
        return;
    supervisor->is_start_due = false;
    supervisor->next->deadline = clock_monotonic_ms() + LIMIT_READY_MS;
    start_workers(supervisor, supervisor->next);
}

/* Makes the next generation of what was loaded. False, logged, when that cannot be done. */
static bool prepare(struct supervisor *supervisor, struct loader_result *result)
{
    const struct settings *settings = &result->image->settings;
    if (!watcher_prepare(&supervisor->watcher, &settings->acme) ||
        !listeners_open(&supervisor->listeners, settings->listeners, settings->listener_count))
        return false;
    supervisor->next = generation_new(supervisor->last_number + 1, result->image, result->site_fd,
                                      supervisor->empty_root_fd, supervisor->stats,
                                      supervisor->watcher.challenges);
    result->image = NULL;
    result->site_fd = -1;
    if (supervisor->next == NULL) {
        log_line(LOG_LEVEL_ERROR, "cannot prepare workers: %s", strerror(errno));
        if (supervisor->current != NULL)
            retain_listeners(supervisor);
        return false;
    }
    forget_state(supervisor);
    for (size_t i = 0; i < SAVER_PARTS; i++) {
        supervisor->state_fds[i] = result->state_fds[i];
        result->state_fds[i] = -1;
    }
    /* What senders may hold is on the disk before the first of them can fetch it. */
    supervisor->is_start_due = true;
    supervisor->next->deadline = INT64_MAX;
    save_part(supervisor, &supervisor->next->image->settings, SAVER_PROMISES);
    return true;
}

/* The load is finished. One of the certificates alone says nothing of the configuration files, and
 * leaves what was written of them. */
static void write_status(struct supervisor *supervisor)
{
    supervisor->coming.ended = time(NULL);
    if (supervisor->loading == LOAD_ALL) {
        status_load_free(&supervisor->last);
        supervisor->last = supervisor->coming;
        supervisor->coming = (struct status_load){0};
    }
    status_write(&supervisor->status, &supervisor->last, supervisor->options->path,
                 supervisor->current->number, supervisor->current->image);
    memory_give_back(); /* the file has a line for each domain */
}

/* The load came to nothing; without one before it the server does not start. why is "" or a clause that
 * ends in "; ". */
static void refuse(struct supervisor *supervisor, const char *why)
{
    forget_state(supervisor);
    if (supervisor->current == NULL) {
        supervisor->failed = true;
        supervisor->stopping = true;
        return;
    }
    stats_add(supervisor->stats, STATS_RELOADS_REFUSED);
    report_refusal(supervisor->current, &supervisor->notifier, why, &supervisor->coming);
    write_status(supervisor);
}

/* The files may have been good, and a renewal must not be forgotten for it. */
static void try_again_later(struct supervisor *supervisor)
{
    int64_t pause = LIMIT_WATCH_UNREST_MS;
    for (unsigned i = 0; i < supervisor->load_deaths && pause < LIMIT_LOAD_PAUSE_MOST_MS; i++)
        pause *= 2;
    if (supervisor->current != NULL)
        watcher_retry(&supervisor->watcher, clock_monotonic_ms(),
                      pause < LIMIT_LOAD_PAUSE_MOST_MS ? pause : LIMIT_LOAD_PAUSE_MOST_MS);
}

static void start_loader(struct supervisor *supervisor, bool state_hangs)
{
    if (begin_load(supervisor, state_hangs))
        return;
    refuse(supervisor, "no process can be made; ");
    try_again_later(supervisor);
}

static void load(struct supervisor *supervisor, enum load_extent extent)
{
    supervisor->loading = extent;
    status_load_free(&supervisor->coming);
    supervisor->coming.number = ++supervisor->loads;
    supervisor->coming.begun_us = clock_monotonic_us();
    start_loader(supervisor, false);
}

static void reload(struct supervisor *supervisor)
{
    enum load_extent extent = supervisor->reload_wanted;
    supervisor->reload_wanted = LOAD_NOTHING;
    if (extent > LOAD_NEW_CERTIFICATES)
        notifier_tell(&supervisor->notifier, NOTIFY_RELOADING, NULL);
    load(supervisor, extent);
}

/* A load is refused, and why. Somebody may leave a broken file lying about while certificates are
 * renewed. */
static void refuse_load(struct supervisor *supervisor, const char *why)
{
    if (supervisor->loading == LOAD_ALL && supervisor->reload_wanted == LOAD_NOTHING)
        supervisor->reload_wanted = LOAD_NEW_CERTIFICATES;
    refuse(supervisor, why);
}

/* It has died, or was killed: that says nothing of the files. */
static void refuse_for_death(struct supervisor *supervisor, const char *reason)
{
    char why[128];
    (void)snprintf(why, sizeof(why), "%s; ", reason); /* it fits */
    if (supervisor->current == NULL)
        log_line(LOG_LEVEL_ERROR, "%s", reason);
    refuse_load(supervisor, why);
    try_again_later(supervisor);
    supervisor->load_deaths++;
}

static void use_load(struct supervisor *supervisor, struct loader_result *result)
{
    if (supervisor->current == NULL)
        log_set_style(&result->image->settings.log);
    log_copy(&supervisor->coming.faults, LIMIT_STATUS_FAULTS);
    bool good = prepare(supervisor, result);
    log_copy(NULL, 0);
    if (!good)
        refuse_load(supervisor, "");
}

/* The loader has said how the load went. */
static void end_load(struct supervisor *supervisor, enum loader_outcome outcome,
                     struct loader_result *result)
{
    if (outcome == LOADER_RUNS)
        return;
    supervisor->load_ms = clock_monotonic_ms() - supervisor->load_begun;
    supervisor->coming.errors = result->errors;
    supervisor->coming.warnings = result->warnings;
    text_free(&supervisor->coming.faults);
    supervisor->coming.faults = result->faults;
    result->faults = (struct text){0};
    switch (outcome) {
    case LOADER_RUNS:
        break;
    case LOADER_UNCHANGED:
        if (supervisor->loading != LOAD_NEW_CERTIFICATES)
            refuse_for_death(supervisor, "the loader says that nothing was to be loaded");
        break;
    case LOADER_DONE:
        supervisor->load_deaths = 0;
        use_load(supervisor, result);
        break;
    case LOADER_REFUSED:
        supervisor->load_deaths = 0;
        refuse_load(supervisor, "");
        break;
    case LOADER_DIED:
        refuse_for_death(supervisor, result->why);
        break;
    case LOADER_STATE_HANGS:
        if (supervisor->is_without_state)
            refuse_for_death(supervisor,
                             "the loader waits for a disk that it was told to leave alone");
        else
            start_loader(supervisor, true);
        break;
    }
    loader_result_free(result);
}

/* The next generation will not serve. Its processes are killed and reaped without further action. */
static void cancel_next(struct supervisor *supervisor, const char *why)
{
    generation_signal(supervisor->next, SIGKILL);
    generation_free(supervisor->next);
    supervisor->next = NULL;
    if (supervisor->current != NULL)
        retain_listeners(supervisor);
    refuse(supervisor, why);
}

/* Memory may have been short. */
static void give_up_next(struct supervisor *supervisor)
{
    cancel_next(supervisor, "its workers did not start; ");
    try_again_later(supervisor);
}

static void promote_next(struct supervisor *supervisor)
{
    assert(supervisor->retiring == NULL);
    supervisor->retiring = supervisor->current;
    supervisor->current = supervisor->next;
    supervisor->last_number = supervisor->current->number;
    supervisor->next = NULL;
    if (supervisor->retiring != NULL) {
        generation_drain(supervisor->retiring);
        generation_retire(supervisor->retiring);
        retain_listeners(supervisor);
        supervisor->retiring->deadline = clock_monotonic_ms() + LIMIT_DRAIN_MS + KILL_GRACE_MS;
        stats_add(supervisor->stats, STATS_RELOADS_DONE);
    }
    const struct settings_image *image = supervisor->current->image;
    int64_t now = clock_monotonic_ms();
    log_set_style(&image->settings.log);
    generation_set_gauges(supervisor->current, time(NULL));
    supervisor->gauges_at = generation_has_metrics(supervisor->current) ? 0 : INT64_MAX;
    watcher_begin(&supervisor->watcher, &image->watch, &image->settings.acme, supervisor->load_ms,
                  now);
    supervisor->stale_at = now + LIMIT_WATCH_DAY_MS;
    /* So that a restart can fall back to what is valid now. */
    save_part(supervisor, &image->settings, SAVER_POLICIES);
    supervisor->is_ready_due = true;
}

/* What was saved before the word "ready" is there for whoever waits for it. */
static void tell_ready(struct supervisor *supervisor)
{
    if (!supervisor->is_ready_due || saver_is_waited_for(&supervisor->saver))
        return;
    supervisor->is_ready_due = false;
    if (supervisor->stopping)
        return;
    report_summary(supervisor->current, &supervisor->coming);
    write_status(supervisor);
    report_ready(supervisor->current, &supervisor->listeners, &supervisor->notifier);
}

/* The last of its workers has ended: at a drain, or before there was one. */
static void free_retiring(struct supervisor *supervisor)
{
    generation_free(supervisor->retiring);
    supervisor->retiring = NULL;
    if (supervisor->current != NULL && !supervisor->stopping)
        save_part(supervisor, &supervisor->current->image->settings, SAVER_PROMISES_AFTER);
}

static void stop(struct supervisor *supervisor)
{
    bool again = supervisor->stopping;
    supervisor->stopping = true;
    supervisor->stop_by = again ? 0 : clock_monotonic_ms() + LIMIT_DRAIN_MS + KILL_GRACE_MS;
    loader_stop(&supervisor->loader);
    if (supervisor->next != NULL) {
        generation_signal(supervisor->next, SIGKILL);
        generation_free(supervisor->next);
        supervisor->next = NULL;
    }
    notifier_tell(&supervisor->notifier, NOTIFY_STOPPING, NULL);
    watcher_stop(&supervisor->watcher);
    listeners_close(&supervisor->listeners);
    if (supervisor->current != NULL)
        generation_drain(supervisor->current);
}

/* A worker of the current generation has ended though nobody told it to. */
static void replace(struct supervisor *supervisor, pid_t pid, int status)
{
    bool others = generation_works(supervisor->current);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        log_line(LOG_LEVEL_ERROR, "worker %d ended unexpectedly", (int)pid);
    stats_add(supervisor->stats, STATS_WORKERS_REPLACED);
    int64_t pause =
        child_replace(CHILD_WORKER, pid, &supervisor->backoff, others, clock_monotonic_ms());
    if (pause == 0)
        start_workers(supervisor, supervisor->current);
    else
        start_later(supervisor, pause);
}

/* Nothing works: the end is seen by the service manager, which an empty loop would not be. */
static void give_up_if_hopeless(struct supervisor *supervisor, int64_t now)
{
    bool works = supervisor->current == NULL || generation_works(supervisor->current);
    if (!backoff_is_hopeless(&supervisor->backoff, works, now) || supervisor->stopping)
        return;
    log_line(LOG_LEVEL_ERROR, "no worker was ready for %d s: giving up", LIMIT_CRASHES_MS / 1000);
    supervisor->failed = true;
    stop(supervisor);
}

static void on_process_exit(struct supervisor *supervisor, pid_t pid, int status)
{
    struct generation *const all[] = {supervisor->current, supervisor->next, supervisor->retiring};
    struct loader_result result = LOADER_RESULT_NONE;
    int64_t now = clock_monotonic_ms();
    end_load(supervisor, loader_end(&supervisor->loader, pid, status, now, &result), &result);
    if (saver_end(&supervisor->saver, pid, status, settings_in_use(supervisor), now))
        return;
    if (watcher_end(&supervisor->watcher, pid, status, now))
        return;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct generation *generation = all[i];
        size_t index = generation == NULL ? 0 : generation_find(generation, pid);
        if (generation == NULL || index == generation->worker_count)
            continue;
        child_report_death(CHILD_WORKER, pid, status);
        generation_forget_worker(generation, index);
        if (generation == supervisor->next)
            give_up_next(supervisor);
        else if (generation == supervisor->current && !supervisor->stopping)
            replace(supervisor, pid, status);
        return;
    }
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
    if (supervisor->retry_at != 0 && now >= supervisor->retry_at) {
        supervisor->retry_at = 0;
        if (supervisor->next != NULL && !supervisor->is_start_due)
            start_workers(supervisor, supervisor->next);
        if (supervisor->current != NULL && !supervisor->stopping)
            start_workers(supervisor, supervisor->current);
    }
    if (now >= supervisor->gauges_at) {
        generation_set_memory_gauges(supervisor->current, supervisor->retiring);
        supervisor->gauges_at = now + LIMIT_GAUGES_MS;
    }
    struct loader_result result = LOADER_RESULT_NONE;
    end_load(supervisor, loader_expire(&supervisor->loader, now, &result), &result);
    if (supervisor->next != NULL && now >= supervisor->next->deadline) {
        log_line(LOG_LEVEL_ERROR, "workers were not ready in time");
        give_up_next(supervisor);
    }
    if (supervisor->current != NULL)
        generation_expire(supervisor->current, now);
    give_up_if_hopeless(supervisor, now);
    if (supervisor->retiring != NULL && now >= supervisor->retiring->deadline)
        generation_signal(supervisor->retiring, SIGKILL);
    if (supervisor->stopping && now >= supervisor->stop_by && supervisor->current != NULL)
        generation_signal(supervisor->current, SIGKILL);
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
        supervisor->retry_at == 0 ? INT64_MAX : supervisor->retry_at,
        supervisor->next == NULL ? INT64_MAX : supervisor->next->deadline,
        supervisor->current == NULL ? INT64_MAX : generation_next_deadline(supervisor->current),
        supervisor->retiring == NULL ? INT64_MAX : supervisor->retiring->deadline,
        supervisor->stopping ? supervisor->stop_by : INT64_MAX,
        is_settled(supervisor) ? supervisor->stale_at : INT64_MAX,
        supervisor->loader.deadline,
        supervisor->notifier.next,
        supervisor->gauges_at,
        watcher_next_deadline(&supervisor->watcher),
        saver_next_deadline(&supervisor->saver),
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
    bool is_required = supervisor->next->image->settings.seal_required;
    if (is_required || !supervisor->is_seal_told)
        report_missing_seal(report, is_required);
    supervisor->is_seal_told = true;
    if (is_required)
        cancel_next(supervisor, "");
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

static void hear_loader(struct supervisor *supervisor)
{
    struct loader_result result = LOADER_RESULT_NONE;
    int64_t now = clock_monotonic_ms(), deadline = supervisor->loader.deadline;
    end_load(supervisor, loader_hear(&supervisor->loader, now, &result), &result);
    if (supervisor->loader.pid != 0 && supervisor->loader.deadline != deadline)
        notifier_extend(&supervisor->notifier, now);
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
    hear_loader(supervisor);
    hear_workers(supervisor, &supervisor->next); /* if one has died, SIGCHLD tells */
    hear_workers(supervisor, &supervisor->current);
    on_signals(supervisor);
}

static size_t running(const struct supervisor *supervisor)
{
    return (supervisor->current == NULL ? 0 : generation_running(supervisor->current)) +
           (supervisor->retiring == NULL ? 0 : generation_running(supervisor->retiring));
}

/* What the watcher has found; and once a day dates of certificates mean something else. */
static void take_news(struct supervisor *supervisor)
{
    enum load_extent extent = LOAD_NOTHING;
    enum lookout_news news = watcher_take_news(&supervisor->watcher);
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
    while (!supervisor->stopping || running(supervisor) > 0 ||
           saver_is_waited_for(&supervisor->saver)) {
        wait_for_news(supervisor);
        on_deadlines(supervisor, clock_monotonic_ms());
        notifier_live(&supervisor->notifier, clock_monotonic_ms());
        watcher_hear(&supervisor->watcher, clock_monotonic_ms());
        watcher_expire(&supervisor->watcher, clock_monotonic_ms());
        if (supervisor->next != NULL && generation_ready(supervisor->next))
            promote_next(supervisor);
        saver_expire(&supervisor->saver, settings_in_use(supervisor), clock_monotonic_ms());
        if (supervisor->retiring != NULL && generation_running(supervisor->retiring) == 0)
            free_retiring(supervisor);
        start_next(supervisor);
        tell_ready(supervisor);
        if (is_settled(supervisor))
            take_news(supervisor);
        if (supervisor->reload_wanted != LOAD_NOTHING && is_settled(supervisor))
            reload(supervisor);
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
        .watcher = WATCHER_NONE,
        .saver = SAVER_NONE,
        .loader = LOADER_NONE,
        .state_fds = {-1, -1, -1},
    };
    clock_steady_begin(&supervisor.clock);
    status_open(status_path(options->status, options->path),
                options->status != NULL || getenv("RUNTIME_DIRECTORY") != NULL, &supervisor.status);
    memory_begin(); /* workers inherit it */
    if (!catch_signals(&supervisor)) {
        log_line(LOG_LEVEL_ERROR, "cannot catch signals: %s", strerror(errno));
        return 1; /* the process ends, and with it what it holds */
    }
    if (!confine_supervisor())
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
    load(&supervisor, LOAD_ALL);
    supervise(&supervisor);
    if (supervisor.failed && supervisor.current == NULL)
        log_line(LOG_LEVEL_ERROR, "not started");
    else
        log_line(LOG_LEVEL_NOTICE, supervisor.failed ? "stopped after a failure" : "stopped");
    saver_close(&supervisor.saver);
    generation_free(supervisor.current);
    generation_free(supervisor.retiring);
    stats_free(supervisor.stats);
    watcher_close(&supervisor.watcher);
    listeners_close(&supervisor.listeners);
    notifier_close(&supervisor.notifier);
    status_close(&supervisor.status);
    status_load_free(&supervisor.coming);
    status_load_free(&supervisor.last);
    (void)close(supervisor.signals); /* it was only read */
    if (supervisor.empty_root_fd >= 0)
        (void)close(supervisor.empty_root_fd); /* nothing can be written to it */
    return supervisor.failed ? 1 : 0;
}
