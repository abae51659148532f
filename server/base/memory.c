#include "base/memory.h"

#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/sanitizer.h"

void memory_begin(void)
{
#ifdef __GLIBC__
    /* Left alone, it counts as large only what is larger than anything that was freed. */
    (void)mallopt(M_MMAP_THRESHOLD, LIMIT_SMALL_MEMORY); /* the default is as good for the result */
#endif
}

/* For dl_iterate_phdr(3): the program and its libraries, one after the other. What can be written stays.
 * The first part in memory comes last: the list of parts lies in it, and to look at that again would
 * bring it back. */
static int give_back_code(struct dl_phdr_info *object, size_t size, void *context)
{
    const uintptr_t page = *(const size_t *)context, list = (uintptr_t)object->dlpi_phdr;
    uintptr_t begin = UINTPTR_MAX;
    (void)size;
    for (size_t i = object->dlpi_phnum; i > 0 && begin > list; i--) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i - 1];
        if (part->p_type != PT_LOAD || (part->p_flags & PF_W) != 0)
            continue;
        begin = (object->dlpi_addr + part->p_vaddr) / page * page;
        uintptr_t end = (object->dlpi_addr + part->p_vaddr + part->p_memsz) / page * page;
        if (end > begin)
            (void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* else they stay */
    }
    return 0;
}

void memory_give_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0); /* whether it found pages does not matter */
#endif
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)dl_iterate_phdr(give_back_code, &page);
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

static size_t left_of(size_t limit, size_t used)
{
    return limit == SIZE_MAX ? SIZE_MAX : limit > used ? limit - used : 0;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How a version of control groups calls what it knows of memory. */
struct group_version {
    const char *mount, *limit, *usage;
    const char
        *reclaimable[2]; /* keys of memory.stat: the kernel takes that back when it needs it */
};

static const struct group_version group_versions[] = {
    {"/sys/fs/cgroup/memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"total_active_file ", "total_inactive_file "}},
    {"/sys/fs/cgroup", "memory.max", "memory.current", {"active_file ", "inactive_file "}},
};

/* What the processes of the group take; 0 when it is not known. */
static size_t group_usage(const struct group_version *version, const char *folder)
{
    char path[PATH_MAX], text[4096];
    (void)snprintf(path, sizeof(path), "%.2048s/%s", folder, version->usage);
    size_t usage = read_limit(path);
    if (usage == SIZE_MAX)
        return 0;
    (void)snprintf(path, sizeof(path), "%.2048s/memory.stat", folder);
    if (!read_text(path, text, sizeof(text)))
        return usage;
    for (char *rest = text, *line = NULL; (line = strsep(&rest, "\n")) != NULL;)
        for (size_t i = 0; i < 2; i++)
            if (strncmp(line, version->reclaimable[i], strlen(version->reclaimable[i])) == 0)
                usage = left_of(usage, (size_t)strtoull(strchr(line, ' '), NULL, 10));
    return usage;
}

/* The least limit of the control group and those around it, or with is_free what is left of it: inside
 * of a container its path may be that of the machine, of which only the beginning is there. */
static size_t group_limit(const struct group_version *version, const char *group, bool is_free)
{
    char folder[PATH_MAX], path[PATH_MAX];
    size_t least = SIZE_MAX;
    for (size_t len = strlen(group);;) {
        int made = snprintf(folder, sizeof(folder), "%s%.*s", version->mount, (int)len, group);
        if (made > 0 && made < 2048) {
            (void)snprintf(path, sizeof(path), "%.2048s/%s", folder, version->limit); /* it fits */
            size_t limit = read_limit(path);
            if (is_free && limit != SIZE_MAX)
                limit = left_of(limit, group_usage(version, folder));
            least = smaller(limit, least);
        }
        if (len == 0)
            return least;
        while (len > 0 && group[len - 1] != '/')
            len--;
        if (len > 0)
            len--;
    }
}

/* A line is "NUMBER:CONTROLLERS:PATH", in version 2 "0::PATH". */
static size_t limit_of_line(char *line, bool is_free)
{
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL)
        return SIZE_MAX;
    *group++ = '\0';
    if (strcmp(controllers, ":") == 0)
        return group_limit(&group_versions[1], group, is_free);
    for (char *rest = controllers + 1, *one = NULL; (one = strsep(&rest, ",")) != NULL;)
        if (strcmp(one, "memory") == 0)
            return group_limit(&group_versions[0], group, is_free);
    return SIZE_MAX;
}

static size_t control_group_limit(bool is_free)
{
    char text[4096];
    size_t least = SIZE_MAX;
    if (!read_text("/proc/self/cgroup", text, sizeof(text)))
        return SIZE_MAX;
    for (char *rest = text, *line = NULL; (line = strsep(&rest, "\n")) != NULL;) {
        least = smaller(limit_of_line(line, is_free), least);
    }
    return least;
}

/* Of a limit of the process, of which so many bytes are used. */
static size_t left_of_process(const struct rlimit *limit, size_t used)
{
    return limit->rlim_cur >= SIZE_MAX ? SIZE_MAX : left_of((size_t)limit->rlim_cur, used);
}

/* Bytes of the address space of a process, and those that are resident. */
static void read_sizes(pid_t pid, size_t ret_sizes[static 2])
{
    char path[64], text[128], *end;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    ret_sizes[0] = ret_sizes[1] = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid); /* it fits */
    if (!read_text(path, text, sizeof(text)))
        return;
    ret_sizes[0] = strtoul(text, &end, 10) * page;
    ret_sizes[1] = strtoul(end, NULL, 10) * page;
}

size_t memory_resident(pid_t pid)
{
    size_t sizes[2];
    read_sizes(pid, sizes);
    return sizes[1];
}

size_t memory_left(size_t sharers)
{
    size_t sizes[2];
    read_sizes(getpid(), sizes);
    struct rlimit space = {.rlim_cur = RLIM_INFINITY}, data = space;
    (void)getrlimit(RLIMIT_AS, &space); /* What cannot be learnt does not limit. */
    (void)getrlimit(RLIMIT_DATA, &data);
    size_t group = left_of(control_group_limit(false), sizes[1]);
    return smaller(group == SIZE_MAX ? group : group / sharers,
                   smaller(left_of_process(&space, sizes[0]), left_of_process(&data, sizes[1])));
}

/* What the machine has for who asks for more; SIZE_MAX when it is not known. */
static size_t machine_free(void)
{
    char text[4096];
    if (!read_text("/proc/meminfo", text, sizeof(text)))
        return SIZE_MAX;
    const char *line = strstr(text, "\nMemAvailable:");
    unsigned long long kilobytes = line == NULL ? 0 : strtoull(strchr(line, ':') + 1, NULL, 10);
    return kilobytes == 0 || kilobytes > SIZE_MAX / 1024 ? SIZE_MAX : (size_t)kilobytes * 1024;
}

void memory_bound(void)
{
    struct rlimit space;
    size_t sizes[2], left = smaller(control_group_limit(true), machine_free());
    /* A sanitizer takes much more address space than memory. */
    if (SANITIZED || left == SIZE_MAX || getrlimit(RLIMIT_AS, &space) != 0)
        return;
    read_sizes(getpid(), sizes);
    rlim_t bound = sizes[0] + (left - left / LIMIT_LOAD_MARGIN);
    if (space.rlim_cur <= bound)
        return;
    space.rlim_cur = bound;
    (void)setrlimit(RLIMIT_AS, &space); /* else only the kernel bounds it */
}

bool memory_has(size_t size)
{
    void *volatile room = malloc(size); /* or a compiler would leave the call out */
    free(room);
    return room != NULL;
}
