#include "serve/rsa.h"

#include <nettle/bignum.h>
#include <nettle/nettle-meta.h>
#include <nettle/pkcs1.h>
#include <nettle/pss.h>
#include <nettle/rsa.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "serve/gmp_memory.h"

struct pair {
    struct rsa_public_key public;
    struct rsa_private_key private;
};

/* What a signature hides its input with. */
struct blind {
    mpz_t power;   /* r^e mod n */
    mpz_t inverse; /* 1/r mod n */
};

static const struct nettle_hash *const hashes[] = {
    [RSA_SHA256] = &nettle_sha256,
    [RSA_SHA384] = &nettle_sha384,
    [RSA_SHA512] = &nettle_sha512,
};

/* DigestInfo before its digest (RFC 8017 section 9.2, note 1): the last byte of the hash's object
 * identifier, and the length of the digest, are all that differ. */
enum { INFO_LEN = 19, INFO_LENGTH_ALL = 1, INFO_HASH = 14, INFO_LENGTH = 18 };
static const uint8_t info_frame[INFO_LEN] = {
    0x30, 0,    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
    0x65, 0x03, 0x04, 0x02, 0,    0x05, 0,    0x04, 0,
};
static const uint8_t info_hash[] = {[RSA_SHA256] = 1, [RSA_SHA384] = 2, [RSA_SHA512] = 3};

static void pair_init(struct pair *pair)
{
    rsa_public_key_init(&pair->public);
    rsa_private_key_init(&pair->private);
}

static void pair_clear(struct pair *pair)
{
    rsa_private_key_clear(&pair->private);
    rsa_public_key_clear(&pair->public);
}

static bool is_below(const mpz_t number, const mpz_t bound)
{
    return mpz_sgn(number) > 0 && mpz_cmp(number, bound) < 0;
}

/* nettle and GMP take for granted what is checked here, and end the process otherwise. Whether the
 * exponents fit the primes is told by the check of the result. */
static bool is_sound(const struct pair *pair)
{
    const struct rsa_private_key *private = &pair->private;
    const struct rsa_public_key *public = &pair->public;
    size_t bits = mpz_sizeinbase(public->n, 2);
    mpz_t product;

    mpz_init(product);
    mpz_mul(product, private->p, private->q);
    bool sound = bits >= RSA_BITS_LEAST && bits <= RSA_BITS_MOST &&
                 mpz_cmp(product, public->n) == 0 && public->size == private->size &&
                 mpz_odd_p(public->n) && mpz_cmp_ui(public->e, 1) > 0 &&
                 is_below(public->e, public->n) && mpz_size(private->p) < mpz_size(public->n) &&
                 mpz_size(private->q) < mpz_size(public->n) && is_below(private->a, private->p) &&
                 is_below(private->b, private->q) && is_below(private->c, private->p) &&
                 mpz_size(private->q) + mpz_size(private->c) >= mpz_size(private->p);
    mpz_clear(product);
    return sound;
}

/* ret = a * b mod n, in a time that depends on the size of n alone. a and b are not longer. */
static void multiply(mpz_t ret, const mpz_t a, const mpz_t b, const mpz_t n)
{
    mp_size_t len = (mp_size_t)mpz_size(n);
    mp_size_t itch = mpn_sec_mul_itch(len, len);
    mp_size_t itch_divide = mpn_sec_div_r_itch(2 * len, len);
    mpz_t factors[2];
    mpz_t room;

    if (itch < itch_divide)
        itch = itch_divide;
    for (size_t i = 0; i < 2; i++) {
        mpz_srcptr factor = i == 0 ? a : b;
        mpz_init(factors[i]);
        mp_limb_t *limbs = mpz_limbs_write(factors[i], len);
        size_t have = mpz_size(factor);
        mpn_zero(limbs, len);
        if (have > 0)
            mpn_copyi(limbs, mpz_limbs_read(factor), (mp_size_t)have);
    }
    mpz_init(room);
    mp_limb_t *product = mpz_limbs_write(room, 2 * len + itch);
    mp_limb_t *scratch = product + 2 * len;
    mpn_sec_mul(product, mpz_limbs_read(factors[0]), len, mpz_limbs_read(factors[1]), len, scratch);
    mpn_sec_div_r(product, 2 * len, mpz_limbs_read(n), len, scratch);
    mpn_copyi(mpz_limbs_write(ret, len), product, len);
    mpz_limbs_finish(ret, len);
    mpz_clear(room);
    mpz_clear(factors[0]);
    mpz_clear(factors[1]);
}

