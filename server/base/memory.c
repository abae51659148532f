#include "base/memory.h"

#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"

void memory_begin(void)
{
#ifdef __GLIBC__
    /* Left alone, it counts as large only what is larger than anything that was freed. */
    (void)mallopt(M_MMAP_THRESHOLD, LIMIT_SMALL_MEMORY); /* the default is as good for the result */
#endif
}

void memory_give_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0); /* whether it found pages does not matter */
#endif
}

/* The first bytes of a file as text; false when it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, size - 1);
    (void)close(fd); /* It was only read. */
    text[len > 0 ? len : 0] = '\0';
    return len > 0;
}

/* The number in a file; SIZE_MAX when it has none, as "max", or cannot be read. */
static size_t read_limit(const char *path)
{
    char text[32], *end;
    if (!read_text(path, text, sizeof(text)))
        return SIZE_MAX;
    unsigned long long value = strtoull(text, &end, 10);
    return end == text || value > SIZE_MAX ? SIZE_MAX : (size_t)value;
}

/* The least limit of the control group and those around it: inside of a container its path may be
 * that of the machine, of which only the beginning is there. */
static size_t group_limit(const char *mount, const char *group, const char *file)
{
    char path[PATH_MAX];
    size_t least = SIZE_MAX;
    for (size_t len = strlen(group);;) {
        int made = snprintf(path, sizeof(path), "%s%.*s/%s", mount, (int)len, group, file);
        size_t limit = made > 0 && (size_t)made < sizeof(path) ? read_limit(path) : SIZE_MAX;
        if (limit < least)
            least = limit;
        if (len == 0)
            return least;
        while (len > 0 && group[len - 1] != '/')
            len--;
        if (len > 0)
            len--;
    }
}

/* A line is "NUMBER:CONTROLLERS:PATH", in version 2 "0::PATH". */
static size_t limit_of_line(char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL)
        return SIZE_MAX;
    *group++ = '\0';
    if (strcmp(controllers, ":") == 0)
        return group_limit("/sys/fs/cgroup", group, "memory.max");
    for (char *rest = controllers + 1, *one = NULL; (one = strsep(&rest, ",")) != NULL;)
        if (strcmp(one, "memory") == 0)
            return group_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    return SIZE_MAX;
}

static size_t control_group_limit(void)
{
    char text[4096];
    size_t least = SIZE_MAX;
    if (!read_text("/proc/self/cgroup", text, sizeof(text)))
        return SIZE_MAX;
    for (char *rest = text, *line = NULL; (line = strsep(&rest, "\n")) != NULL;) {
        size_t limit = limit_of_line(line);
        if (limit < least)
            least = limit;
    }
    return least;
}

static size_t left_of(size_t limit, size_t used)
{
    return limit == SIZE_MAX ? SIZE_MAX : limit > used ? limit - used : 0;
}

/* Of a limit of the process, of which so many bytes are used. */
static size_t left_of_process(const struct rlimit *limit, size_t used)
{
    return limit->rlim_cur >= SIZE_MAX ? SIZE_MAX : left_of((size_t)limit->rlim_cur, used);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t memory_left(size_t sharers)
{
    char text[128];
    unsigned long pages[2] = {0}; /* of the address space, and resident */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (read_text("/proc/self/statm", text, sizeof(text))) {
        char *end;
        pages[0] = strtoul(text, &end, 10);
        pages[1] = strtoul(end, NULL, 10);
    }
    struct rlimit space = {.rlim_cur = RLIM_INFINITY}, data = space;
    (void)getrlimit(RLIMIT_AS, &space); /* What cannot be learnt does not limit. */
    (void)getrlimit(RLIMIT_DATA, &data);
    size_t group = left_of(control_group_limit(), pages[1] * page);
    return smaller(
        group == SIZE_MAX ? group : group / sharers,
        smaller(left_of_process(&space, pages[0] * page), left_of_process(&data, pages[1] * page)));
}
