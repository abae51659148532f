#include "supervise/supervisor_inside.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/worker.h"
#include "site/site.h"

/* How long a worker has beyond its own deadline before it is killed. Milliseconds. */
enum { GRACE_MS = 3000 };

/* As many as we may use, which a container can limit to fewer than there are. */
static size_t count_cpus(void)
{
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
        return 1;
    int count = CPU_COUNT(&cpus);
    return count < 1 ? 1 : count > LIMIT_WORKERS ? LIMIT_WORKERS : (size_t)count;
}

struct generation *generation_new(const struct supervisor *supervisor, struct loaded *loaded)
{
    struct generation *generation = calloc(1, sizeof(*generation));
    if (generation == NULL)
        return NULL;
    *generation = (struct generation){
        .number = supervisor->current == NULL ? 1 : supervisor->current->number + 1,
        .stats = supervisor->stats,
        .deadline = INT64_MAX,
    };
    size_t count = loaded->image->settings.workers;
    generation->worker_count = count == 0 ? count_cpus() : count;
    generation->memory = memory_left(generation->worker_count);
    generation->workers = calloc(generation->worker_count, sizeof(*generation->workers));
    if (generation->workers == NULL ||
        !stats_reserve(generation->stats, generation->worker_count)) {
        free(generation->workers);
        free(generation);
        return NULL;
    }
    for (size_t i = 0; i < generation->worker_count; i++)
        generation->workers[i].control = -1;
    generation->loaded = *loaded;
    *loaded = LOADED_NONE;
    return generation;
}

static void forget_worker(struct generation *generation, size_t index)
{
    descriptor_close(&generation->workers[index].control);
    stats_end_worker(generation->stats, stats_slot(generation->number, index));
    generation->workers[index] = (struct generation_worker){.control = -1};
}

void generation_free(struct generation *generation)
{
    if (generation == NULL)
        return;
    for (size_t i = 0; i < generation->worker_count; i++) {
        child_kill(generation->workers[i].pid);
        forget_worker(generation, i);
    }
    free(generation->workers);
    loaded_free(&generation->loaded);
    free(generation);
}

static _Noreturn void become_worker(const struct supervisor *supervisor,
                                    const struct generation *generation, size_t slot,
                                    const struct entrance *entrances, size_t count, int control)
{
    const struct settings_image *image = generation->loaded.image;
    const struct settings *settings = &image->settings;
    const int site_fd = generation->loaded.files[LOADER_SITE];
    struct site *site = site_open(site_fd);
    if (site == NULL) {
        log_line(LOG_LEVEL_ERROR, "worker: cannot open the site: %s", strerror(errno));
        _exit(1);
    }
    (void)close(site_fd); /* the mapping stays */
    const struct worker_options options = {
        .site = site,
        .stats = generation->stats,
        .slot = slot,
        .memory = generation->memory,
        .log = &settings->log,
        .challenges = supervisor->watcher.challenger.challenges,
        .entrances = entrances,
        .entrance_count = count,
        .control = control,
        .supervisor = getppid(),
        .keep_identity = geteuid() != 0,
        .uid = image->uid,
        .gid = image->gid,
        .empty_root_fd = supervisor->empty_root_fd,
        .seal_required = settings->seal_required,
    };
    _exit(worker_run(&options));
}

static bool start_worker(struct generation *generation, size_t index,
                         const struct supervisor *supervisor)
{
    const struct settings *settings = &generation->loaded.image->settings;
    struct entrance entrances[LIMIT_LISTENERS];
    int kept[CHILD_KEPT_MOST] = {generation->loaded.files[LOADER_SITE], supervisor->empty_root_fd};
    int control;
    size_t count = listeners_entrances(&supervisor->listeners, settings->listeners,
                                       settings->listener_count, entrances);
    for (size_t i = 0; i < count; i++)
        kept[2 + i] = entrances[i].fd;
    pid_t pid = child_begin(CHILD_WORKER, kept, 2 + count, &control);
    if (pid == 0)
        become_worker(supervisor, generation, stats_slot(generation->number, index), entrances,
                      count, control);
    if (pid < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot start a worker: %s", strerror(errno));
        return false;
    }
    generation->workers[index] = (struct generation_worker){
        .pid = pid, .control = control, .ready_by = clock_monotonic_ms() + LIMIT_READY_MS};
    return true;
}

