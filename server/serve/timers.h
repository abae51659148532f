/*
 * The timers of a worker's connections. There are few kinds and each runs for
 * a constant time, so a queue for each kind is always in the order of the
 * deadlines: nothing is sorted, nothing is allocated. A timer belongs to the
 * object it is part of. The clock is a parameter. Runs in the worker.
 */
#ifndef SERVE_TIMERS_H
#define SERVE_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

/* Why a connection is waited for. The first two are a lesser loss than the others. */
enum timer_kind {
    TIMER_LINGERING,    /* everything was sent; LIMIT_LINGER_MS */
    TIMER_IDLE,         /* between two requests; LIMIT_IDLE_MS */
    TIMER_INTRODUCTION, /* a proxy has not said for whom it connects; LIMIT_INTRODUCTION_MS */
    TIMER_UNFINISHED,   /* handshake, request or response are not through; LIMIT_UNFINISHED_MS */
};
#define TIMER_KINDS 4

/* Begin with {0}. */
struct timer {
    struct timer *earlier; /* borrowed; neighbours in the queue */
    struct timer *later;
    void *owner; /* borrowed; for whoever asks for the expired or oldest one */
    enum timer_kind kind;
    bool running;
    int64_t deadline; /* milliseconds of the monotonic clock */
};

/* Begin with {0}. */
struct timers {
    struct {
        struct timer *oldest; /* borrowed */
        struct timer *newest;
    } queues[TIMER_KINDS];
};

/* Starts the timer, or starts it anew with another kind. now is in milliseconds
 * of the monotonic clock and never smaller than in an earlier call. */
void timers_start(struct timers *timers, struct timer *timer, enum timer_kind kind, int64_t now);

/* Stops the timer; legal when it does not run. */
void timers_stop(struct timers *timers, struct timer *timer);

/* When a timer that runs was started. Milliseconds. */
int64_t timers_begun(const struct timer *timer);

/* A timer whose deadline has come; NULL when there is none. Borrowed; it keeps
 * running until it is started anew or stopped. */
struct timer *timers_expired(const struct timers *timers, int64_t now);

/* The timer of this kind that started first; NULL when there is none. Borrowed. */
struct timer *timers_oldest(const struct timers *timers, enum timer_kind kind);

/* The next deadline; INT64_MAX when no timer runs. */
int64_t timers_next(const struct timers *timers);

#endif
