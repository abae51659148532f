/*
 * The listening sockets that a service manager has opened for us and passed on
 * (sd_listen_fds(3)): socket activation. They stay open until the end, because
 * a reload may stop using one and a later one begin again. Runs in the
 * supervisor.
 */
#ifndef SUPERVISE_INHERITED_H
#define SUPERVISE_INHERITED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"

struct inherited {
    struct {
        int fd;
        char *name; /* owned; as LISTEN_FDNAMES calls it, or "" */
    } items[LIMIT_LISTENERS];
    size_t count;
};

/* Takes over what LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES offer, and removes
 * them from the environment. What is no listening stream socket is logged, and none of
 * them: who keeps the others closes it. */
void inherited_take(struct inherited *ret_inherited);
void inherited_close(struct inherited *inherited);

#endif
