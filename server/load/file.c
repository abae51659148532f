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

bool file_read(const char *path, size_t limit, struct text *ret_bytes, struct stat *ret_status)
{
    bool good = false;
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) != 0)
        goto done;
    if (!S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        goto done;
    }
    good = read_all(fd, limit, ret_bytes);
    if (good && ret_status != NULL)
        *ret_status = status;
done:;
    int reason = errno;
    (void)close(fd); /* it was only read */
    errno = reason;
    return good;
}
