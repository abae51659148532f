/*
 * A private key: reads the DER of PKCS#8, PKCS#1 or SEC 1, judges it and keeps
 * it in the one form that is cheap to parse for a handshake. Whatever held key
 * bytes is wiped before it is given back. Supervisor and commands only; nothing
 * of the TLS library is in this interface.
 */
#ifndef LOAD_PRIVATE_KEY_H
#define LOAD_PRIVATE_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/span.h"
#include "load/public_key.h"

enum private_key_fault {
    PRIVATE_KEY_SOUND,
    PRIVATE_KEY_SHORTAGE, /* of memory */
    PRIVATE_KEY_JUNK,     /* not the DER of a key */
    PRIVATE_KEY_REFUSED,  /* a key that this server does not take; its kind is told */
};

struct private_key {
    struct span der;  /* owned; SEC 1 with its public part, or PKCS#1 */
    struct span info; /* SubjectPublicKeyInfo, normalised; borrowed from the arena */
    struct public_key kind;
};

/* Reads the key. Always fills kind when the result is PRIVATE_KEY_REFUSED. */
enum private_key_fault private_key_parse(struct span der, struct arena *arena,
                                         struct private_key *ret_key);

/* Wipes and frees what the key owns. A zeroed one is legal. */
void private_key_clear(struct private_key *key);

/* Overwrites bytes that held a key, in a way that no compiler leaves out. */
void private_key_wipe(void *bytes, size_t len);

#endif
