/*
 * The second wall around a worker, should the filter of system calls have a
 * hole: no file can be reached. There are two kinds. Landlock takes away every
 * right to the file system, to TCP ports and to signal others, as far as the
 * kernel knows it, and needs no privilege. The void is an empty folder that is
 * deleted already, so that nothing can ever be in it, and that becomes the root;
 * this needs CAP_SYS_CHROOT. Both are put up where both can be had. The
 * supervisor opens the void; workers build the walls, and the processes that only
 * read files build the first kind (sandbox/reader_sandbox.h).
 */
#ifndef SANDBOX_FILESYSTEM_H
#define SANDBOX_FILESYSTEM_H

#include <stdbool.h>

/* Makes the void: a descriptor, owned, or -1 with errno when this process may not change its root
 * or no folder can be made anywhere. It can be entered by any number of children. */
int filesystem_open_empty_root(void);

/* Makes the void the root. Takes the descriptor, also when it fails: false with errno. */
bool filesystem_enter_empty_root(int fd);

/* Gives up all that Landlock can take, and looks whether it is gone. New privileges must be
 * forbidden by then. False with errno: ENOSYS or EOPNOTSUPP when the kernel lacks it. */
bool filesystem_give_up(void);

/* The same, but files can still be opened for reading and folders be listed. */
bool filesystem_keep_reading(void);

#endif
