/*
 * What the process does with memory that it no longer needs: the kernel has it
 * back, so that a load of many domains or a burst of clients leaves no trace.
 * Every process may use it; where the C library has no such switch, nothing
 * happens.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

/* To be called once, before much is allocated: whatever is large lies apart from
 * the rest and goes back as soon as it is freed. */
void memory_begin(void);

/* To be called after much was freed: gives back whole pages between what is
 * still in use. */
void memory_give_back(void);

#endif
