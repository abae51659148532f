/*
 * A disk that does not answer: put in front of a program with LD_PRELOAD, it lets fsync wait as
 * long as the file TEST_HANG is there; and, when that is not empty, whoever opens a file or folder
 * of the name that is in it, or one below it, too. Only for tests.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Whether the name is one of those in the path. */
static bool is_in(const char *path, const char *name)
{
    size_t len = strlen(name);
    for (const char *part = path; part != NULL && len > 0; part = strchr(part, '/')) {
        part += *part == '/' ? 1 : 0;
        if (strncmp(part, name, len) == 0 && (part[len] == '\0' || part[len] == '/'))
            return true;
    }
    return false;
}

/* opened: the path; NULL: of fsync. */
static bool hangs(const char *opened)
{
    ssize_t (*look)(int, void *, size_t) =
        (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    int (*enter)(const char *, int, ...) =
        (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    const char *path = getenv("TEST_HANG");
    char text[256];
    int fd = path == NULL ? -1 : enter(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = look(fd, text, sizeof(text) - 1);
    (void)close(fd);
    text[len < 0 ? 0 : len] = '\0';
    return opened == NULL || is_in(opened, text);
}

static void wait_while_it_hangs(const char *opened)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    while (hangs(opened))
        (void)nanosleep(&pause, NULL); /* the file is looked at again, however long it was */
}

int fsync(int fd)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_while_it_hangs(NULL);
    return next(fd);
}

int open(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    mode_t mode = 0;
    va_list arguments;
    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    wait_while_it_hangs(path);
    return next(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    int (*next)(int, const char *, int, ...) =
        (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");
    mode_t mode = 0;
    va_list arguments;
    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    wait_while_it_hangs(path);
    return next(folder, path, flags, mode);
}
