#include "supervise/supervisor_inside.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"

/* Those of the next generation that the current one has not are closed again. */
static void retain_listeners(struct supervisor *supervisor)
{
    if (supervisor->current == NULL)
        return;
    const struct settings *settings = &supervisor->current->loaded.image->settings;
    listeners_retain(&supervisor->listeners, settings->listeners, settings->listener_count);
}

/* NULL until a load was good. */
static const struct settings *settings_in_use(const struct supervisor *supervisor)
{
    const struct generation *latest =
        supervisor->current != NULL ? supervisor->current : supervisor->next;
    return latest == NULL ? NULL : &latest->loaded.image->settings;
}

static void save_part(struct supervisor *supervisor, struct generation *generation,
                      enum saver_part part)
{
    int *file = &generation->loaded.files[LOADER_STATE + part];
    saver_begin(&supervisor->saver, &generation->loaded.image->settings, part, *file,
                clock_monotonic_ms());
    *file = -1;
}

/* Starts the workers of the next generation when its promises are saved, or the disk does not answer. */
static void start_next(struct supervisor *supervisor)
{
    struct generation *next = supervisor->next;
    if (next == NULL || next->deadline != INT64_MAX || saver_is_waited_for(&supervisor->saver))
        return;
    next->deadline = clock_monotonic_ms() + LIMIT_READY_MS;
    supervisor_start_workers(supervisor, next);
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

/* Makes the next generation of what was loaded. False, logged, when that cannot be done. */
static bool prepare(struct supervisor *supervisor, struct loaded *loaded)
{
    const struct settings *settings = &loaded->image->settings;
    if (!watcher_prepare(&supervisor->watcher, &settings->acme)) {
        try_again_later(supervisor);
        return false;
    }
    if (!listeners_open(&supervisor->listeners, settings->listeners, settings->listener_count))
        return false;
    supervisor->next = generation_new(supervisor, loaded);
    if (supervisor->next == NULL) {
        log_line(LOG_LEVEL_ERROR, "cannot prepare workers: %s", strerror(errno));
        retain_listeners(supervisor);
        try_again_later(supervisor);
        return false;
    }
    /* What senders may hold is on the disk before the first of them can fetch it. */
    save_part(supervisor, supervisor->next, SAVER_PROMISES);
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
                 supervisor->current->number, supervisor->current->loaded.image);
}

/* The load came to nothing; without one before it the server does not start. why is a clause, or NULL. */
static void refuse(struct supervisor *supervisor, const char *why)
{
    char line[256];
    if (supervisor->current == NULL) {
        supervisor->failed = true;
        supervisor->stopping = true;
        return;
    }
    stats_add(supervisor->stats, STATS_RELOADS_REFUSED);
    (void)snprintf(line, sizeof(line), "reload refused: %s%sgeneration %u is still served",
                   why == NULL ? "" : why, why == NULL ? "" : "; ",
                   supervisor->current->number); /* the end is of no weight */
    log_line(LOG_LEVEL_ERROR, "%s", line);
    notifier_tell(&supervisor->notifier, NOTIFY_READY, line);
    supervisor->coming.is_refused = true;
    text_printf(&supervisor->coming.summary, "%s\n", line);
    write_status(supervisor);
    memory_give_back();
}

static void start_loader(struct supervisor *supervisor, bool state_hangs)
{
    const struct generation *current = supervisor->current;
    int64_t now = clock_monotonic_ms();
    supervisor->load_begun = now;
    supervisor->state_hangs = state_hangs;
    supervisor->notifier.extended = now;
    if (loader_begin(&supervisor->loader, load_run, supervisor,
                     current == NULL ? -1 : current->loaded.files[LOADER_SITE], now))
        return;
    refuse(supervisor, "no process can be made");
    try_again_later(supervisor);
}

void reload_begin(struct supervisor *supervisor, enum load_extent extent)
{
    supervisor->reload_wanted = LOAD_NOTHING;
    if (supervisor->current != NULL && extent > LOAD_NEW_CERTIFICATES)
        notifier_tell(&supervisor->notifier, NOTIFY_RELOADING, NULL);
    supervisor->loading = extent;
    status_load_free(&supervisor->coming);
    supervisor->coming.number = ++supervisor->loads;
    supervisor->coming.begun_us = clock_monotonic_us();
    start_loader(supervisor, false);
}

/* A load is refused, and why. Certificates may have been renewed while the broken file was there. */
static void refuse_load(struct supervisor *supervisor, const char *why)
{
    if (supervisor->loading == LOAD_ALL && supervisor->reload_wanted == LOAD_NOTHING)
        supervisor->reload_wanted = LOAD_NEW_CERTIFICATES;
    refuse(supervisor, why);
}

