/*
 * The memory that GMP, and nettle with it, works in: everything is wiped before
 * it is given back, because any of it may have held a part of a key. GMP keeps
 * the functions for the whole process, so this is called once, before the first
 * number is made, and only in a worker.
 */
#ifndef SERVE_GMP_MEMORY_H
#define SERVE_GMP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

void gmp_memory_begin(void);

/* GMP has no way to say that memory is short and ends the process instead. So whoever is about to
 * calculate with numbers of this many bits asks first, and fails in peace. */
bool gmp_memory_suffices(size_t bits);

#endif
