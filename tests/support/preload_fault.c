#include "preload_fault.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct allocator {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t number, size_t size);
    void *(*realloc)(void *memory, size_t size);
    void (*free)(void *memory);
};

/* What has no owner but the process. */
static struct {
    struct allocator allocator;
    struct fault_page own;   /* the page, when there is no file */
    struct fault_page *page; /* NULL before the first call */
    int64_t pid;
    int64_t live;
    bool is_looking_up; /* a function of the next library, which may allocate */
    char early[4096];   /* for that; never freed */
    size_t early_used;
} fault;

struct fault_page *fault_page(void)
{
    return fault.page == NULL ? &fault.own : fault.page;
}

int64_t fault_live(void)
{
    return fault.live;
}

/* Finds the function of this name behind us; ret_function is the address of a pointer to it. */
static void find_next(const char *name, void *ret_function)
{
    fault.is_looking_up = true;
    void *found = dlsym(RTLD_NEXT, name);
    fault.is_looking_up = false;
    if (found == NULL)
        abort();
    memcpy(ret_function, &found, sizeof(found));
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("TEST_FAULT");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    fault.pid = getpid();
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof(struct fault_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        abort();
    (void)close(fd); /* the mapping stays */
    fault.page = page;
    /* The first look into the user database ends a process that has no memory for it: glibc 2.36
     * asserts that it has. So it is taken here, in better times. */
    (void)getpwnam("root");
    if (fault.page->pid == -1)
        fault.page->pid = fault.pid;
}

static bool is_meant(const struct fault_page *page)
{
    return page->pid != 0 && page->pid == fault.pid;
}

/* True when this call is the one. */
static bool fails(enum fault_kind kind)
{
    struct fault_page *page = fault_page();
    if (!is_meant(page) || page->kind != (int64_t)kind || --page->countdown != 0)
        return false;
    page->fired++;
    return true;
}

/* The filter of a loader ends it for that already. */
static void end_here(void)
{
    if (fails(FAULT_KILL))
        (void)kill((pid_t)fault.pid, SIGKILL);
}

static bool call_fails(void)
{
    end_here();
    return fails(FAULT_CALL);
}

static bool allocation_fails(void)
{
    return fails(FAULT_ALLOCATION);
}

static void count(int64_t change)
{
    struct fault_page *page = fault_page();
    fault.live += change;
    if (is_meant(page))
        page->live = fault.live;
}

static bool is_early(const void *memory)
{
    const char *place = memory;
    return place >= fault.early && place < fault.early + sizeof(fault.early);
}

static void *take_early(size_t size)
{
    size_t rounded = (size + 15) / 16 * 16;
    if (rounded > sizeof(fault.early) - fault.early_used)
        abort();
    void *memory = fault.early + fault.early_used;
    fault.early_used += rounded;
    return memory;
}

/* The names of the C library's functions, without its declarations, which differ between builds. */
#define IN_FRONT_OF(name) __asm__(name)
/* The function behind us, found once: a sealed process must not look for it. */
#define NEXT(type, name)          \
    static __typeof__(type) next; \
    if (next == NULL)             \
    find_next(name, &next)

void *fault_malloc(size_t size) IN_FRONT_OF("malloc");
void *fault_calloc(size_t number, size_t size) IN_FRONT_OF("calloc");
void *fault_realloc(void *memory, size_t size) IN_FRONT_OF("realloc");
void *fault_reallocarray(void *memory, size_t number, size_t size) IN_FRONT_OF("reallocarray");
int fault_posix_memalign(void **ret, size_t align, size_t size) IN_FRONT_OF("posix_memalign");
void *fault_aligned_alloc(size_t align, size_t size) IN_FRONT_OF("aligned_alloc");
void fault_free(void *memory) IN_FRONT_OF("free");

static void *counted(void *memory)
{
    if (memory != NULL)
        count(1);
    return memory;
}

static void *refused(void)
{
    errno = ENOMEM;
    return NULL;
}

/* All of them at the first call: looking one up may itself free what was allocated before. */
static const struct allocator *allocator(void)
{
    if (fault.allocator.free != NULL || fault.is_looking_up)
        return &fault.allocator;
    find_next("malloc", &fault.allocator.malloc);
    find_next("calloc", &fault.allocator.calloc);
    find_next("realloc", &fault.allocator.realloc);
    find_next("free", &fault.allocator.free);
    return &fault.allocator;
}

void *fault_malloc(size_t size)
{
    if (fault.is_looking_up)
        return take_early(size);
    const struct allocator *next = allocator();
    return allocation_fails() ? refused() : counted(next->malloc(size));
}

void *fault_calloc(size_t number, size_t size)
{
    if (fault.is_looking_up)
        return take_early(number * size); /* small, and zero */
    const struct allocator *next = allocator();
    return allocation_fails() ? refused() : counted(next->calloc(number, size));
}

void *fault_realloc(void *memory, size_t size)
{
    if (fault.is_looking_up)
        abort();
    const struct allocator *next = allocator();
    if (allocation_fails())
        return refused();
    void *moved = next->realloc(memory, size);
    if (memory == NULL && moved != NULL)
        count(1);
    if (memory != NULL && moved == NULL && size == 0)
        count(-1);
    return moved;
}

void *fault_reallocarray(void *memory, size_t number, size_t size)
{
    size_t product = 0;
    if (__builtin_mul_overflow(number, size, &product))
        return refused();
    return fault_realloc(memory, product);
}

int fault_posix_memalign(void **ret, size_t align, size_t size)
{
    NEXT(int (*)(void **, size_t, size_t), "posix_memalign");
    int status = allocation_fails() ? ENOMEM : next(ret, align, size);
    if (status == 0)
        count(1);
    return status;
}

void *fault_aligned_alloc(size_t align, size_t size)
{
    NEXT(void *(*)(size_t, size_t), "aligned_alloc");
    return allocation_fails() ? refused() : counted(next(align, size));
}

void fault_free(void *memory)
{
    /* What is freed while a function is looked up was allocated then, or by that: not worth a leak. */
    if (memory == NULL || is_early(memory) || fault.is_looking_up)
        return;
    const struct allocator *next = allocator();
    count(-1);
    next->free(memory);
}

/* A call that fails does nothing. */
#define CALL(type, function, name, error, parameters, arguments) \
    type function parameters IN_FRONT_OF(name);                  \
    type function parameters                                     \
    {                                                            \
        NEXT(type(*) parameters, name);                          \
        if (!call_fails())                                       \
            return next arguments;                               \
        errno = error;                                           \
        return (type)-1;                                         \
    }
/* The same where the result is a pointer. */
#define POINTER_CALL(type, function, name, error, parameters, arguments) \
    type function parameters IN_FRONT_OF(name);                          \
    type function parameters                                             \
    {                                                                    \
        NEXT(type(*) parameters, name);                                  \
        if (!call_fails())                                               \
            return next arguments;                                       \
        errno = error;                                                   \
        return NULL;                                                     \
    }

/* The third parameter is there only with O_CREAT; elsewhere it is what the register holds. */
CALL(int, fault_open, "open", EMFILE, (const char *path, int flags, mode_t mode),
     (path, flags, mode))
CALL(int, fault_openat, "openat", EMFILE, (int folder, const char *path, int flags, mode_t mode),
     (folder, path, flags, mode))
CALL(int, fault_open_2, "__open_2", EMFILE, (const char *path, int flags), (path, flags))
CALL(int, fault_openat_2, "__openat_2", EMFILE, (int folder, const char *path, int flags),
     (folder, path, flags))
CALL(ssize_t, fault_read, "read", EIO, (int fd, void *buf, size_t size), (fd, buf, size))
CALL(ssize_t, fault_read_chk, "__read_chk", EIO, (int fd, void *buf, size_t size, size_t room),
     (fd, buf, size, room))
CALL(int, fault_stat, "stat", EIO, (const char *path, struct stat *status), (path, status))
CALL(int, fault_fstat, "fstat", EIO, (int fd, struct stat *status), (fd, status))
CALL(int, fault_fstatat, "fstatat", EIO,
     (int folder, const char *path, struct stat *status, int flags), (folder, path, status, flags))
POINTER_CALL(DIR *, fault_fdopendir, "fdopendir", EIO, (int fd), (fd))
POINTER_CALL(struct dirent *, fault_readdir, "readdir", EIO, (DIR * stream), (stream))
CALL(int, fault_fsync, "fsync", EIO, (int fd), (fd))
CALL(int, fault_rename, "rename", ENOSPC, (const char *from, const char *to), (from, to))
CALL(int, fault_unlink, "unlink", EIO, (const char *path), (path))
CALL(ssize_t, fault_getrandom, "getrandom", ENOSYS, (void *buf, size_t size, unsigned flags),
     (buf, size, flags))
CALL(int, fault_socket, "socket", EMFILE, (int domain, int type, int protocol),
     (domain, type, protocol))
CALL(int, fault_socketpair, "socketpair", EMFILE, (int domain, int type, int protocol, int *pair),
     (domain, type, protocol, pair))
CALL(int, fault_bind, "bind", EADDRINUSE, (int fd, const struct sockaddr *to, socklen_t len),
     (fd, to, len))
CALL(int, fault_listen, "listen", EADDRINUSE, (int fd, int backlog), (fd, backlog))
CALL(int, fault_getsockname, "getsockname", ENOBUFS,
     (int fd, struct sockaddr *address, socklen_t *len), (fd, address, len))
CALL(int, fault_setsockopt, "setsockopt", ENOMEM,
     (int fd, int level, int option, const void *value, socklen_t len),
     (fd, level, option, value, len))
CALL(int, fault_accept4, "accept4", ENFILE,
     (int fd, struct sockaddr *address, socklen_t *len, int flags), (fd, address, len, flags))
CALL(ssize_t, fault_recv, "recv", ECONNRESET, (int fd, void *buf, size_t size, int flags),
     (fd, buf, size, flags))
CALL(ssize_t, fault_recv_chk, "__recv_chk", ECONNRESET,
     (int fd, void *buf, size_t size, size_t room, int flags), (fd, buf, size, room, flags))
CALL(ssize_t, fault_send, "send", ECONNRESET, (int fd, const void *data, size_t len, int flags),
     (fd, data, len, flags))
CALL(int, fault_shutdown, "shutdown", ENOTCONN, (int fd, int how), (fd, how))
CALL(int, fault_epoll_create1, "epoll_create1", EMFILE, (int flags), (flags))
CALL(int, fault_epoll_ctl, "epoll_ctl", ENOMEM,
     (int epoll, int operation, int fd, struct epoll_event *event), (epoll, operation, fd, event))
CALL(int, fault_epoll_wait, "epoll_wait", EINTR,
     (int epoll, struct epoll_event *events, int most, int timeout), (epoll, events, most, timeout))
CALL(int, fault_signalfd, "signalfd", EMFILE, (int fd, const void *set, int flags),
     (fd, set, flags))
CALL(int, fault_getrlimit, "getrlimit", EPERM, (int resource, struct rlimit *limit),
     (resource, limit))
CALL(int, fault_setrlimit, "setrlimit", EPERM, (int resource, const struct rlimit *limit),
     (resource, limit))
CALL(int, fault_setresuid, "setresuid", EAGAIN, (uid_t real, uid_t effective, uid_t saved),
     (real, effective, saved))
CALL(int, fault_setresgid, "setresgid", EPERM, (gid_t real, gid_t effective, gid_t saved),
     (real, effective, saved))
CALL(int, fault_setgroups, "setgroups", EPERM, (size_t number, const gid_t *groups),
     (number, groups))
CALL(int, fault_prctl, "prctl", EPERM,
     (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d),
     (option, a, b, c, d))

CALL(int, fault_lstat, "lstat", EIO, (const char *path, struct stat *status), (path, status))
CALL(int, fault_access, "access", EIO, (const char *path, int mode), (path, mode))
CALL(int, fault_faccessat, "faccessat", EIO, (int folder, const char *path, int mode, int flags),
     (folder, path, mode, flags))
CALL(int, fault_chmod, "chmod", EPERM, (const char *path, mode_t mode), (path, mode))
CALL(int, fault_chdir, "chdir", EACCES, (const char *path), (path))
CALL(int, fault_fchdir, "fchdir", EACCES, (int fd), (fd))
CALL(int, fault_chroot, "chroot", EPERM, (const char *path), (path))
CALL(int, fault_rmdir, "rmdir", EBUSY, (const char *path), (path))
POINTER_CALL(char *, fault_mkdtemp, "mkdtemp", ENOSPC, (char *pattern), (pattern))
CALL(void *, fault_mmap, "mmap", ENOMEM,
     (void *place, size_t len, int protection, int flags, int fd, off_t offset),
     (place, len, protection, flags, fd, offset))
CALL(ssize_t, fault_pwrite, "pwrite", ENOSPC, (int fd, const void *data, size_t len, off_t place),
     (fd, data, len, place))
CALL(int, fault_mlock, "mlock", ENOMEM, (const void *place, size_t len), (place, len))
CALL(int, fault_dup2, "dup2", EBUSY, (int fd, int to), (fd, to))
CALL(int, fault_pipe2, "pipe2", EMFILE, (int *pair, int flags), (pair, flags))
CALL(int, fault_connect, "connect", ECONNREFUSED,
     (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
CALL(int, fault_getsockopt, "getsockopt", ENOBUFS,
     (int fd, int level, int option, void *value, socklen_t *len), (fd, level, option, value, len))
CALL(int, fault_getgroups, "getgroups", EINVAL, (int number, gid_t *groups), (number, groups))
CALL(int, fault_sched_getaffinity, "sched_getaffinity", EINVAL,
     (pid_t pid, size_t size, void *cpus), (pid, size, cpus))
/* What has no function of its own; the parameters that are not there are what the registers hold. */
CALL(long, fault_syscall, "syscall", EPERM,
     (long number, long a, long b, long c, long d, long e, long f), (number, a, b, c, d, e, f))

/* In front of these a process is only killed. */
#define KILLED_CALL(type, function, name, parameters, arguments) \
    type function parameters IN_FRONT_OF(name);                  \
    type function parameters                                     \
    {                                                            \
        NEXT(type(*) parameters, name);                          \
        end_here();                                              \
        return next arguments;                                   \
    }
KILLED_CALL(int, fault_unlinkat, "unlinkat", (int folder, const char *path, int flags),
            (folder, path, flags))
KILLED_CALL(int, fault_renameat, "renameat",
            (int folder, const char *from, int to, const char *name), (folder, from, to, name))
KILLED_CALL(int, fault_ftruncate, "ftruncate", (int fd, off_t size), (fd, size))
KILLED_CALL(int, fault_fcntl, "fcntl", (int fd, int command, long argument),
            (fd, command, argument))
KILLED_CALL(int, fault_memfd_create, "memfd_create", (const char *name, unsigned flags),
            (name, flags))

void fault_exit(int status) IN_FRONT_OF("_exit");
void fault_exit(int status)
{
    NEXT(void (*)(int), "_exit");
    end_here();
    next(status);
    abort();
}

static bool is_log(int fd)
{
    return fd == STDERR_FILENO && fault.page != NULL;
}

ssize_t fault_write(int fd, const void *data, size_t len) IN_FRONT_OF("write");
ssize_t fault_write(int fd, const void *data, size_t len)
{
    NEXT(ssize_t(*)(int, const void *, size_t), "write");
    if (is_log(fd) || !call_fails())
        return next(fd, data, len);
    errno = ENOSPC;
    return -1;
}

int fault_poll(struct pollfd *fds, nfds_t number, int timeout) IN_FRONT_OF("poll");
int fault_poll(struct pollfd *fds, nfds_t number, int timeout)
{
    NEXT(int (*)(struct pollfd *, nfds_t, int), "poll");
    if (number == 0 || is_log(fds[0].fd) || !call_fails())
        return next(fds, number, timeout);
    errno = ENOMEM;
    return -1;
}

/* With _FORTIFY_SOURCE; room is checked by the compiler as far as it can. */
int fault_poll_chk(struct pollfd *fds, nfds_t number, int timeout, size_t room)
    IN_FRONT_OF("__poll_chk");
int fault_poll_chk(struct pollfd *fds, nfds_t number, int timeout, size_t room)
{
    if (room / sizeof(fds[0]) < number)
        abort();
    return fault_poll(fds, number, timeout);
}

/* The file is closed whatever the answer is. */
int fault_close(int fd) IN_FRONT_OF("close");
int fault_close(int fd)
{
    NEXT(int (*)(int), "close");
    int status = next(fd);
    if (!call_fails())
        return status;
    errno = EIO;
    return -1;
}

/* The child is another process, and may be the one that is waited for. */
pid_t fault_fork(void) IN_FRONT_OF("fork");
pid_t fault_fork(void)
{
    NEXT(pid_t(*)(void), "fork");
    if (call_fails()) {
        errno = EAGAIN;
        return -1;
    }
    pid_t pid = next();
    if (pid == 0) {
        fault.pid = getpid();
        if (fault_page()->pid == -1)
            fault_page()->pid = fault.pid;
        else if (fault_page()->pid < 0)
            fault_page()->pid++;
    }
    return pid;
}
