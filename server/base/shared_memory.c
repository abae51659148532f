#include "base/shared_memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory_file.h"

/* The kernel's interface; headers of older systems lack it. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

size_t shared_memory_round(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE); /* it cannot fail for this name */
    return (size + page - 1) / page * page;
}

/* A mapping that cannot become writable: of a file that refuses that, or, for an older kernel, of one
 * that was opened for reading. */
static const void *map_readable(int fd, size_t size)
{
    int reader = -1;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) != 0) {
        fd = reader = memory_file_reopen(fd);
        if (fd < 0)
            return NULL;
    }
    const void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    int reason = errno;
    if (reader >= 0)
        (void)close(reader); /* the mapping stays */
    errno = reason;
    return memory == MAP_FAILED ? NULL : memory;
}

bool shared_memory_new(size_t size, struct shared_memory *ret_memory)
{
    struct shared_memory memory = {.size = shared_memory_round(size)};
    int fd = memory_file_open("mta-sts-shared");
    if (fd < 0)
        return false;
    if (ftruncate(fd, (off_t)memory.size) == 0) {
        memory.writable = mmap(NULL, memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory.writable == MAP_FAILED)
            memory.writable = NULL;
        else
            memory.readable = map_readable(fd, memory.size);
    }
    int reason = errno;
    (void)close(fd); /* the mappings stay */
    if (memory.readable == NULL)
        shared_memory_free(&memory);
    else
        *ret_memory = memory;
    errno = reason;
    return memory.readable != NULL;
}

/* It cannot fail for a whole mapping. */
static void unmap(const void *memory, size_t size)
{
    if (memory != NULL)
        (void)munmap((void *)(uintptr_t)memory, size);
}

void shared_memory_free(struct shared_memory *memory)
{
    unmap(memory->writable, memory->size);
    unmap(memory->readable, memory->size);
    *memory = (struct shared_memory){0};
}

bool shared_memory_give_up(struct shared_memory *memory, size_t offset, size_t len)
{
    char *begin = memory->writable;
    size_t end = offset + len;
    assert(begin != NULL && end <= memory->size && shared_memory_round(offset) == offset &&
           shared_memory_round(end) == end);
    if ((offset > 0 && munmap(begin, offset) != 0) ||
        (end < memory->size && munmap(begin + end, memory->size - end) != 0))
        return false;
    if (len == 0)
        memory->writable = NULL;
    return true;
}
