/*
 * What the TLS library does not tell of a certificate, read from its DER: the
 * names that an authority may issue for (RFC 5280 section 4.2.1.10), critical
 * extensions that are not judged, DNS names as they are written, and whether the
 * key makes a check of a signature costly. Pure. The loader and commands use it.
 */
#ifndef CERTIFICATES_EXTENSIONS_H
#define CERTIFICATES_EXTENSIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* The name constraints of an authority, held against names. */
struct extensions_verdict {
    struct span forbidden;  /* one of the names that it may not issue for; data NULL: none */
    const char *not_judged; /* a critical extension that is not judged here; or NULL; static */
};

/* Judges the authority (DER) for the DNS names of a server's certificate. */
void extensions_judge(struct span authority, const struct span *names, size_t count,
                      struct extensions_verdict *ret_verdict);

/* The next DNS name in the subject alternative name, as it is written, behind the one that was taken
 * last; begin with data NULL. False when there is none. */
bool extensions_next_name(struct span certificate, struct span *name);

/* Whether checking a signature with the key of the certificate takes so long that a server could keep
 * its clients busy: an RSA exponent of more than 32 bits, which OpenSSL and Go refuse too. */
bool extensions_key_is_costly(struct span certificate);

#endif
