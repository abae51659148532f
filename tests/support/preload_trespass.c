/*
 * Puts a burglar into a worker: in front of the server with LD_PRELOAD, the
 * first client that is accepted makes it do what TEST_TRESPASS names, and none
 * of it belongs to a worker. Only for tests.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

static char trespass[16];

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("TEST_TRESPASS");
    if (name != NULL)
        (void)strncpy(trespass, name, sizeof(trespass) - 1); /* names are short */
}

static void commit(int listener)
{
    struct sockaddr_in self = {.sin_family = AF_INET};
    char *const none[] = {NULL};
    if (strcmp(trespass, "open") == 0)
        (void)open("/etc/passwd", O_RDONLY);
    else if (strcmp(trespass, "socket") == 0)
        (void)socket(AF_INET, SOCK_DGRAM, 0);
    else if (strcmp(trespass, "connect") == 0)
        (void)connect(listener, (struct sockaddr *)&self, sizeof(self));
    else if (strcmp(trespass, "execve") == 0)
        (void)execve("/bin/true", none, none);
    else if (strcmp(trespass, "fork") == 0)
        (void)fork();
    else if (strcmp(trespass, "ptrace") == 0)
        (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

int accept4(int listener, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
    int (*real)(int, struct sockaddr *, socklen_t *, int) =
        (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");
    int fd = real(listener, address, len, flags);
    if (fd >= 0)
        commit(listener);
    return fd;
}
