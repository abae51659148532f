/*
 * What keeps a process from files should the filter of system calls have a hole.
 * There are two means. Landlock takes away every right to the file system, to TCP
 * ports and to signal other processes, as far as the kernel knows it, and needs no
 * privilege. The other is an empty folder that is deleted already, so that nothing
 * can ever be in it, as the root folder; this needs CAP_SYS_CHROOT. Workers use
 * both where both can be had; the supervisor opens the folder. Processes that only
 * read files use Landlock (sandbox/seal.h).
 */
#ifndef SANDBOX_FILESYSTEM_H
#define SANDBOX_FILESYSTEM_H

#include <stdbool.h>

/* Makes an empty folder: a descriptor, owned, or -1 with errno when this process may not change its root
 * or no folder can be made anywhere. It can be entered by any number of children. */
int filesystem_open_empty_root(void);

/* Makes the empty folder the root. Takes the descriptor, also when it fails: false with errno. */
bool filesystem_enter_empty_root(int fd);

/* Gives up all that Landlock can take, or all but opening files for reading and listing folders, and
 * looks whether it is gone. New privileges must be forbidden by then. False with errno: ENOSYS or
 * EOPNOTSUPP when the kernel lacks it. */
bool filesystem_restrict(bool to_reading);

#endif
