/*
 * What the supervisor tells the service manager (sd_notify(3)): that it is
 * ready, reloads, stops, lives. Silent when nobody asked for it by NOTIFY_SOCKET. It
 * owns one datagram socket, opened at the start, and never waits. Runs in the
 * supervisor.
 */
#ifndef SUPERVISE_NOTIFY_H
#define SUPERVISE_NOTIFY_H

#include <stdint.h>

struct notifier {
    int fd;              /* connected; -1: nobody listens */
    int64_t interval_ms; /* between two signs of life; 0: none is asked for */
    int64_t next;        /* when the next is due; INT64_MAX when none is */
    int64_t extended;    /* when it was asked for more time last, or something long began */
};

enum notification {
    NOTIFY_READY,     /* serves, or serves on after a reload that was refused */
    NOTIFY_RELOADING, /* READY follows */
    NOTIFY_STOPPING,
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the
 * environment. now is in milliseconds of the monotonic clock, here and below. */
struct notifier notifier_open(int64_t now);

/* Tells the state, and in one line for people what it means; NULL leaves the line out. */
void notifier_tell(const struct notifier *notifier, enum notification what, const char *status);

/* Something long goes on, a load: the manager is asked for more time, now and then. */
void notifier_extend(struct notifier *notifier, int64_t now);

/* Gives a sign of life when one is due. */
void notifier_live(struct notifier *notifier, int64_t now);

#endif
