/* The sandbox of the processes that read files, as the kernel sees it: each act in a process of its
 * own. */
#include "sandbox/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/log.h"
#include "base/memory_file.h"
#include "base/sanitizer.h"
#include "files/file.h"
#include "sandbox/privilege.h"
#include "unit.h"

enum { OTHER = 12345, UNCONFINED = 255, WRONG = 254 };

/* A folder that only its owner may enter, with a file that only its owner may read. */
struct place {
    char folder[64];
    char file[80];
    int pair[2]; /* sockets, as between a reader and its supervisor */
    int memory;  /* a memory file, made by the supervisor */
};

static const char SECRET[] = "for its owner's eyes";

static long is_right(bool right)
{
    errno = WRONG;
    return right ? 0 : -1;
}

static long open_with(const struct place *place, int flags)
{
    return open(place->file, flags | O_CLOEXEC, 0600);
}

static long read_secret(const struct place *place)
{
    char bytes[64];
    struct stat status;
    int fd = file_open(AT_FDCWD, place->file, &status);
    ssize_t count = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
    return count < 0 ? -1 : is_right(count == sizeof(SECRET) && strcmp(bytes, SECRET) == 0);
}

static long list_folder(const struct place *place)
{
    char pattern[80];
    glob_t found = {0};
    (void)snprintf(pattern, sizeof(pattern), "%s/*", place->folder);
    return is_right(glob(pattern, GLOB_ERR, NULL, &found) == 0 && found.gl_pathc == 1);
}

static long write_file(const struct place *place)
{
    return open_with(place, O_WRONLY);
}

static long read_and_write_file(const struct place *place)
{
    return open_with(place, O_RDWR);
}

static long create_file(const struct place *place)
{
    return open_with(place, O_RDONLY | O_CREAT);
}

static long cut_file(const struct place *place)
{
    return open_with(place, O_RDONLY | O_TRUNC);
}

