#include "serve/plain.h"

#include <errno.h>
#include <sys/socket.h>

enum tls_result plain_read(int fd, char *buf, size_t size, size_t *ret_len)
{
    ssize_t got = recv(fd, buf, size, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? TLS_WANT_READ : TLS_FAILED;
    *ret_len = (size_t)got;
    return got == 0 ? TLS_CLOSED : TLS_DONE;
}

enum tls_result plain_write(int fd, const char *data, size_t len, size_t *ret_len)
{
    ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? TLS_WANT_WRITE : TLS_FAILED;
    *ret_len = (size_t)sent;
    return TLS_DONE;
}
