#include "load/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "files/file.h"

static const char TRAILER[] = "# complete ";
enum { TRAILER_LEN = sizeof(TRAILER) - 1 + 16 + 1 };

void state_file_complete(struct text *bytes)
{
    uint64_t sum = span_hash((struct span){bytes->data, bytes->len});
    text_printf(bytes, "%s%016" PRIx64 "\n", TRAILER, sum);
}

bool state_file_is_whole(struct span bytes, const char *header)
{
    char line[TRAILER_LEN + 1];
    if (bytes.len < TRAILER_LEN || !span_begins_fold(bytes, span_of(header)))
        return false;
    bytes.len -= TRAILER_LEN;
    (void)snprintf(line, sizeof(line), "%s%016" PRIx64 "\n", TRAILER, span_hash(bytes));
    return memcmp(bytes.data + bytes.len, line, TRAILER_LEN) == 0;
}

struct span state_file_body(struct span bytes)
{
    return (struct span){bytes.data, bytes.len - TRAILER_LEN};
}

static bool read_in(int folder, const char *name, struct text *ret_bytes)
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    bool good = file_read_open(fd, LIMIT_STATE_FILE, ret_bytes, NULL);
    int reason = errno;
    (void)close(fd); /* it was only read */
    errno = reason;
    return good;
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
}

static bool is_written_already(int folder, const char *name, const struct text *text)
{
    struct text old = {0};
    bool same = read_in(folder, name, &old) &&
                span_equal((struct span){old.data, old.len}, (struct span){text->data, text->len});
    text_free(&old);
    return same;
}

/* A new file has the rights of the one that it replaces, if there is one. */
static bool copy_rights(int folder, const char *name, int fd)
{
    struct stat old, new;
    if (fstatat(folder, name, &old, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(old.st_mode))
        return true;
    return fstat(fd, &new) == 0 &&
           (((old.st_mode ^ new.st_mode) & 0777) == 0 || fchmod(fd, old.st_mode & 0777) == 0);
}

/* Writes a file that was not there before, to replace the other one, and makes sure that it is on the disk. */
static bool write_new(int folder, const char *name, const char *replaced, const struct text *text)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    if (unlinkat(folder, name, 0) != 0 && errno != ENOENT)
        return false;
    int fd = openat(folder, name, flags, 0644);
    if (fd < 0)
        return false;
    bool good = copy_rights(folder, replaced, fd) && text_write(text, fd) && fsync(fd) == 0;
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
    int fd = open_folder(folder);
    if (fd < 0)
        return false;
    bool good = is_written_already(fd, name, bytes) || replace(fd, name, bytes);
    int reason = errno;
    (void)close(fd); /* only a folder */
    errno = reason;
    return good;
}

bool state_file_read(const char *folder, const char *name, struct text *ret_bytes)
{
    int fd = open_folder(folder);
    if (fd < 0)
        return false;
    bool good = read_in(fd, name, ret_bytes);
    int reason = errno;
    (void)close(fd); /* only a folder */
    errno = reason;
    return good;
}

const char *state_file_error(int error)
{
    return error == ELOOP       ? "it is a link, which is not followed"
           : error == ETIMEDOUT ? "its disk does not answer"
                                : strerror(error);
}
