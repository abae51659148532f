/*
 * How much of a TLS record the library reads: a property of the process, because
 * the library takes it for a constant. It is the one mutable global of the
 * program, and only a process that is a TLS client changes it, once, before its
 * first session.
 */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include <stddef.h>

enum {
    /* What clients send us: see server/mbedtls_config.h. Bytes, as below. */
    RECORD_OF_CLIENTS = 4096,
    /* RFC 8446 section 5.1: the largest that there is. */
    RECORD_ANY = 16384,
};

extern size_t record_most;

#endif