/* It has died, or was killed: that says nothing of the files. */
static void refuse_for_death(struct supervisor *supervisor, const char *reason)
{
    if (supervisor->current == NULL)
        log_line(LOG_LEVEL_ERROR, "%s", reason);
    refuse_load(supervisor, reason);
    try_again_later(supervisor);
    supervisor->load_deaths++;
}

static void use_load(struct supervisor *supervisor, struct loaded *loaded)
{
    if (supervisor->current == NULL)
        log_set_style(&loaded->image->settings.log);
    log_copy(&supervisor->coming.faults, LIMIT_STATUS_FAULTS);
    bool good = prepare(supervisor, loaded);
    log_copy(NULL, 0);
    loaded_free(loaded); /* what no generation has taken */
    if (!good)
        refuse_load(supervisor, NULL);
}

/* The loader has said how the load went. */
static void end_load(struct supervisor *supervisor, enum loader_outcome outcome)
{
    struct loader *loader = &supervisor->loader;
    if (outcome == LOADER_RUNS)
        return;
    supervisor->load_ms = clock_monotonic_ms() - supervisor->load_begun;
    supervisor->coming.errors = loader->errors;
    supervisor->coming.warnings = loader->warnings;
    text_free(&supervisor->coming.faults);
    supervisor->coming.faults = loader->faults;
    loader->faults = (struct text){0};
    switch (outcome) {
    case LOADER_RUNS:
        break;
    case LOADER_UNCHANGED:
        if (supervisor->loading != LOAD_NEW_CERTIFICATES)
            refuse_for_death(supervisor, "the loader says that nothing was to be loaded");
        break;
    case LOADER_DONE:
        supervisor->load_deaths = 0;
        use_load(supervisor, &loader->loaded);
        break;
    case LOADER_REFUSED:
        supervisor->load_deaths = 0;
        refuse_load(supervisor, NULL);
        break;
    case LOADER_DIED:
        refuse_for_death(supervisor, loader->why);
        break;
    case LOADER_STATE_HANGS:
        if (supervisor->state_hangs)
            refuse_for_death(supervisor,
                             "the loader waits for a disk that it was told to leave alone");
        else
            start_loader(supervisor, true);
        break;
    }
}

void reload_cancel_next(struct supervisor *supervisor, const char *why)
{
    generation_free(supervisor->next);
    supervisor->next = NULL;
    retain_listeners(supervisor);
    refuse(supervisor, why);
}

/* Memory may have been short. */
void reload_give_up_next(struct supervisor *supervisor)
{
    reload_cancel_next(supervisor, "its workers did not start");
    try_again_later(supervisor);
}

static void promote_next(struct supervisor *supervisor)
{
    int64_t now = clock_monotonic_ms();
    assert(supervisor->retiring == NULL);
    supervisor->retiring = supervisor->current;
    supervisor->current = supervisor->next;
    supervisor->current->deadline = INT64_MAX;
    supervisor->next = NULL;
    if (supervisor->retiring != NULL) {
        generation_drain(supervisor->retiring, now);
        retain_listeners(supervisor);
        stats_add(supervisor->stats, STATS_RELOADS_DONE);
    }
    const struct settings_image *image = supervisor->current->loaded.image;
    log_set_style(&image->settings.log);
    for (size_t i = 0; i < STATS_LOADED; i++)
        stats_set(supervisor->stats, (enum stats_gauge)i, image->gauges[i]);
    stats_set(supervisor->stats, STATS_LAST_RELOAD, time(NULL));
    supervisor->gauges_at = INT64_MAX; /* unless there is a listener for metrics */
    for (size_t i = 0; i < image->settings.listener_count; i++)
        if (image->settings.listeners[i].service == ENDPOINT_METRICS)
            supervisor->gauges_at = 0;
    watcher_begin(&supervisor->watcher, &image->watch, &image->settings.acme, supervisor->load_ms,
                  now);
    supervisor->stale_at = now + LIMIT_WATCH_DAY_MS;
    /* So that a restart can fall back to what is valid now. */
    save_part(supervisor, supervisor->current, SAVER_POLICIES);
    supervisor->is_ready_due = true;
}

