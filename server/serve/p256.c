#include "serve/p256.h"

#include <nettle/bignum.h>
#include <nettle/ecc-curve.h>
#include <nettle/ecdsa.h>
#include <nettle/hmac.h>
#include <string.h>

#include "serve/gmp_memory.h"

enum {
    WORD = 32,          /* bytes of the group's order, of the key, and of SHA-256 */
    HASH_LEAST = 20,    /* SHA-1, which nobody asks for any more */
    HASH_MOST = 64,     /* SHA-512 */
    STACK_DEPTH = 8192, /* more than nettle's functions take below ours */
};

/* The order of the group (FIPS 186-4 appendix D.1.2.3). */
static const uint8_t order[WORD] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

/* HMAC-DRBG as RFC 6979 section 3.2 uses it; the names are those of the text. */
struct nonces {
    uint8_t k[WORD];
    uint8_t v[WORD];
    bool asked; /* one nonce was taken, so the next needs a new state */
};

struct piece {
    const uint8_t *bytes;
    size_t len;
};

static void update_key(struct nonces *nonces, uint8_t separator, const struct piece *pieces,
                       size_t count)
{
    struct hmac_sha256_ctx hmac;

    hmac_sha256_set_key(&hmac, sizeof(nonces->k), nonces->k);
    hmac_sha256_update(&hmac, sizeof(nonces->v), nonces->v);
    hmac_sha256_update(&hmac, 1, &separator);
    for (size_t i = 0; i < count; i++)
        hmac_sha256_update(&hmac, pieces[i].len, pieces[i].bytes);
    hmac_sha256_digest(&hmac, sizeof(nonces->k), nonces->k);
    hmac_sha256_set_key(&hmac, sizeof(nonces->k), nonces->k);
    hmac_sha256_update(&hmac, sizeof(nonces->v), nonces->v);
    hmac_sha256_digest(&hmac, sizeof(nonces->v), nonces->v);
    explicit_bzero(&hmac, sizeof(hmac));
}

/* The first 32 bytes of the hash modulo the order: it is public, so it may be compared. */
static void reduce_hash(const uint8_t *hash, size_t len, uint8_t *ret_word)
{
    size_t used = len < WORD ? len : WORD;
    int borrow = 0;

    memset(ret_word, 0, WORD);
    memcpy(ret_word + WORD - used, hash, used);
    if (memcmp(ret_word, order, WORD) < 0)
        return;
    for (size_t i = WORD; i-- > 0;) {
        int difference = ret_word[i] - order[i] - borrow;
        borrow = difference < 0;
        ret_word[i] = (uint8_t)difference;
    }
}

static void nonces_begin(struct nonces *nonces, const uint8_t *key, const uint8_t *hash,
                         size_t hash_len, const uint8_t *fresh)
{
    uint8_t reduced[WORD];
    const struct piece pieces[] = {
        {key, WORD},
        {reduced, WORD},
        {fresh, P256_FRESH_BYTES},
    };
    size_t count = fresh == NULL ? 2 : 3;

    reduce_hash(hash, hash_len, reduced);
    memset(nonces->k, 0, sizeof(nonces->k));
    memset(nonces->v, 1, sizeof(nonces->v));
    nonces->asked = false;
    update_key(nonces, 0, pieces, count);
    update_key(nonces, 1, pieces, count);
}

/* nettle asks for as many bytes as the order has, again when they are zero or too large. */
static void nonces_next(void *context, size_t len, uint8_t *ret_bytes)
{
    struct nonces *nonces = context;
    struct hmac_sha256_ctx hmac;

    if (nonces->asked)
        update_key(nonces, 0, NULL, 0);
    nonces->asked = true;
    hmac_sha256_set_key(&hmac, sizeof(nonces->k), nonces->k);
    for (size_t done = 0; done < len; done += WORD) {
        hmac_sha256_update(&hmac, sizeof(nonces->v), nonces->v);
        hmac_sha256_digest(&hmac, sizeof(nonces->v), nonces->v);
        memcpy(ret_bytes + done, nonces->v, len - done < WORD ? len - done : WORD);
    }
    explicit_bzero(&hmac, sizeof(hmac));
}

