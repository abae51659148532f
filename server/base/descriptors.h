/*
 * Closes the descriptors that a process was not given. A process inherits whatever the
 * one before it has open: a shell's redirections, a service manager's files, its
 * parent's sockets. So whoever begins names what it keeps, and the rest is closed, whatever it
 * is. Used by the supervisor at its start and by every process that it forks.
 */
#ifndef BASE_DESCRIPTORS_H
#define BASE_DESCRIPTORS_H

#include <stddef.h>

/* Closes it, and makes it -1; a negative one is legal. errno stays. It is for descriptors of which no one
 * waits for the outcome: what was only read, and sockets to processes that have ended. */
void descriptor_close(int *fd);

/* Closes every descriptor but those, which may be in any order; a negative one is none. */
void descriptors_keep_only(const int *kept, size_t count);

#endif