/* "generation 2, 1 worker, 5000 domains (5 stale)" */
static void print_generation(const struct generation *generation, struct text *out)
{
    const struct settings_image *image = generation->loaded.image;
    int64_t count = settings_image_domains(image), stale = image->gauges[STATS_DOMAINS_STALE],
            refused = image->gauges[STATS_DOMAINS_REFUSED];
    text_printf(out, "generation %u, %zu worker%s, %" PRId64 " domain%s", generation->number,
                generation->worker_count, generation->worker_count == 1 ? "" : "s", count,
                count == 1 ? "" : "s");
    if (stale > 0)
        text_printf(out, " (%" PRId64 " stale)", stale);
    if (refused > 0)
        text_printf(out, " (%" PRId64 " refused)", refused);
}

/* What the load has come to, as lines for the status. */
static void print_summary(const struct generation *current, struct status_load *ret_load)
{
    struct span changes = current->loaded.image->change_lines;
    struct text *out = &ret_load->summary;
    text_append(out, span_of("serves "));
    print_generation(current, out);
    text_append(out, span_of("\n"));
    text_append(out, changes.len > 0 ? changes : span_of("no domain has changed"));
    text_append(out, span_of("\n"));
    if (ret_load->errors + ret_load->warnings > 0)
        text_printf(out, "%zu error%s, %zu warning%s: \"mta-sts-httpd check\" prints them\n",
                    ret_load->errors, ret_load->errors == 1 ? "" : "s", ret_load->warnings,
                    ret_load->warnings == 1 ? "" : "s");
}

/* What has changed, and that the generation serves, what, and where. */
static void report_ready(const struct supervisor *supervisor)
{
    const struct generation *current = supervisor->current;
    const struct settings *settings = &current->loaded.image->settings;
    static const char *const words[] = {
        [ENDPOINT_POLICIES] = ", listening on ",
        [ENDPOINT_METRICS] = "; metrics on ",
        [ENDPOINT_CHALLENGES] = "; challenges on ",
    };
    struct text text = {0};
    text_append(&text, current->loaded.image->change_clause);
    if (text.len > 0)
        text_append(&text, span_of("; "));
    text_append(&text, span_of("ready: "));
    print_generation(current, &text);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        listeners_print(&supervisor->listeners, settings->listeners, settings->listener_count,
                        (enum endpoint_service)i, words[i], &text);
    char fallback[64];
    (void)snprintf(fallback, sizeof(fallback),
                   "ready: generation %u (out of memory for the details)",
                   current->number); /* it fits */
    const char *line = text.failed || text.data == NULL ? fallback : text.data;
    log_line(LOG_LEVEL_NOTICE, "%s", line);
    notifier_tell(&supervisor->notifier, NOTIFY_READY, line);
    text_free(&text);
}

/* What was saved before the word "ready" is there for whoever waits for it. */
static void tell_ready(struct supervisor *supervisor)
{
    if (!supervisor->is_ready_due || saver_is_waited_for(&supervisor->saver))
        return;
    supervisor->is_ready_due = false;
    if (supervisor->stopping)
        return;
    print_summary(supervisor->current, &supervisor->coming);
    write_status(supervisor);
    report_ready(supervisor);
    memory_give_back(); /* the status has a line for each domain */
}

/* The last of its workers has ended: at a drain, or before there was one. */
static void free_retiring(struct supervisor *supervisor)
{
    generation_free(supervisor->retiring);
    supervisor->retiring = NULL;
    if (supervisor->current != NULL && !supervisor->stopping)
        save_part(supervisor, supervisor->current, SAVER_PROMISES_AFTER);
}

void reload_hear(struct supervisor *supervisor)
{
    int64_t now = clock_monotonic_ms(), deadline = supervisor->loader.deadline;
    end_load(supervisor, loader_hear(&supervisor->loader, now));
    if (supervisor->loader.pid != 0 && supervisor->loader.deadline != deadline)
        notifier_extend(&supervisor->notifier, now);
}

void reload_expire(struct supervisor *supervisor, int64_t now)
{
    end_load(supervisor, loader_expire(&supervisor->loader, now));
}

bool reload_end_child(struct supervisor *supervisor, pid_t pid, int status)
{
    int64_t now = clock_monotonic_ms();
    bool is_loader = pid == supervisor->loader.pid;
    end_load(supervisor, loader_end(&supervisor->loader, pid, status, now));
    return is_loader ||
           saver_end(&supervisor->saver, pid, status, settings_in_use(supervisor), now);
}

void reload_advance(struct supervisor *supervisor)
{
    if (supervisor->next != NULL &&
        generation_count(supervisor->next).ready == supervisor->next->worker_count)
        promote_next(supervisor);
    saver_expire(&supervisor->saver, settings_in_use(supervisor), clock_monotonic_ms());
    if (supervisor->retiring != NULL && generation_count(supervisor->retiring).running == 0)
        free_retiring(supervisor);
    start_next(supervisor);
    tell_ready(supervisor);
}
