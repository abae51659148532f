/*
 * Runs each primitive of server/crypto with its secrets marked as undefined memory, so that valgrind
 * names every branch and every index that depends on one. tests/project/test_secrets.py builds it with
 * AWS-LC's own marks of what may be known, and runs it. The argument `leak` makes it branch on a secret,
 * to show that this is seen.
 */
#include <stdio.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "crypto/primitives.h"

/* Random bytes are secret too: a nonce, a blinding. */
static bool fill(void *context, uint8_t *bytes, size_t len)
{
    uint8_t *next = context;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(*next)++;
    bytes[0] = (uint8_t)len;
    VALGRIND_MAKE_MEM_UNDEFINED(bytes, len);
    return true;
}

static bool run_curve(enum curve curve, const struct random *random)
{
    uint8_t secret[CURVE_SECRET_MOST], point[CURVE_POINT_MOST], product[CURVE_POINT_MOST];
    uint8_t signature[CURVE_SIGNATURE_MOST];
    const uint8_t hash[32] = {1, 2, 3};

    memset(secret, 0x5b, sizeof(secret));
    VALGRIND_MAKE_MEM_UNDEFINED(secret, sizeof(secret));
    bool done = curve_public(curve, secret, point);
    /* A public key is public, and so is whether a secret is one. */
    VALGRIND_MAKE_MEM_DEFINED(point, sizeof(point));
    VALGRIND_MAKE_MEM_DEFINED(&done, sizeof(done));
    if (!done)
        return false;
    done = curve_multiply(curve, secret, point, product);
    VALGRIND_MAKE_MEM_DEFINED(&done, sizeof(done));
    if (!done || curve == CURVE_X25519)
        return done;
    done = curve_sign(curve, secret, hash, sizeof(hash), random, signature);
    VALGRIND_MAKE_MEM_DEFINED(&done, sizeof(done));
    return done;
}

static void run_hashes(void)
{
    uint8_t block[128];
    uint32_t state_256[8] = {1};
    uint64_t state_512[8] = {1};

    memset(block, 7, sizeof(block));
    VALGRIND_MAKE_MEM_UNDEFINED(block, sizeof(block));
    VALGRIND_MAKE_MEM_UNDEFINED(state_256, sizeof(state_256));
    VALGRIND_MAKE_MEM_UNDEFINED(state_512, sizeof(state_512));
    sha256_block(state_256, block);
    sha512_block(state_512, block);
}

/* A secret of the key schedule, and what is derived of it. */
static bool run_schedule(enum kdf_hash hash)
{
    uint8_t first[KDF_LEN_MOST], second[KDF_LEN_MOST], key[32];
    const struct span secret = {(const char *)first, kdf_len(hash)};
    const struct span next = {(const char *)second, kdf_len(hash)};

    memset(first, 9, sizeof(first));
    VALGRIND_MAKE_MEM_UNDEFINED(first, sizeof(first));
    return kdf_next_secret(hash, secret, secret, second) &&
           kdf_expand_label(hash, next, span_of("key"), span_of("context"), key, sizeof(key)) &&
           kdf_prf(hash, next, span_of("key expansion"), span_of("seed"), key, sizeof(key));
}

/* The numbers of the key are read as integers first, which shows their lengths, and are not marked:
 * what is marked is the randomness of blinding and salt. */
static bool run_rsa(const struct random *random, const char *path)
{
    static char der[8192];
    uint8_t digest[64] = {1}, signature[RSA_BYTES_MOST];
    FILE *file = fopen(path, "rb");
    bool done = true;

    if (file == NULL)
        return false;
    size_t len = fread(der, 1, sizeof(der), file);
    (void)fclose(file);
    struct rsa_context *context = rsa_keep((struct span){der, len});
    for (int i = 0; i < 4 && context != NULL && done; i++)
        done = rsa_sign(context, i % 2 == 0 ? RSA_PKCS1 : RSA_PSS, RSA_SHA256, digest, random,
                        signature, sizeof(signature)) != 0;
    rsa_forget();
    return context != NULL && done;
}

int main(int argc, char **argv)
{
    uint8_t next = 1, leak[2] = {1, 2};
    const struct random random = {.fill = fill, .context = &next};
    bool done = true;

    if (argc < 2)
        return 2;
    if (strcmp(argv[1], "leak") == 0) {
        VALGRIND_MAKE_MEM_UNDEFINED(leak, sizeof(leak));
        if (leak[1] > 2)
            (void)puts("a branch");
        return 0;
    }
    for (enum curve curve = 0; curve < CURVE_COUNT; curve++)
        done = run_curve(curve, &random) && done;
    run_hashes();
    for (enum kdf_hash hash = 0; hash < KDF_COUNT; hash++)
        done = run_schedule(hash) && done;
    done = run_rsa(&random, argv[1]) && done;
    return done ? 0 : 1;
}
