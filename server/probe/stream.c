#include "probe/stream.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* Waits for the events. False at the deadline. */
static bool wait_for(struct stream *stream, short events)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = stream->fd, .events = events};
        int64_t left_ms = (stream->deadline_us - clock_monotonic_us() + 999) / 1000;
        if (left_ms <= 0) {
            stream->error = ETIMEDOUT;
            return false;
        }
        int count = poll(&poll_fd, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
        if (count > 0)
            return true;
        if (count < 0 && errno != EINTR) {
            stream->error = errno;
            return false;
        }
    }
}

bool stream_open(struct stream *stream, const struct sockaddr *address, socklen_t len,
                 int64_t deadline_us)
{
    *stream = (struct stream){.fd = -1, .deadline_us = deadline_us};
    stream->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->fd < 0) {
        stream->error = errno;
        return false;
    }
    const int on = 1; /* else our request waits until the server has confirmed our handshake */
    (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on,
                     sizeof(on)); /* a Unix socket has none */
    if (connect(stream->fd, address, len) == 0)
        return true;
    stream->error = errno;
    if (errno != EINPROGRESS || !wait_for(stream, POLLOUT))
        return false;
    socklen_t size = sizeof(stream->error);
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &stream->error, &size) != 0)
        stream->error = errno;
    return stream->error == 0;
}

void stream_close(struct stream *stream)
{
    if (stream->fd >= 0)
        (void)close(stream->fd); /* what was to be told was told by TLS */
    stream->fd = -1;
}

static void remember(struct stream *stream, const char *data, size_t len)
{
    size_t room = sizeof(stream->opening) - stream->opening_len;
    size_t kept = len < room ? len : room;
    memcpy(stream->opening + stream->opening_len, data, kept);
    stream->opening_len += kept;
}

ssize_t stream_read(struct stream *stream, void *buf, size_t size)
{
    while (wait_for(stream, POLLIN)) {
        ssize_t count = recv(stream->fd, buf, size, 0);
        if (count >= 0) {
            remember(stream, buf, (size_t)count);
            return count;
        }
        stream->error = errno;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -1;
}

ssize_t stream_write(struct stream *stream, const void *data, size_t len)
{
    while (wait_for(stream, POLLOUT)) {
        ssize_t count = send(stream->fd, data, len, MSG_NOSIGNAL);
        if (count >= 0)
            return count;
        stream->error = errno;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -1;
}

struct span stream_opening(const struct stream *stream)
{
    return (struct span){stream->opening, stream->opening_len};
}
