#include "certificates/memory.h"

#include <stddef.h>
#include <stdlib.h>

/* Verifying an RSA signature of 8,192 bits takes most, about 20 KB. */
static const size_t ENOUGH = 64 * 1024;

bool memory_is_there(void)
{
    void *volatile probe = malloc(ENOUGH); /* volatile, or a compiler may leave the question out */
    bool there = probe != NULL;
    free(probe);
    return there;
}
