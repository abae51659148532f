/*
 * Keys and certificates for the targets, in DER, made when they are first asked
 * for and the same in every run. No key is in the source tree: those on curves
 * come from the generator of chance.h, and the two factors of the RSA key are
 * primes that everybody knows.
 */
#ifndef MATERIAL_H
#define MATERIAL_H

#include "base/text.h"

enum material {
    MATERIAL_EC_KEY, /* P-256, in SEC 1 */
    MATERIAL_EC_KEY_PKCS8,
    MATERIAL_P384_KEY,
    MATERIAL_RSA_KEY, /* 2048 bits, in PKCS#1 */
    MATERIAL_RSA_KEY_PKCS8,
    MATERIAL_LEAF,         /* of the P-256 key, for mta-sts.example.com and *.example.net */
    MATERIAL_OLD_LEAF,     /* the same, but it ends sooner */
    MATERIAL_P384_LEAF,    /* of the P-384 key, the same names */
    MATERIAL_RSA_LEAF,     /* of the RSA key, the same names */
    MATERIAL_SELF_SIGNED,  /* of the P-256 key, the same names */
    MATERIAL_INTERMEDIATE, /* signs the leaves */
    MATERIAL_ROOT,         /* signs the intermediate */
};
#define MATERIALS 12

/* The DER; borrowed, for ever. */
struct span material_get(enum material which);

/* Appends it in PEM form. */
void material_print(enum material which, struct text *out);

static inline bool material_is_key(enum material which)
{
    return which <= MATERIAL_RSA_KEY_PKCS8;
}

#endif
