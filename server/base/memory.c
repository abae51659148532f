#include "base/memory.h"

#include <malloc.h>

#include "base/limits.h"

void memory_begin(void)
{
#ifdef __GLIBC__
    /* Left alone, it counts as large only what is larger than anything that was freed. */
    (void)mallopt(M_MMAP_THRESHOLD, LIMIT_SMALL_MEMORY); /* the default is as good for the result */
#endif
}

void memory_give_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0); /* whether it found pages does not matter */
#endif
}