bool generation_start(struct generation *generation, const struct supervisor *supervisor)
{
    bool good = true;
    for (size_t i = 0; i < generation->worker_count; i++)
        if (generation->workers[i].pid == 0)
            good = start_worker(generation, i, supervisor) && good;
    return good;
}

bool generation_hear(struct generation *generation, size_t index, struct seal_report *ret_report)
{
    struct generation_worker *worker = &generation->workers[index];
    struct worker_sealed message;
    ssize_t count = recv(worker->control, &message, sizeof(message), 0);
    if (count == 1 && message.type == WORKER_READY)
        worker->ready = true;
    if (count != (ssize_t)sizeof(message) || message.type != WORKER_SEALED)
        return false;
    *ret_report = message.report;
    return true;
}

bool generation_end_worker(struct generation *generation, pid_t pid, int status)
{
    for (size_t i = 0; generation != NULL && i < generation->worker_count; i++)
        if (generation->workers[i].pid == pid) {
            child_report_death(CHILD_WORKER, pid, status);
            forget_worker(generation, i);
            return true;
        }
    return false;
}

struct generation_count generation_count(const struct generation *generation)
{
    struct generation_count count = {0};
    for (size_t i = 0; generation != NULL && i < generation->worker_count; i++) {
        count.running += generation->workers[i].pid != 0 ? 1 : 0;
        count.ready += generation->workers[i].ready ? 1 : 0;
    }
    return count;
}

void generation_expire(struct generation *generation, int64_t now)
{
    for (size_t i = 0; generation != NULL && i < generation->worker_count; i++) {
        struct generation_worker *worker = &generation->workers[i];
        if (now >= generation->deadline)
            child_kill(worker->pid);
        if (worker->pid == 0 || worker->ready || now < worker->ready_by)
            continue;
        worker->ready_by = INT64_MAX;
        log_line(LOG_LEVEL_ERROR, "worker %d was not ready in time", (int)worker->pid);
        child_kill(worker->pid);
    }
}

int64_t generation_next_deadline(const struct generation *generation)
{
    int64_t next = generation == NULL ? INT64_MAX : generation->deadline;
    for (size_t i = 0; generation != NULL && i < generation->worker_count; i++) {
        const struct generation_worker *worker = &generation->workers[i];
        if (worker->pid != 0 && !worker->ready && worker->ready_by < next)
            next = worker->ready_by;
    }
    return next;
}

void generation_drain(struct generation *generation, int64_t now)
{
    const char message = WORKER_DRAIN;
    generation->deadline = now + LIMIT_DRAIN_MS + GRACE_MS;
    for (size_t i = 0; i < generation->worker_count; i++)
        if (generation->workers[i].pid != 0)
            /* A worker that is gone already does not need it. */
            (void)!send(generation->workers[i].control, &message, 1, MSG_NOSIGNAL);
    descriptor_close(&generation->loaded.files[LOADER_SITE]);
}

void generation_set_memory_gauges(const struct supervisor *supervisor)
{
    const struct generation *const all[] = {supervisor->current, supervisor->retiring};
    int64_t workers = 0;
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; all[k] != NULL && i < all[k]->worker_count; i++)
            if (all[k]->workers[i].pid != 0)
                workers += (int64_t)memory_resident(all[k]->workers[i].pid);
    stats_set(supervisor->stats, STATS_MEMORY_SUPERVISOR, (int64_t)memory_resident(getpid()));
    stats_set(supervisor->stats, STATS_MEMORY_WORKERS, workers);
}
