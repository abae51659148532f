/*
 * Tells a certificate for tls-alpn-01 (RFC 8737) from all others: it is the one
 * kind with a critical extension that no other reader here knows. Owns nothing.
 * Watcher only.
 */
#ifndef CERTIFICATES_CHALLENGE_CERTIFICATE_H
#define CERTIFICATES_CHALLENGE_CERTIFICATE_H

#include "base/arena.h"
#include "base/span.h"

/* Judges one certificate: whether it is one for tls-alpn-01. ret_host is borrowed from der, and
 * ret_info, the public key as struct private_key has it, from the arena. Otherwise returns why not,
 * the end of the sentence "the certificate ..." (static). */
const char *certificate_challenge_judge(struct span der, struct arena *arena, struct span *ret_host,
                                        struct span *ret_info);

#endif
