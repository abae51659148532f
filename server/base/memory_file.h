/*
 * A block of memory in a file that has no name (memfd_create): one process fills and seals it, and every
 * process that inherits its descriptor can map it, sure that neither its bytes nor its length change from
 * then on. The supervisor makes such files and the loader fills them; the supervisor maps the settings, the
 * workers and the next loader the site, and the saver the rest.
 */
#ifndef BASE_MEMORY_FILE_H
#define BASE_MEMORY_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* A sealed file as this process sees it. {0} is none. */
struct memory_map {
    const char *data; /* owned; begins a page */
    size_t size;      /* bytes of the file, at least 1; the rest of the last page is zero */
};

/* An empty file, which one process makes and another may fill. Owned; closes at exec; or -1 with errno. */
int memory_file_open(void);

/* Writes the bytes, at least one, into an empty file and seals it: no process can write to it, change its length
 * or take a seal away. False with errno. */
bool memory_file_fill(int fd, struct span bytes);

/* The size of a finished file of at most most bytes. 0 with errno: EINVAL when it is not a finished file,
 * EFBIG when it is larger. */
size_t memory_file_size(int fd, size_t most);

/* Maps such a file. The descriptor stays the caller's. The mapping cannot be made writable where the
 * kernel can refuse it, and never in a way that changes the file. False with errno, as before. */
bool memory_file_map(int fd, size_t most, struct memory_map *ret_map);

/* Unmaps it. {0} is legal; map is {0} afterwards. */
void memory_map_free(struct memory_map *map);

/* Memory that processes share and that some of them can only read, for good: the maker has it twice, once to
 * write and once to read, and those that are forked from it give up the first. The second cannot be made
 * writable by any system call, because the kernel knows that it is not. The supervisor makes it; every
 * process that it forks may use it. */
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

/* Nothing can be written by this process any more. False with errno. */
bool shared_memory_give_up(struct shared_memory *memory);

#endif