/* A number of one bit less than n, and so below it without a division that could tell of it. */
static bool draw(mpz_t ret, const mpz_t n, const struct rsa_random *random)
{
    uint8_t bytes[RSA_BYTES_MOST];
    size_t bits = mpz_sizeinbase(n, 2) - 1;
    size_t len = (bits + 7) / 8;
    bool drawn = random->fill(random->context, bytes, len);

    if (drawn) {
        bytes[0] = (uint8_t)(bytes[0] & (0xff >> (len * 8 - bits)));
        nettle_mpz_set_str_256_u(ret, len, bytes);
    }
    explicit_bzero(bytes, sizeof(bytes));
    return drawn && mpz_sgn(ret) > 0;
}

static void blind_clear(struct blind *blind)
{
    mpz_clear(blind->power);
    mpz_clear(blind->inverse);
}

/* 1/r = s/(r s): the inversion, whose time varies, sees a number that tells nothing of r. */
static bool blind_make(struct blind *blind, const struct rsa_public_key *public,
                       const struct rsa_random *random)
{
    mpz_t r;
    mpz_t s;
    mpz_t product;

    mpz_init(blind->power);
    mpz_init(blind->inverse);
    mpz_init(r);
    mpz_init(s);
    mpz_init(product);
    bool made = draw(r, public->n, random) && draw(s, public->n, random);
    if (made) {
        multiply(product, r, s, public->n);
        made = mpz_invert(product, product, public->n) != 0;
    }
    if (made) {
        multiply(blind->inverse, product, s, public->n);
        mpz_powm_sec(blind->power, r, public->e, public->n);
    }
    mpz_clear(product);
    mpz_clear(s);
    mpz_clear(r);
    return made;
}

/* Writes the root of the message, once it is known to be the root. */
static size_t compute(const struct pair *pair, const mpz_t message, const struct rsa_random *random,
                      uint8_t *ret_output, size_t size)
{
    const struct rsa_public_key *public = &pair->public;
    struct blind blind;
    mpz_t number;
    mpz_t check;
    size_t len = 0;

    if (public->size > size || mpz_sgn(message) < 0 || mpz_cmp(message, public->n) >= 0)
        return 0;
    mpz_init(number);
    mpz_init(check);
    if (blind_make(&blind, public, random)) {
        multiply(number, message, blind.power, public->n);
        rsa_compute_root(&pair->private, number, number);
        /* With unsound exponents it could be anything; a product must be of two numbers below n. */
        if (mpz_cmp(number, public->n) < 0) {
            multiply(number, number, blind.inverse, public->n);
            mpz_powm(check, number, public->e, public->n);
            if (mpz_cmp(check, message) == 0)
                len = public->size;
        }
    }
    if (len > 0)
        nettle_mpz_get_str_256(len, ret_output, number);
    blind_clear(&blind);
    mpz_clear(check);
    mpz_clear(number);
    return len;
}

/* EMSA-PKCS1-v1_5 or EMSA-PSS (RFC 8017 section 9). */
static bool encode(mpz_t ret, const struct rsa_public_key *public, enum rsa_scheme scheme,
                   enum rsa_hash hash, const uint8_t *digest, const struct rsa_random *random)
{
    uint8_t bytes[INFO_LEN + SHA512_DIGEST_SIZE];
    size_t len = hashes[hash]->digest_size;

