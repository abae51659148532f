#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Whole pages for the bytes, without the guard page. */
static size_t room_for(size_t len)
{
    return (len / page_size() + 1) * page_size();
}

struct span guard_copy(struct span bytes)
{
    size_t room = room_for(bytes.len);
    char *pages =
        mmap(NULL, room + page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + room, page_size(), PROT_NONE), 0);
    char *copy = pages + room - bytes.len;
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    return (struct span){copy, bytes.len};
}

void guard_free(struct span bytes)
{
    size_t room = room_for(bytes.len);
    assert_int_equal(munmap((char *)(uintptr_t)bytes.data + bytes.len - room, room + page_size()),
                     0);
}
