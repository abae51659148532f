/*
 * What an authority is to be shown right now: the challenges of ACME clients, in
 * memory that all workers share with the watcher, so that a challenge needs
 * no reload: an authority comes within milliseconds. The supervisor makes it; the watcher alone
 * writes, always the whole set; workers read, copy and look again whether it was
 * overwritten meanwhile. Nobody ever waits. It knows neither files nor sockets.
 */
#ifndef SHARED_CHALLENGES_H
#define SHARED_CHALLENGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"
#include "base/span.h"

enum challenge_kind {
    CHALLENGE_ALPN, /* tls-alpn-01 (RFC 8737): for a host name a certificate and its key */
    CHALLENGE_HTTP, /* http-01 (RFC 8555 section 8.3): for a token a key authorization */
};
#define CHALLENGE_KINDS 2

/* Everything is borrowed. Together they have at most LIMIT_CHALLENGE bytes. */
struct challenge {
    enum challenge_kind kind;
    struct span name;   /* a host name, or a token */
    struct span answer; /* a certificate as DER, or the key authorization */
    struct span key;    /* the certificate's, as DER: SEC 1 or PKCS#1; empty for the other kind */
};

/* A challenge that was found: its answer, and behind it its key. */
struct challenge_answer {
    size_t answer_len;
    size_t key_len;
    unsigned char bytes[LIMIT_CHALLENGE];
};

struct challenges;

/* No challenges, in memory that processes forked from now on share. Owned; NULL, with the reason in
 * errno, when it cannot be had. */
struct challenges *challenges_new(void);

/* Gives the memory back for this process. NULL is legal. */
void challenges_free(struct challenges *challenges);

/* Puts these in place of all that were there. Those that are too large and those beyond the
 * limits are left out; returns how many there are. Only one process at a time may call it; one that
 * died in between does not matter. */
size_t challenges_publish(struct challenges *challenges, const struct challenge *items,
                          size_t count);

/* For every other process, once: from now on this one can only read, whatever it calls. False with
 * errno. */
bool challenges_protect(struct challenges *challenges);

/* Is there any of the kind? NULL has none. */
bool challenges_pending(const struct challenges *challenges, enum challenge_kind kind);

/* Copies the challenge of that name. The case of host names is ignored. NULL has none. */
bool challenges_find(const struct challenges *challenges, enum challenge_kind kind,
                     struct span name, struct challenge_answer *ret_answer);

#endif
