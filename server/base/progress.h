/*
 * Whoever does long work says now and then that it goes on, so that whoever
 * waits for it (the watchdog of the service manager) does not take it for hung.
 */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

enum progress {
    PROGRESS_GOES_ON = 'p',         /* told often, so that it must be cheap */
    PROGRESS_WAITS_FOR_STATE = 's', /* for the disk of the state folder, from now on */
    PROGRESS_HAS_STATE = 'h',       /* and no more */
};

/* made may be NULL. */
struct progress_callback {
    void (*made)(void *context, enum progress what);
    void *context; /* borrowed */
};

static inline void progress_make(const struct progress_callback *progress, enum progress what)
{
    if (progress != NULL && progress->made != NULL)
        progress->made(progress->context, what);
}

#endif