static long make_nameless_file(const struct place *place)
{
    return open(place->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static long open_by_the_newest_call(const struct place *place)
{
    const uint64_t how[3] = {O_WRONLY, 0, 0};
    return syscall(437, AT_FDCWD, place->file, how, sizeof(how)); /* openat2 */
}

static long remove_file(const struct place *place)
{
    return unlink(place->file);
}

static long move_file(const struct place *place)
{
    return rename(place->file, "/tmp/x");
}

static long link_file(const struct place *place)
{
    return link(place->file, "/tmp/x");
}

static long make_folder(const struct place *place)
{
    (void)place;
    return mkdir("/tmp/x", 0700);
}

static long change_rights(const struct place *place)
{
    return chmod(place->file, 0644);
}

static long change_size(const struct place *place)
{
    return truncate(place->file, 0);
}

static long open_socket(const struct place *place)
{
    (void)place;
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long connect_own(const struct place *place)
{
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    return connect(place->pair[1], &nowhere, sizeof(nowhere));
}

static long fork_child(const struct place *place)
{
    (void)place;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}

static long execute(const struct place *place)
{
    char program[] = "/proc/self/exe", *arguments[] = {program, NULL};
    (void)place;
    return execv(program, arguments);
}

static long trace(const struct place *place)
{
    (void)place;
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long signal_supervisor(const struct place *place)
{
    (void)place;
    return kill(getppid(), 0);
}

static long be_root_again(const struct place *place)
{
    (void)place;
    return setuid(0);
}

static long take_capabilities(const struct place *place)
{
    (void)place;
    return syscall(SYS_capset, NULL, NULL);
}

static long make_core(const struct place *place)
{
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    (void)place;
    return setrlimit(RLIMIT_CORE, &all);
}

static long be_traced(const struct place *place)
{
    (void)place;
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long send_signals_by_a_descriptor(const struct place *place)
{
    return fcntl(place->pair[1], F_SETOWN, getppid());
}

static long map_code(const struct place *place)
{
    (void)place;
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? -1 : 0;
}

static long end_by_a_failed_assertion(const struct place *place)
{
    (void)place;
    abort();
}

static long watch_folder(const struct place *place)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return fd < 0 ? -1 : inotify_add_watch(fd, place->folder, IN_CREATE);
}

static long tell_supervisor(const struct place *place)
{
    log_line(LOG_LEVEL_NOTICE, "a line of the log");
    return send(place->pair[1], "x", 1, MSG_NOSIGNAL);
}

/* Fills and seals a memory file that the supervisor has made, as the loader does. */
static long fill_image(const struct place *place)
{
    return memory_file_fill(place->memory, span_of("image")) ? 0 : -1;
}

static long make_image(const struct place *place)
{
    (void)place;
    return memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static long send_descriptor(const struct place *place)
{
    struct msghdr message = {0};
    return sendmsg(place->pair[1], &message, MSG_NOSIGNAL);
}

static long call_of_the_future(const struct place *place)
{
    (void)place;
    return syscall(4095);
}

struct row {
    const char *why;
    long (*act)(const struct place *place);
    int signal; /* that ends the process; 0: none */
    int error;  /* with which it fails; 0: it works */
};

static const struct row both[] = {
    {"read what only another user may", read_secret, 0, 0},
    {"list what only another user may", list_folder, 0, 0},
    {"tell the supervisor", tell_supervisor, 0, 0},
    {"open for writing", write_file, SIGSYS, 0},
    {"open for reading and writing", read_and_write_file, SIGSYS, 0},
    {"open with the right to create", create_file, SIGSYS, 0},
    {"open and truncate", cut_file, SIGSYS, 0},
    {"make a file without a name", make_nameless_file, SIGSYS, 0},
    {"open by another call", open_by_the_newest_call, 0, ENOSYS},
    {"remove a file", remove_file, SIGSYS, 0},
    {"move a file", move_file, SIGSYS, 0},
    {"link a file", link_file, SIGSYS, 0},
    {"make a folder", make_folder, SIGSYS, 0},
    {"change rights", change_rights, SIGSYS, 0},
    {"change a size", change_size, SIGSYS, 0},
    {"open a socket", open_socket, SIGSYS, 0},
    {"connect a socket", connect_own, SIGSYS, 0},
    {"fork", fork_child, SIGSYS, 0},
    {"execute", execute, SIGSYS, 0},
    {"trace", trace, SIGSYS, 0},
    {"signal", signal_supervisor, SIGSYS, 0},
    {"become root again", be_root_again, SIGSYS, 0},
    {"take capabilities", take_capabilities, SIGSYS, 0},
    {"allow a core dump", make_core, 0, ENOSYS},
    {"allow to be traced", be_traced, 0, ENOSYS},
    {"signal by a descriptor", send_signals_by_a_descriptor, 0, ENOSYS},
    {"map code", map_code, 0, ENOSYS},
    {"call what does not exist yet", call_of_the_future, 0, ENOSYS},
    {"send a descriptor", send_descriptor, 0, ENOSYS},
    {"abort", end_by_a_failed_assertion, SIGABRT, 0},
};

static const struct row of_loader[] = {
    {"make an image", make_image, 0, 0},
    {"fill an image", fill_image, 0, 0},
    {"watch a folder", watch_folder, 0, ENOSYS},
};

static const struct row of_watcher[] = {
    {"make an image", make_image, 0, ENOSYS},
    {"fill an image", fill_image, 0, ENOSYS},
    {"watch a folder", watch_folder, 0, 0},
};

/* What happens to a process before it becomes a reader. */
typedef bool prepare(void);

static bool stay(void)
{
    return true;
}

static bool be_other(void)
{
    return geteuid() == OTHER || (setgroups(0, NULL) == 0 && setresgid(OTHER, OTHER, OTHER) == 0 &&
                                  setresuid(OTHER, OTHER, OTHER) == 0 && privilege_retain(NULL, 0));
}

/* As Docker starts root: it overrides rights, and has no capability for reading alone. */
static bool be_root_of_docker(void)
{
    const unsigned usual[] = {CAP_DAC_OVERRIDE, CAP_SETUID, CAP_SETGID};
    return privilege_retain(usual, COUNT(usual));
}

static bool be_root_without_capabilities(void)
{
    return privilege_retain(NULL, 0);
}

static int status_of(prepare *before, enum syscalls_process reader, const struct place *place,
                     long (*act)(const struct place *place))
{
    int status = 0;
    pid_t supervisor = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSYS, SIG_DFL);
        (void)signal(SIGABRT, SIG_DFL);
        if (!before() || !seal_reader(reader, supervisor))
            _exit(UNCONFINED);
        errno = 0;
        _exit(act(place) >= 0 ? 0 : errno);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void try_rows(enum syscalls_process reader, const struct row *rows, size_t count,
                     const struct place *place)
{
    for (size_t i = 0; i < count; i++) {
        int status = status_of(stay, reader, place, rows[i].act);
        bool good = rows[i].signal != 0 ? WIFSIGNALED(status) && WTERMSIG(status) == rows[i].signal
                                        : WIFEXITED(status) && WEXITSTATUS(status) == rows[i].error;
        if (!good)
            fail_msg("%s: status %#x", rows[i].why, (unsigned)status);
    }
}

/* The owner of the secret is another user, if this process may give it away. */
static struct place open_place(uid_t owner)
{
    struct place place = {.folder = "/tmp/test_sandbox.XXXXXX"};
    assert_non_null(mkdtemp(place.folder));
    (void)snprintf(place.file, sizeof(place.file), "%s/secret", place.folder);
    int fd = open(place.file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, SECRET, sizeof(SECRET)), sizeof(SECRET));
    assert_int_equal(close(fd), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(place.file, owner, owner), 0);
        assert_int_equal(chown(place.folder, owner, owner), 0);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, place.pair), 0);
    place.memory = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(place.memory >= 0);
    return place;
}

/* Nothing that was tried has changed it. */
static void close_place(const struct place *place)
{
    struct stat status;
    assert_int_equal(stat(place->file, &status), 0);
    assert_int_equal(status.st_size, sizeof(SECRET));
    assert_int_equal(status.st_mode & ALLPERMS, 0600);
    assert_int_equal(unlink(place->file), 0);
    assert_int_equal(rmdir(place->folder), 0);
    (void)close(place->pair[0]);
    (void)close(place->pair[1]);
    (void)close(place->memory);
}

static bool has_filters(void)
{
    const unsigned action = 0x7fff0000U; /* SECCOMP_RET_ALLOW */
    return syscall(SYS_seccomp, 2 /* SECCOMP_GET_ACTION_AVAIL */, 0, &action) == 0;
}

static void only_reading_is_left(void **state)
{
    (void)state;
    if (SANITIZED || !has_filters())
        skip();
    struct place place = open_place(OTHER);
    try_rows(SYSCALLS_LOADER, both, COUNT(both), &place);
    try_rows(SYSCALLS_WATCHER, both, COUNT(both), &place);
    try_rows(SYSCALLS_LOADER, of_loader, COUNT(of_loader), &place);
    try_rows(SYSCALLS_WATCHER, of_watcher, COUNT(of_watcher), &place);
    close_place(&place);
}

/* /proc/self/status has a line that is this key and this value. */
static bool status_says(const char *key, const char *value)
{
    char line[256], expected[256];
    FILE *file = fopen("/proc/self/status", "r");
    bool found = false;
    (void)snprintf(expected, sizeof(expected), "%s:\t%s", key, value);
    while (!found && file != NULL && fgets(line, sizeof(line), file) != NULL)
        found = strncmp(line, expected, strlen(expected)) == 0 && line[strlen(expected)] == '\n';
    if (!found)
        (void)fprintf(stderr, "/proc/self/status does not have %s\n", expected);
    return file != NULL && fclose(file) == 0 && found;
}

static long check_nobody(const struct place *place)
{
    struct rlimit processes, core;
    (void)place;
    if (getrlimit(RLIMIT_NPROC, &processes) != 0 || getrlimit(RLIMIT_CORE, &core) != 0)
        return -1;
    return is_right(status_says("Uid", "65534\t65534\t65534\t65534") &&
                    status_says("Gid", "65534\t65534\t65534\t65534") &&
                    status_says("Groups", " ") && status_says("NoNewPrivs", "1") &&
                    status_says("CapAmb", "0000000000000000") && core.rlim_max == 0 &&
                    (SANITIZED || processes.rlim_max == 0));
}

static long check_root(const struct place *place)
{
    return check_nobody(place) | is_right(status_says("CapPrm", "0000000000000004") &&
                                          status_says("CapEff", "0000000000000004"));
}

static long check_docker(const struct place *place)
{
    return check_nobody(place) | is_right(status_says("CapPrm", "0000000000000002")) |
           read_secret(place);
}

static long check_no_capability(const struct place *place)
{
    return is_right(status_says("CapPrm", "0000000000000000") &&
                    status_says("CapEff", "0000000000000000")) |
           read_secret(place);
}

static long check_kept_root(const struct place *place)
{
    return is_right(geteuid() == 0) | check_no_capability(place);
}

static long check_kept_user(const struct place *place)
{
    return is_right(geteuid() == OTHER && getegid() == OTHER) | check_no_capability(place);
}

/* Each kind of supervisor, and what its readers are then. */
static void readers_can_read_whatever_the_supervisor_was(void **state)
{
    const struct {
        const char *why;
        prepare *before;
        uid_t owner;
        long (*check)(const struct place *place);
    } rows[] = {
        {"root", stay, OTHER, check_root},
        {"root of a container", be_root_of_docker, OTHER, check_docker},
        {"root without capabilities", be_root_without_capabilities, 0, check_kept_root},
        {"a user", be_other, OTHER, check_kept_user},
    };
    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct place place = open_place(rows[i].owner);
        int loader = status_of(rows[i].before, SYSCALLS_LOADER, &place, rows[i].check);
        int watcher = status_of(rows[i].before, SYSCALLS_WATCHER, &place, rows[i].check);
        close_place(&place);
        if (loader != 0 || watcher != 0)
            fail_msg("%s: status %#x, %#x", rows[i].why, (unsigned)loader, (unsigned)watcher);
    }
}

/* What is owned by nobody may be anyone's: it does not become more trusted for a reader. */
static void links_of_nobody_are_not_followed(void **state)
{
    char link[80];
    struct place place;
    (void)state;
    if (geteuid() != 0)
        skip();
    place = open_place(OTHER);
    (void)snprintf(link, sizeof(link), "%s/link", place.folder);
    assert_int_equal(symlink(place.file, link), 0);
    assert_int_equal(lchown(link, FILE_NOBODY, FILE_NOBODY), 0);
    struct place by_link = place;
    memcpy(by_link.file, link, sizeof(by_link.file));
    int status = status_of(stay, SYSCALLS_LOADER, &by_link, read_secret);
    assert_int_equal(unlink(link), 0);
    close_place(&place);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXDEV);
}

