#include "supervise/figures.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_earlier(const struct credential *credential, int64_t end)
{
    return credential != NULL && (end == 0 || credential_not_after(credential) < end);
}

static enum board_figure state_of(const struct site_domain *domain)
{
    if (domain->state == SITE_REFUSED)
        return BOARD_DOMAINS_REFUSED;
    if (domain->state == SITE_STALE)
        return BOARD_DOMAINS_STALE;
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (domain->credentials[kind] != NULL)
            return BOARD_DOMAINS_SERVED;
    return BOARD_DOMAINS_NO_CERTIFICATE;
}

void figures_of_configuration(struct board *board, const struct configuration *configuration,
                              int64_t now)
{
    int64_t figures[BOARD_FIGURES] = {0};
    const struct site *site = configuration->site;
    int64_t end = 0;
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        figures[state_of(domain)]++;
        for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
            if (is_earlier(domain->credentials[kind], end))
                end = credential_not_after(domain->credentials[kind]);
    }
    for (enum board_figure figure = BOARD_DOMAINS_SERVED; figure <= BOARD_DOMAINS_NO_CERTIFICATE;
         figure++)
        board_set(board, figure, figures[figure]);
    board_set(board, BOARD_NOT_AFTER, end);
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
