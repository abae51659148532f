#include "supervise/gauges.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "site/verdict.h"

static const enum stats_gauge figure_of[DOMAIN_STATES] = {
    [DOMAIN_REFUSED] = STATS_DOMAINS_REFUSED,
    [DOMAIN_STALE] = STATS_DOMAINS_STALE,
    [DOMAIN_NO_CERTIFICATE] = STATS_DOMAINS_NO_CERTIFICATE,
    [DOMAIN_SERVED] = STATS_DOMAINS_SERVED,
};

void gauges_set_settings(struct stats *stats, const struct settings_image *image, int64_t now)
{
    for (size_t state = 0; state < DOMAIN_STATES; state++)
        stats_set(stats, figure_of[state], (int64_t)image->domains[state]);
    stats_set(stats, STATS_TESTED_LONG, (int64_t)image->tested_long);
    stats_set(stats, STATS_HELD_AGAINST, (int64_t)image->held_against);
    stats_set(stats, STATS_BLOCKED, image->is_blocked ? 1 : 0);
    stats_set(stats, STATS_NOT_AFTER, image->not_after);
    stats_set(stats, STATS_WARNING, image->warning);
    stats_set(stats, STATS_LAST_RELOAD, now);
}

/* proc(5): the second number of statm is that of resident pages. 0: not known. */
static int64_t resident_bytes(pid_t pid)
{
    char path[64], line[128];
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid); /* it fits */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, line, sizeof(line) - 1);
    (void)close(fd); /* it was only read */
    line[len < 0 ? 0 : len] = '\0';
    const char *second = strchr(line, ' ');
    return second == NULL ? 0 : strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static int64_t resident_bytes_of(const struct generation *generation)
{
    int64_t sum = 0;
    for (size_t i = 0; generation != NULL && i < generation->worker_count; i++)
        if (generation->workers[i].pid != 0)
            sum += resident_bytes(generation->workers[i].pid);
    return sum;
}

void gauges_set_memory(struct stats *stats, const struct generation *current,
                       const struct generation *retiring)
{
    stats_set(stats, STATS_MEMORY_SUPERVISOR, resident_bytes(getpid()));
    stats_set(stats, STATS_MEMORY_WORKERS,
              resident_bytes_of(current) + resident_bytes_of(retiring));
}

bool gauges_are_wanted(const struct settings *settings)
{
    for (size_t i = 0; i < settings->listener_count; i++)
        if (settings->listeners[i].service == ENDPOINT_METRICS)
            return true;
    return false;
}
