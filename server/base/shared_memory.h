/*
 * Memory that processes share and that some of them can only read, for good: the maker has it
 * twice, once to write and once to read, and those that are forked from it give up the first. The
 * second cannot be made writable by any system call, because the kernel knows that it is not.
 * The supervisor makes it; every process that it forks may use it.
 */
#ifndef BASE_SHARED_MEMORY_H
#define BASE_SHARED_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct shared_memory {
    void *writable;       /* owned; NULL once it was given up */
    const void *readable; /* owned; the same bytes */
    size_t size;          /* whole pages */
};

/* Zero bytes, at least so many. False with errno when they cannot be had. Pages that nobody has written
 * to cost nothing. */
bool shared_memory_new(size_t size, struct shared_memory *ret_memory);

/* Gives both back for this process. */
void shared_memory_free(struct shared_memory *memory);

/* Keeps len bytes from offset writable, and of the rest nothing; both are whole pages. With a len of
 * 0 nothing can be written. False with errno. */
bool shared_memory_give_up(struct shared_memory *memory, size_t offset, size_t len);

/* So many bytes as whole pages. */
size_t shared_memory_round(size_t size);

#endif
