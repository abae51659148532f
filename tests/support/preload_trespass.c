/*
 * Makes the server attack itself, by LD_PRELOAD: it does what TEST_TRESPASS names. "image" tries to change
 * every image that a process maps, with its descriptor at hand: in the supervisor, in a worker before its
 * seal, in the loader and the saver; and then, with each client that is accepted, in one more way in a sealed
 * worker. Any other name is done at the first client, and none of it belongs to a worker. Only for tests.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* The image that was mapped last, and its descriptor, which is closed by the time a worker is sealed. */
static unsigned char *image;
static size_t image_size;
static int image_fd = -1;
static char trespass[16];
static atomic_int *next; /* of the attempts, for all workers */

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("TEST_TRESPASS");
    if (name != NULL)
        (void)strncpy(trespass, name, sizeof(trespass) - 1); /* names are short */
    next = mmap(NULL, sizeof(*next), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static int try_mprotect(void)
{
    return mprotect(image, image_size, PROT_READ | PROT_WRITE);
}

static int try_remove(void)
{
    return madvise(image, image_size, MADV_REMOVE);
}

static int try_mmap(void)
{
    char *other = mmap(NULL, image_size, PROT_READ | PROT_WRITE, MAP_SHARED, image_fd, 0);
    return other == MAP_FAILED ? -1 : 0;
}

static int try_pwrite(void)
{
    return (int)pwrite(image_fd, "x", 1, 0);
}

static int try_shrink(void)
{
    return ftruncate(image_fd, 0);
}

static int try_grow(void)
{
    return ftruncate(image_fd, (off_t)image_size + 1);
}

static int try_punch(void)
{
    return fallocate(image_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
}

static int try_seal(void)
{
    return fcntl(image_fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE);
}

static int reopen(int flags)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", image_fd); /* it fits */
    return open(path, flags);
}

static int try_reopen(void)
{
    int fd = reopen(O_RDWR);
    char *other = mmap(NULL, image_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return pwrite(fd, "x", 1, 0) < 0 && other == MAP_FAILED ? -1 : 0;
}

static int try_truncate(void)
{
    return reopen(O_RDWR | O_TRUNC);
}

static int try_memory(void)
{
    int fd = open("/proc/self/mem", O_RDWR);
    return (int)pwrite(fd, "x", 1, (off_t)(uintptr_t)image);
}

static int try_writev(void)
{
    struct iovec from = {"x", 1}, to = {image, 1};
    return (int)process_vm_writev(getpid(), &from, 1, &to, 1, 0);
}

static const struct {
    const char *name;
    int (*change)(void);
} attempts[] = {
    {"mprotect", try_mprotect}, {"MADV_REMOVE", try_remove}, {"mmap", try_mmap},
    {"pwrite", try_pwrite},     {"shrink", try_shrink},      {"grow", try_grow},
    {"punch", try_punch},       {"F_ADD_SEALS", try_seal},   {"reopen", try_reopen},
    {"O_TRUNC", try_truncate},  {"memory", try_memory},      {"writev", try_writev},
};
/* The filter of a loader ends whoever opens a file for writing, and that of the supervisor whoever does the
 * last of them. */
enum { OF_LOADER = 8, OF_SUPERVISOR = 11, ATTEMPTS = sizeof(attempts) / sizeof(attempts[0]) };

static bool is_loader(void)
{
    char name[16] = "";
    int fd = open("/proc/self/comm", O_RDONLY);
    (void)!read(fd, name, sizeof(name) - 1);
    (void)close(fd);
    return strcmp(name, "mta-sts-loader\n") == 0;
}

static unsigned long sum_up(void)
{
    unsigned long sum = 0;
    for (size_t i = 0; i < image_size; i++)
        sum = sum * 31 + image[i];
    return sum;
}

/* dprintf(3) would seek. */
static void report(const char *place, const char *between, const char *rest)
{
    char line[128];
    int len = snprintf(line, sizeof(line), "image: %d in the %s%s%s\n", (int)getpid(), place,
                       between, rest); /* it fits */
    (void)!write(STDERR_FILENO, line, (size_t)len);
}

static void attempt(int index, const char *place)
{
    char result[64];
    unsigned long before = sum_up();
    const char *name = attempts[index].name;
    report(place, " tries ", name);
    int done = attempts[index].change();
    bool is_changed = done >= 0 || sum_up() != before;
    (void)snprintf(result, sizeof(result), "%s %s", name, is_changed ? "CHANGED" : "refused");
    report(place, ": ", result);
}

void *mmap(void *address, size_t size, int rights, int flags, int fd, off_t offset)
{
    void *(*real)(void *, size_t, int, int, int, off_t) =
        (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    void *data = real(address, size, rights, flags, fd, offset);
    if (fd < 0 || rights != PROT_READ || data == MAP_FAILED || strcmp(trespass, "image") != 0 ||
        fcntl(fd, F_GET_SEALS) <= F_SEAL_SEAL)
        return data;
    image = data;
    image_size = size;
    image_fd = fd;
    for (int i = 0, count = is_loader() ? OF_LOADER : OF_SUPERVISOR; i < count; i++)
        attempt(i, "open");
    return data;
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
    else if (strcmp(trespass, "image") == 0) {
        int index = atomic_fetch_add(next, 1);
        if (index < ATTEMPTS)
            attempt(index, "seal");
    }
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
