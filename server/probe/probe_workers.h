/*
 * Many jobs at once, each in a child of its own, which leaves the result in memory
 * that it shares with the parent. A child reads what foreign servers say; when one
 * dies of it, that job has the result that the parent gives it, and the others are
 * not disturbed. One that takes too long is ended; what it has written by then
 * counts.
 */
#ifndef PROBE_PROBE_WORKERS_H
#define PROBE_PROBE_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The jobs 0 to count - 1. run is called in a child, the others in the parent, with the context. A
 * result is a block of bytes without a pointer to anything but constants; it is zero before the job. */
struct probe_jobs {
    size_t count;
    size_t result_size;
    int64_t timeout_ms; /* after which the child of a job is ended */
    void (*run)(void *context, size_t index, void *result);
    /* Its child was ended because it was late; or it has died of the signal (0: of none), and the result is
     * zero again. */
    void (*lost)(void *context, size_t index, void *result, bool is_late, int signal);
    /* As they are done, before the child is ended. */
    void (*done)(void *context, size_t index, const void *result);
    void (*tick)(void *context); /* at least once a second; or NULL */
    void *context;               /* borrowed */
};

/* Does all jobs; done is called for each, once. False when that is not possible at all, with the
 * reason in errno. */
bool probe_workers_run(const struct probe_jobs *jobs);

#endif
