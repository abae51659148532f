#include "load/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/limits.h"
#include "files/file.h"

static const char TRAILER[] = "# complete ";
enum { TRAILER_LEN = sizeof(TRAILER) - 1 + 16 + 1 };

void state_file_complete(struct text *bytes)
{
    uint64_t sum = span_hash((struct span){bytes->data, bytes->len});
    text_printf(bytes, "%s%016" PRIx64 "\n", TRAILER, sum);
}

bool state_file_unwrap(struct span *bytes, const char *header)
{
    char line[TRAILER_LEN + 1];
    struct span rest = *bytes;
    if (rest.len < TRAILER_LEN + strlen(header) || !span_begins_fold(rest, span_of(header)))
        return false;
    rest.len -= TRAILER_LEN;
    (void)snprintf(line, sizeof(line), "%s%016" PRIx64 "\n", TRAILER, span_hash(rest));
    if (memcmp(rest.data + rest.len, line, TRAILER_LEN) != 0)
        return false;
    *bytes = span_skip(rest, strlen(header));
    return true;
}

/* Nothing is followed, and nothing waits. */
static const int READ_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

/* Read in pieces: the saver must not end because there is no memory for a file that it only compares. */
static bool is_written_already(int folder, const char *name, const struct text *text)
{
    char piece[16 * 1024];
    struct stat status;
    size_t at = 0;
    int fd = openat(folder, name, READ_FLAGS);
    bool same = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                (size_t)status.st_size == text->len;
    while (same && at < text->len) {
        ssize_t count = read(fd, piece, sizeof(piece));
        same = count > 0 && (size_t)count <= text->len - at &&
               memcmp(piece, text->data + at, (size_t)count) == 0;
        at += same ? (size_t)count : 0;
    }
    if (fd >= 0)
        (void)close(fd); /* it was only read */
    return same;
}

/* A new file has the rights of the one that it replaces, if there is one. It is made with them, because
 * the saver may not change those of a file (sandbox/process_syscalls.c). */
static int create(int folder, const char *name, const char *replaced)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    struct stat old;
    mode_t mask = umask(0);
    bool is_old = fstatat(folder, replaced, &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(old.st_mode);
    int fd = openat(folder, name, flags, is_old ? old.st_mode & 0777 : 0644 & ~mask);
    (void)umask(mask); /* it cannot fail */
    return fd;
}

/* Writes a file that was not there before, to replace the other one, and makes sure that it is on the disk. */
static bool write_new(int folder, const char *name, const char *replaced, const struct text *text)
{
    if (unlinkat(folder, name, 0) != 0 && errno != ENOENT)
        return false;
    int fd = create(folder, name, replaced);
    if (fd < 0)
        return false;
    bool good = text_write(text, fd) && fsync(fd) == 0;
    int reason = errno;
    if (close(fd) != 0 && good) {
        reason = errno;
        good = false;
    }
    errno = reason;
    return good;
}

/* The new name is on the disk only when the folder is. */
static bool replace(int folder, const char *name, const struct text *text)
{
    char new_name[NAME_MAX + 8]; /* the kernel refuses what is too long for it */
    (void)snprintf(new_name, sizeof(new_name), "%s.new", name);
    bool good =
        write_new(folder, new_name, name, text) && renameat(folder, new_name, folder, name) == 0;
    int reason = errno;
    if (!good)
        (void)unlinkat(folder, new_name, 0); /* it may not be there */
    errno = reason;
    return good && fsync(folder) == 0;
}

bool state_file_write(const char *folder, const char *name, const struct text *bytes)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = is_written_already(fd, name, bytes) || replace(fd, name, bytes);
    descriptor_close(&fd); /* only a folder */
    return good;
}

bool state_file_read(const char *folder, const char *name, struct text *ret_bytes)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s", folder, name);
    errno = ENAMETOOLONG;
    int fd = len < 0 || (size_t)len >= sizeof(path) ? -1 : open(path, READ_FLAGS);
    if (fd < 0)
        return false;
    bool good = file_read_open(fd, LIMIT_STATE_FILE, ret_bytes, NULL);
    descriptor_close(&fd); /* it was only read */
    return good;
}

const char *state_file_error(int error)
{
    return error == ELOOP       ? "it is a link, which is not followed"
           : error == ETIMEDOUT ? "its disk does not answer"
                                : strerror(error);
}
