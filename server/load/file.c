#include "load/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool read_all(int fd, size_t limit, struct text *ret_bytes)
{
    char chunk[16 * 1024];
    for (;;) {
        ssize_t count = read(fd, chunk, sizeof(chunk));
        if (count == 0)
            return true;
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        if (ret_bytes->len + (size_t)count > limit) {
            errno = EFBIG;
            return false;
        }
        text_append(ret_bytes, (struct span){chunk, (size_t)count});
        if (ret_bytes->failed) {
            errno = ENOMEM;
            return false;
        }
    }
}

bool file_read_open(int fd, size_t limit, struct text *ret_bytes, struct stat *ret_status)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return false;
    if (!S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        return false;
    }
    if (!read_all(fd, limit, ret_bytes))
        return false;
    if (ret_status != NULL)
        *ret_status = status;
    return true;
}

bool file_read(const char *path, size_t limit, struct text *ret_bytes, struct stat *ret_status)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    bool good = file_read_open(fd, limit, ret_bytes, ret_status);
    int reason = errno;
    (void)close(fd); /* it was only read */
    errno = reason;
    return good;
}
