/*
 * Asks whether memory is to be had. The TLS library tries one form of a key
 * after the other and tells only of the last one, or says that a key is invalid,
 * so that its answer does not tell junk from a shortage on the way. Whoever got a
 * bad answer asks here, and the library once more. Loader and commands only.
 */
#ifndef CERTIFICATES_MEMORY_H
#define CERTIFICATES_MEMORY_H

#include <stdbool.h>

/* Whether as much is to be had at this moment as the library takes to read a key, a certificate or a
 * signature, and some more. */
bool memory_is_there(void);

#endif
