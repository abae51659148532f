/*
 * What the process does with memory that it no longer needs: the kernel has it
 * back, so that a load of many domains, a burst of clients or a start leaves no trace.
 * Every process may use it.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* To be called once, before much is allocated: whatever is large lies apart from
 * the rest and goes back as soon as it is freed. */
void memory_begin(void);

/* To be called after much was freed, and after a start: gives back whole pages between what is
 * still in use, and those of the program and its libraries, which come from their files again when they
 * are needed. */
void memory_give_back(void);

/* Whether so many bytes in one piece are there now; they are not taken. To be asked where memory has been
 * short before. */
bool memory_has(size_t size);

/* Bytes of the process that are in memory; 0: not known. */
size_t memory_resident(pid_t pid);

/* Bytes that this process may still take, when it shares what its control group has with so many
 * others like it: by the limits of the process (RLIMIT_AS, RLIMIT_DATA) and by those of its control
 * group and of each one around that (memory.max; version 1: memory.limit_in_bytes). SIZE_MAX when
 * nothing limits it. Reads files below /proc and /sys; what cannot be read does not limit. */
size_t memory_left(size_t sharers);

/* Bounds the address space of this process (RLIMIT_AS) to what its control group, or the machine, has
 * left for it, less a margin: then it is told when memory is short, before the kernel ends a process. */
void memory_bound(void);

#endif
