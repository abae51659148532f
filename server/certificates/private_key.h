/*
 * A private key: reads the DER of PKCS#8, PKCS#1 or SEC 1, judges it and keeps
 * it in the one form that is cheap to parse for a handshake. Immutable.
 * Whatever held key bytes is wiped before it is given back. Loader and commands only; nothing of the TLS library is in this
 * interface.
 */
#ifndef CERTIFICATES_PRIVATE_KEY_H
#define CERTIFICATES_PRIVATE_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "certificates/public_key.h"

enum private_key_fault {
    PRIVATE_KEY_SOUND,
    PRIVATE_KEY_JUNK,    /* not the DER of a key */
    PRIVATE_KEY_REFUSED, /* a key that this server does not take; its kind is told */
};

/* The spans point behind the structure. */
struct private_key {
    enum private_key_fault fault;
    struct public_key kind; /* told when the key is sound or refused */
    struct span der;        /* of a sound one: SEC 1 with its public part, or PKCS#1 */
    struct span info;       /* of a sound one: SubjectPublicKeyInfo, normalised */
    char bytes[];
};

/* Reads the key. Owned. */
struct private_key *private_key_new(struct span der);
/* Wipes it. */
void private_key_free(struct private_key *key);

/* Overwrites bytes that held a key, in a way that no compiler leaves out. */
void private_key_wipe(void *bytes, size_t len);

#endif
