/*
 * A shortage of descriptors or memory may last for hours and concern every client, so it is logged at
 * most once in LIMIT_COMPLAINT_MS. Runs in the worker.
 */
#ifndef SERVE_SHORTAGE_H
#define SERVE_SHORTAGE_H

#include <stdint.h>

/* Begin with {0}. */
struct shortage {
    int64_t quiet_until; /* when the next complaint may be logged */
    uint64_t count;      /* of what could not be done so far */
};

/* Logs what cannot be done and why (an errno code). now is in milliseconds of
 * the monotonic clock. */
void shortage_tell(struct shortage *shortage, const char *what, int reason, int64_t now);

#endif
