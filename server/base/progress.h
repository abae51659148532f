/*
 * Whoever does long work says now and then that it goes on, so that whoever
 * waits for it (the watchdog of the service manager) does not take it for hung.
 */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

/* made is called often and must be cheap; it may be NULL. */
struct progress_callback {
    void (*made)(void *context);
    void *context; /* borrowed */
};

static inline void progress_make(const struct progress_callback *progress)
{
    if (progress != NULL && progress->made != NULL)
        progress->made(progress->context);
}

#endif
