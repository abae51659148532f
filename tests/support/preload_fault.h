/*
 * Makes the nth allocation or the nth system call of a program fail, and counts
 * what is allocated. It stands in front of the C library: linked into a program
 * (a unit test), or with LD_PRELOAD before one that knows nothing of it. Then
 * the page below is the file TEST_FAULT, mapped at the start, so that a sealed
 * worker is reached too, without a system call of its own. Only for tests.
 */
#ifndef PRELOAD_FAULT_H
#define PRELOAD_FAULT_H

#include <stdint.h>

enum fault_kind {
    FAULT_NOTHING,
    FAULT_ALLOCATION,
    FAULT_CALL, /* of the kernel, with an error that it may have there; but not for the log of a
                   program that is watched through the file, for it is what the test reads */
    FAULT_KILL, /* the process ends in front of it, as by kill -9 */
};

/* Fixed sizes, because a test in another language writes it too. */
struct fault_page {
    int64_t
        pid; /* of the process that is meant; 0: none; -1: the next that begins or is forked; -2: the next but one, and so on */
    int64_t kind;      /* enum fault_kind */
    int64_t countdown; /* the call that makes it 0 fails */
    int64_t fired;     /* how many have failed */
    int64_t live;      /* allocations of that process that are not freed, as of its last call */
};

/* The page of this process; it exists in every process with this library. */
struct fault_page *fault_page(void);

/* The allocations of this process that are not freed. */
int64_t fault_live(void);

#endif
