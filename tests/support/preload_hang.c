/*
 * A disk that does not answer: put in front of a program with LD_PRELOAD, it lets fsync wait as
 * long as the file TEST_HANG is there; and, when that is not empty, whoever opens the state
 * folder, too. Only for tests.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool hangs(bool wholly)
{
    const char *path = getenv("TEST_HANG");
    struct stat status;
    return path != NULL && stat(path, &status) == 0 && (!wholly || status.st_size > 0);
}

static void wait_while_it_hangs(bool wholly)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    while (hangs(wholly))
        (void)nanosleep(&pause, NULL); /* the file is looked at again, however long it was */
}

int fsync(int fd)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_while_it_hangs(false);
    return next(fd);
}

int open(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    size_t len = strlen(path);
    mode_t mode = 0;
    va_list arguments;
    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (len >= 6 && strcmp(path + len - 6, "/state") == 0)
        wait_while_it_hangs(true);
    return next(path, flags, mode);
}
