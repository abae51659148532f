/*
 * The sandbox of the processes that read files: the loader and the watcher. Such a
 * process parses what others have written, so before it opens the first file it
 * gives up everything but reading: it is not root any more, and can write no
 * file, open no socket, execute, fork, signal or trace nothing. What is left
 * is to read files, to allocate memory, to write to the descriptors that it has,
 * and one list of calls for each of the two. Runs in these processes, each of which was
 * forked by the supervisor, has one thread, and has closed every descriptor that is not its own.
 */
#ifndef SANDBOX_READER_SANDBOX_H
#define SANDBOX_READER_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

enum sandbox_reader {
    SANDBOX_LOADER,  /* makes memory files, seals them and sends descriptors */
    SANDBOX_WATCHER, /* uses inotify */
};

/* Gives all of it up, for good. supervisor is the parent; the kernel kills this process when the parent
 * dies. A process that was root becomes nobody and keeps the right to read every file; where the
 * container does not allow that, it stays root without capabilities. What the kernel lacks (Landlock,
 * filters) is left out: the seal of the workers lacks the same, and that is logged. False, logged, when
 * something failed that cannot: the process must then end. */
bool sandbox_reader(enum sandbox_reader reader, pid_t supervisor);

#endif
