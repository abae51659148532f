/*
 * A disk that does not answer: put in front of a program with LD_PRELOAD, it lets fsync wait as
 * long as the file TEST_HANG is there. Only for tests.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int fsync(int fd)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    const char *path = getenv("TEST_HANG");
    while (path != NULL && access(path, F_OK) == 0)
        (void)nanosleep(&pause, NULL); /* the file is looked at again, however long it was */
    return next(fd);
}