static void a_reader_follows_its_own_supervisor_only(void **state)
{
    int status = 0;
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(seal_reader(SYSCALLS_LOADER, getpid()) ? 1 : 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* The end of the pipe that the reader holds is closed by its death, which its supervisor's brings. */
static void a_reader_dies_with_its_supervisor(void **state)
{
    int ends[2], status = 0;
    char byte = 0;
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t supervisor = fork();
    assert_true(supervisor >= 0);
    if (supervisor == 0) {
        pid_t parent = getpid(), reader = fork();
        if (reader == 0) {
            if (!seal_reader(SYSCALLS_WATCHER, parent) || write(ends[1], "r", 1) != 1)
                _exit(1);
            (void)sleep(60);
            _exit(0);
        }
        (void)close(ends[1]);
        _exit(reader > 0 && read(ends[0], &byte, 1) == 1 ? 0 : 1);
    }
    (void)close(ends[1]);
    assert_int_equal(waitpid(supervisor, &status, 0), supervisor);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    (void)close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_reading_is_left),
        cmocka_unit_test(readers_can_read_whatever_the_supervisor_was),
        cmocka_unit_test(links_of_nobody_are_not_followed),
        cmocka_unit_test(a_reader_follows_its_own_supervisor_only),
        cmocka_unit_test(a_reader_dies_with_its_supervisor),
    };
    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
