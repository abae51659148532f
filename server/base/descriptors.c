#include "base/descriptors.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 5.9; the headers of older systems lack it. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Where nothing tells which are open, and a limit may allow a thousand million of them. */
enum { DESCRIPTORS_TRIED = 65536 };

void descriptor_close(int *fd)
{
    int reason = errno;
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    errno = reason;
}

static bool is_kept(const int *kept, size_t count, int fd)
{
    for (size_t i = 0; i < count; i++)
        if (kept[i] == fd)
            return true;
    return false;
}

/* The lowest of the kept ones that is not below; or INT_MAX. */
static int next_kept(const int *kept, size_t count, int below)
{
    int next = INT_MAX;
    for (size_t i = 0; i < count; i++)
        if (kept[i] >= below && kept[i] < next)
            next = kept[i];
    return next;
}

/* The gaps between the kept ones. False when the kernel, or a filter of a container, lacks the call. */
static bool close_gaps(const int *kept, size_t count)
{
    for (int begin = 0;;) {
        int end = next_kept(kept, count, begin);
        if (end > begin && syscall(SYS_close_range, (unsigned)begin, (unsigned)end - 1, 0) != 0)
            return false;
        if (end == INT_MAX)
            return true;
        begin = end + 1;
    }
}

static bool close_listed(const int *kept, size_t count)
{
    DIR *stream = opendir("/proc/self/fd");
    if (stream == NULL)
        return false;
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        int fd = isdigit((unsigned char)entry->d_name[0]) ? (int)strtol(entry->d_name, NULL, 10)
                                                          : dirfd(stream);
        if (fd != dirfd(stream) && !is_kept(kept, count, fd))
            (void)close(fd); /* it is nobody's here */
    }
    (void)closedir(stream); /* it was only read */
    return true;
}

void descriptors_keep_only(const int *kept, size_t count)
{
    struct rlimit limit;
    if (close_gaps(kept, count) || close_listed(kept, count))
        return;
    int end = DESCRIPTORS_TRIED;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)end)
        end = (int)limit.rlim_cur;
    for (int fd = 0; fd < end; fd++)
        if (!is_kept(kept, count, fd))
            (void)close(fd); /* most are not open */
}