    if (scheme == RSA_PSS)
        return random->fill(random->context, bytes, len) &&
               pss_encode_mgf1(ret, mpz_sizeinbase(public->n, 2) - 1, hashes[hash], len, bytes,
                               digest) == 1;
    memcpy(bytes, info_frame, INFO_LEN);
    bytes[INFO_LENGTH_ALL] = (uint8_t)(INFO_LEN - 2 + len);
    bytes[INFO_HASH] = info_hash[hash];
    bytes[INFO_LENGTH] = (uint8_t)len;
    memcpy(bytes + INFO_LEN, digest, len);
    return pkcs1_rsa_digest_encode(ret, public->size, INFO_LEN + len, bytes) == 1;
}

static bool read_key(struct pair *pair, struct span key)
{
    return rsa_keypair_from_der(&pair->public, &pair->private, RSA_BITS_MOST, key.len,
                                (const uint8_t *)key.data) == 1 &&
           is_sound(pair);
}

/* The DER has the modulus four and a half times over; so this is at least its bits. */
static bool has_memory(struct span key)
{
    return gmp_memory_suffices(key.len * 2);
}

size_t rsa_sign(struct span key, enum rsa_scheme scheme, enum rsa_hash hash, const uint8_t *digest,
                const struct rsa_random *random, uint8_t *ret_signature, size_t size)
{
    struct pair pair;
    mpz_t message;
    size_t len = 0;

    if (!has_memory(key))
        return 0;
    pair_init(&pair);
    mpz_init(message);
    if (read_key(&pair, key) && encode(message, &pair.public, scheme, hash, digest, random))
        len = compute(&pair, message, random, ret_signature, size);
    mpz_clear(message);
    pair_clear(&pair);
    return len;
}

size_t rsa_private(struct span key, const uint8_t *input, const struct rsa_random *random,
                   uint8_t *ret_output, size_t size)
{
    struct pair pair;
    mpz_t message;
    size_t len = 0;

    if (!has_memory(key))
        return 0;
    pair_init(&pair);
    mpz_init(message);
    if (read_key(&pair, key)) {
        nettle_mpz_set_str_256_u(message, pair.public.size, input);
        len = compute(&pair, message, random, ret_output, size);
    }
    mpz_clear(message);
    pair_clear(&pair);
    return len;
}

/* No randomness at all, which a key that is no secret can bear. */
static bool fill_pattern(void *context, uint8_t *bytes, size_t len)
{
    (void)context;
    memset(bytes, 0x5a, len);
    return true;
}

/* 2^521 - 1 and 2^607 - 1. */
static bool make_mersenne_pair(struct pair *pair)
{
    mpz_t order;

    mpz_set_ui(pair->public.e, 65537);
    mpz_setbit(pair->private.p, 521);
    mpz_sub_ui(pair->private.p, pair->private.p, 1);
    mpz_setbit(pair->private.q, 607);
    mpz_sub_ui(pair->private.q, pair->private.q, 1);
    mpz_mul(pair->public.n, pair->private.p, pair->private.q);
    mpz_init(order);
    mpz_sub_ui(order, pair->private.p, 1);
    bool made = mpz_invert(pair->private.a, pair->public.e, order) != 0;
    mpz_sub_ui(order, pair->private.q, 1);
    made = made && mpz_invert(pair->private.b, pair->public.e, order) != 0 &&
           mpz_invert(pair->private.c, pair->private.q, pair->private.p) != 0;
    mpz_clear(order);
    return made && rsa_public_key_prepare(&pair->public) == 1 &&
           rsa_private_key_prepare(&pair->private) == 1 && is_sound(pair);
}

bool rsa_self_test(void)
{
    const struct rsa_random random = {.fill = fill_pattern};
    uint8_t output[RSA_BYTES_MOST];
    struct pair pair;
    mpz_t root;
    mpz_t message;

    pair_init(&pair);
    mpz_init(root);
    mpz_init(message);
    bool passed = make_mersenne_pair(&pair);
    if (passed) {
        mpz_ui_pow_ui(root, 3, 700);
        mpz_powm(message, root, pair.public.e, pair.public.n);
        size_t len = compute(&pair, message, &random, output, sizeof(output));
        nettle_mpz_set_str_256_u(message, len, output);
        passed = len == pair.public.size && mpz_cmp(message, root) == 0;
    }
    mpz_clear(message);
    mpz_clear(root);
    pair_clear(&pair);
    return passed;
}
