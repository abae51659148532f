/*
 * Ends the process when the TLS library has refused something for want of memory (base/heap.h). Its code
 * does not always tell: it tries one form of a key after the other and tells only of the last one, or
 * says that a key is invalid. Loader, watcher and commands only.
 */
#ifndef CERTIFICATES_MEMORY_H
#define CERTIFICATES_MEMORY_H

/* To be called after such a code, or 0 where there is none; then the library is asked once more. */
void memory_check(int code);

#endif
