#include "base/memory_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptors.h"

/* The kernel's interface; headers of older systems lack it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; a machine may ask for it (vm.memfd_noexec) */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

static const int SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/* An empty file that closes at exec, or -1 with errno. The name is shown in /proc/PID/maps. */
static int open_file(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

int memory_file_open(void)
{
    return open_file("mta-sts-image");
}

bool memory_file_fill(int fd, struct span bytes)
{
    assert(bytes.len > 0);
    for (size_t done = 0; done < bytes.len;) {
        ssize_t count = pwrite(fd, bytes.data + done, bytes.len - done, (off_t)done);
        if (count < 0 && errno != EINTR)
            return false;
        done += count < 0 ? 0 : (size_t)count;
    }
    return fcntl(fd, F_ADD_SEALS, SEALS) == 0;
}

/* A shared mapping that cannot become writable: of a sealed file, which kernels before Linux 6.7 may not
 * allow; else of the file once more, opened for reading alone. NULL with errno. */
static void *map_readable(int fd, size_t size, bool is_sealed)
{
    char path[64];
    void *data = is_sealed ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (data == MAP_FAILED) {
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* a number fits */
        int reader = open(path, O_RDONLY | O_CLOEXEC);
        if (reader >= 0)
            data = mmap(NULL, size, PROT_READ, MAP_SHARED, reader, 0);
        descriptor_close(&reader); /* the mapping stays */
    }
    return data == MAP_FAILED ? NULL : data;
}

size_t memory_file_size(int fd, size_t most)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS); /* EINVAL for any other file */
    if (seals < 0 || fstat(fd, &status) != 0)
        return 0;
    bool is_sealed = (seals & SEALS) == SEALS && S_ISREG(status.st_mode) && status.st_size > 0;
    if (is_sealed && (uintmax_t)status.st_size <= most)
        return (size_t)status.st_size;
    errno = is_sealed ? EFBIG : EINVAL;
    return 0;
}

bool memory_file_map(int fd, size_t most, struct memory_map *ret_map)
{
    size_t size = memory_file_size(fd, most);
    if (size == 0)
        return false;
    void *data = map_readable(fd, size, true);
    if (data == NULL) /* what is written to a private mapping is seen by this process alone */
        data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return false;
    *ret_map = (struct memory_map){data, size};
    return true;
}

void memory_map_free(struct memory_map *map)
{
    if (map->data != NULL)
        (void)munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct memory_map){0};
}

bool shared_memory_new(size_t size, struct shared_memory *ret_memory)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE); /* it cannot fail for this name */
    struct shared_memory memory = {.size = (size + page - 1) / page * page};
    int fd = open_file("mta-sts-shared");
    if (fd < 0)
        return false;
    void *data = MAP_FAILED;
    if (ftruncate(fd, (off_t)memory.size) == 0)
        data = mmap(NULL, memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data != MAP_FAILED) {
        const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;
        memory.writable = data;
        memory.readable = map_readable(fd, memory.size, fcntl(fd, F_ADD_SEALS, seals) == 0);
    }
    descriptor_close(&fd); /* the mappings stay */
    if (memory.readable == NULL)
        shared_memory_free(&memory);
    else
        *ret_memory = memory;
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

bool shared_memory_give_up(struct shared_memory *memory)
{
    if (munmap(memory->writable, memory->size) != 0)
        return false;
    memory->writable = NULL;
    return true;
}