/* nettle works on the stack: what is left of the nonce below this function goes. */
__attribute__((noinline)) static void wipe_stack(void)
{
    uint8_t below[STACK_DEPTH];

    explicit_bzero(below, sizeof(below));
}

static bool write_word(const mpz_t number, uint8_t *ret_word)
{
    if (mpz_sgn(number) <= 0 || nettle_mpz_sizeinbase_256_u(number) > WORD)
        return false;
    nettle_mpz_get_str_256(WORD, ret_word, number);
    return memcmp(ret_word, order, WORD) < 0;
}

bool p256_sign(const uint8_t *key, const uint8_t *hash, size_t hash_len, const uint8_t *fresh,
               uint8_t *ret_signature)
{
    struct dsa_signature signature;
    struct ecc_scalar scalar;
    struct nonces nonces;
    mpz_t number;
    bool done = false;

    memset(ret_signature, 0, P256_SIGNATURE_BYTES);
    if (hash_len < HASH_LEAST || hash_len > HASH_MOST || !gmp_memory_suffices(8 * WORD))
        return false;
    ecc_scalar_init(&scalar, nettle_get_secp_256r1());
    dsa_signature_init(&signature);
    nettle_mpz_init_set_str_256_u(number, WORD, key);
    if (ecc_scalar_set(&scalar, number) == 1) {
        nonces_begin(&nonces, key, hash, hash_len, fresh);
        ecdsa_sign(&scalar, &nonces, nonces_next, hash_len, hash, &signature);
        explicit_bzero(&nonces, sizeof(nonces));
        wipe_stack();
        done =
            write_word(signature.r, ret_signature) && write_word(signature.s, ret_signature + WORD);
    }
    if (!done)
        memset(ret_signature, 0, P256_SIGNATURE_BYTES);
    mpz_clear(number);
    dsa_signature_clear(&signature);
    ecc_scalar_clear(&scalar);
    return done;
}

bool p256_self_test(void)
{
    static const uint8_t key[P256_KEY_BYTES] = {
        0xc9, 0xaf, 0xa9, 0xd8, 0x45, 0xba, 0x75, 0x16, 0x6b, 0x5c, 0x21,
        0x57, 0x67, 0xb1, 0xd6, 0x93, 0x4e, 0x50, 0xc3, 0xdb, 0x36, 0xe8,
        0x9b, 0x12, 0x7b, 0x8a, 0x62, 0x2b, 0x12, 0x0f, 0x67, 0x21,
    };
    static const uint8_t hash[WORD] = {
        0xaf, 0x2b, 0xdb, 0xe1, 0xaa, 0x9b, 0x6e, 0xc1, 0xe2, 0xad, 0xe1,
        0xd6, 0x94, 0xf4, 0x1f, 0xc7, 0x1a, 0x83, 0x1d, 0x02, 0x68, 0xe9,
        0x89, 0x15, 0x62, 0x11, 0x3d, 0x8a, 0x62, 0xad, 0xd1, 0xbf,
    };
    static const uint8_t answer[P256_SIGNATURE_BYTES] = {
        0xef, 0xd4, 0x8b, 0x2a, 0xac, 0xb6, 0xa8, 0xfd, 0x11, 0x40, 0xdd, 0x9c, 0xd4,
        0x5e, 0x81, 0xd6, 0x9d, 0x2c, 0x87, 0x7b, 0x56, 0xaa, 0xf9, 0x91, 0xc3, 0x4d,
        0x0e, 0xa8, 0x4e, 0xaf, 0x37, 0x16, 0xf7, 0xcb, 0x1c, 0x94, 0x2d, 0x65, 0x7c,
        0x41, 0xd4, 0x36, 0xc7, 0xa1, 0xb6, 0xe2, 0x9f, 0x65, 0xf3, 0xe9, 0x00, 0xdb,
        0xb9, 0xaf, 0xf4, 0x06, 0x4d, 0xc4, 0xab, 0x2f, 0x84, 0x3a, 0xcd, 0xa8,
    };
    uint8_t signature[P256_SIGNATURE_BYTES];

    return p256_sign(key, hash, sizeof(hash), NULL, signature) &&
           memcmp(signature, answer, sizeof(answer)) == 0;
}
