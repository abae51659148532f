#include "supervise/figures.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "site/verdict.h"

static const enum board_figure figure_of[DOMAIN_STATES] = {
    [DOMAIN_REFUSED] = BOARD_DOMAINS_REFUSED,
    [DOMAIN_STALE] = BOARD_DOMAINS_STALE,
    [DOMAIN_NO_CERTIFICATE] = BOARD_DOMAINS_NO_CERTIFICATE,
    [DOMAIN_SERVED] = BOARD_DOMAINS_SERVED,
};

static bool is_earlier(int64_t one, int64_t other)
{
    return other == 0 || one < other;
}

void figures_of_configuration(struct board *board, const struct configuration *configuration,
                              int64_t now)
{
    int64_t counts[DOMAIN_STATES] = {0};
    const struct site *site = configuration->site;
    int64_t end = 0, warning = 0;
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        counts[verdict_state(domain)]++;
        for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
            const struct credential *credential = site_credential(domain, kind);
            if (credential == NULL || site_is_proxied(domain))
                continue;
            int64_t not_after = credential_not_after(credential);
            int64_t from = verdict_warning_time(credential_not_before(credential), not_after,
                                                configuration->settings.certificate_warning);
            end = is_earlier(not_after, end) ? not_after : end;
            warning = is_earlier(from, warning) ? from : warning;
        }
    }
    for (size_t state = 0; state < DOMAIN_STATES; state++)
        board_set(board, figure_of[state], counts[state]);
    board_set(board, BOARD_BLOCKED, verdict_is_blocked(site, configuration->denied) ? 1 : 0);
    board_set(board, BOARD_NOT_AFTER, end);
    board_set(board, BOARD_WARNING, warning);
    board_set(board, BOARD_LAST_RELOAD, now);
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

void figures_of_memory(struct board *board, const struct generation *current,
                       const struct generation *retiring)
{
    board_set(board, BOARD_MEMORY_SUPERVISOR, resident_bytes(getpid()));
    board_set(board, BOARD_MEMORY_WORKERS,
              resident_bytes_of(current) + resident_bytes_of(retiring));
}

bool figures_are_wanted(const struct configuration *configuration)
{
    const struct settings *settings = &configuration->settings;
    for (size_t i = 0; i < settings->listener_count; i++)
        if (settings->listeners[i].service == ENDPOINT_METRICS)
            return true;
    return false;
}
