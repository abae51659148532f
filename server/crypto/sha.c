#include "crypto/primitives.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

void sha256_block(uint32_t state[8], const uint8_t *block)
{
    CRYPTO_library_init();
    SHA256_TransformBlocks(state, block, 1);
}

void sha512_block(uint64_t state[8], const uint8_t *block)
{
    SHA512_CTX context;

    CRYPTO_library_init();
    memcpy(context.h, state, sizeof(context.h));
    SHA512_Transform(&context, block);
    memcpy(state, context.h, sizeof(context.h));
    explicit_bzero(context.h, sizeof(context.h));
}

static const struct {
    size_t len, block;
} sizes[KDF_COUNT] = {
    [KDF_SHA256] = {SHA256_DIGEST_LENGTH, SHA256_CBLOCK},
    [KDF_SHA384] = {SHA384_DIGEST_LENGTH, SHA384_CBLOCK},
};

struct running {
    enum kdf_hash hash;
    union {
        SHA256_CTX sha256;
        SHA512_CTX sha384;
    };
};

static void add(struct running *running, const void *bytes, size_t len)
{
    if (running->hash == KDF_SHA256)
        SHA256_Update(&running->sha256, bytes, len);
    else
        SHA384_Update(&running->sha384, bytes, len);
}

static void finish(struct running *running, uint8_t *ret_digest)
{
    if (running->hash == KDF_SHA256)
        SHA256_Final(ret_digest, &running->sha256);
    else
        SHA384_Final(ret_digest, &running->sha384);
}

/* The two hashes of an HMAC, each behind the block that the key is in. */
struct hmac {
    struct running inner, outer;
};

/* Begins a hash with the key's block, in which the mask changes each byte. */
static void begin(struct running *running, enum kdf_hash hash, uint64_t *block, uint8_t mask)
{
    size_t len = sizes[hash].block;

    for (size_t i = 0; i < len / sizeof(block[0]); i++)
        block[i] ^= mask * UINT64_C(0x0101010101010101);
    running->hash = hash;
    if (hash == KDF_SHA256)
        SHA256_Init(&running->sha256);
    else
        SHA384_Init(&running->sha384);
    add(running, block, len);
}

/* False for a key that is too long. */
static bool hmac_begin(struct hmac *hmac, enum kdf_hash hash, struct span key)
{
    enum { INNER = 0x36, OUTER = 0x5c };
    uint64_t block[SHA384_CBLOCK / sizeof(uint64_t)] = {0};

    if (key.len > KDF_KEY_MOST)
        return false;
    CRYPTO_library_init();
    memcpy(block, key.data, key.len);
    begin(&hmac->inner, hash, block, INNER);
    begin(&hmac->outer, hash, block, INNER ^ OUTER);
    explicit_bzero(block, sizeof(block));
    return true;
}

/* Of the parts, one behind the other. What was begun is spent, and left to be wiped. */
static void hmac_finish(struct hmac *hmac, const struct span *parts, size_t count, uint8_t *ret_mac)
{
    uint8_t digest[KDF_LEN_MOST];

    for (size_t i = 0; i < count; i++)
        add(&hmac->inner, parts[i].data, parts[i].len);
    finish(&hmac->inner, digest);
    add(&hmac->outer, digest, sizes[hmac->outer.hash].len);
    finish(&hmac->outer, ret_mac);
    explicit_bzero(digest, sizeof(digest));
}

size_t kdf_len(enum kdf_hash hash)
{
    return sizes[hash].len;
}

bool kdf_hmac(enum kdf_hash hash, struct span key, struct span message, uint8_t *ret_mac)
{
    struct hmac hmac;

    if (!hmac_begin(&hmac, hash, key))
        return false;
    hmac_finish(&hmac, &message, 1, ret_mac);
    explicit_bzero(&hmac, sizeof(hmac));
    return true;
}

bool kdf_prf(enum kdf_hash hash, struct span secret, struct span label, struct span seed,
             uint8_t *ret_key, size_t len)
{
    /* A(i), from which the next one comes, and what is hashed behind it. */
    uint8_t chained[KDF_LEN_MOST], part[KDF_LEN_MOST];
    const struct span parts[] = {{(const char *)chained, sizes[hash].len}, label, seed};
    struct hmac begun, hmac;

    if (!hmac_begin(&begun, hash, secret))
        return false;
    hmac = begun;
    hmac_finish(&hmac, parts + 1, 2, chained);
    for (size_t done = 0; done < len; done += sizes[hash].len) {
        size_t left = len - done;
        hmac = begun;
        hmac_finish(&hmac, parts, 3, part);
        memcpy(ret_key + done, part, left < sizes[hash].len ? left : sizes[hash].len);
        hmac = begun;
        if (left > sizes[hash].len)
            hmac_finish(&hmac, parts, 1, chained);
    }
    explicit_bzero(&begun, sizeof(begun));
    explicit_bzero(&hmac, sizeof(hmac));
    explicit_bzero(chained, sizeof(chained));
    explicit_bzero(part, sizeof(part));
    return true;
}

bool kdf_expand_label(enum kdf_hash hash, struct span secret, struct span label,
                      struct span context, uint8_t *ret_key, size_t len)
{
    static const char prefix[] = {'t', 'l', 's', '1', '3', ' '};
    enum { INFO_MOST = 2 + 1 + sizeof(prefix) + KDF_LABEL_MOST + 1 + KDF_CONTEXT_MOST };
    /* What is hashed: the part before, of which the first has none; what it is for; its number. */
    uint8_t part[KDF_LEN_MOST], input[KDF_LEN_MOST + INFO_MOST + 1];
    size_t hash_len = sizes[hash].len;
    uint8_t *begin_of_info = input + hash_len, *end = begin_of_info;
    bool done = label.len <= KDF_LABEL_MOST && context.len <= KDF_CONTEXT_MOST &&
                secret.len <= KDF_KEY_MOST && len <= 255 * hash_len;

    if (!done)
        return false;
    *end++ = (uint8_t)(len >> 8);
    *end++ = (uint8_t)len;
    *end++ = (uint8_t)(sizeof(prefix) + label.len);
    end = mempcpy(end, prefix, sizeof(prefix));
    end = mempcpy(end, label.data, label.len);
    *end++ = (uint8_t)context.len;
    if (context.len > 0)
        end = mempcpy(end, context.data, context.len);
    for (*end = 1; len > 0; ++*end) {
        const uint8_t *from = *end == 1 ? begin_of_info : input;
        size_t wanted = len < hash_len ? len : hash_len;
        (void)kdf_hmac(hash, secret, (struct span){(const char *)from, (size_t)(end + 1 - from)},
                       part); /* the key is short enough */
        memcpy(input, part, hash_len);
        memcpy(ret_key, part, wanted);
        ret_key += wanted;
        len -= wanted;
    }
    explicit_bzero(part, sizeof(part));
    explicit_bzero(input, sizeof(input));
    return true;
}

bool kdf_next_secret(enum kdf_hash hash, struct span secret, struct span input, uint8_t *ret_secret)
{
    static const char zeros[KDF_LEN_MOST];
    static const struct span derived = {"derived", 7};
    uint8_t salt[KDF_LEN_MOST] = {0}, nothing[KDF_LEN_MOST];
    size_t len = sizes[hash].len;

    if (hash == KDF_SHA256)
        SHA256(NULL, 0, nothing);
    else
        SHA384(NULL, 0, nothing);
    if (input.len == 0)
        input = (struct span){zeros, len};
    bool done = (secret.len == 0 ||
                 kdf_expand_label(hash, secret, derived, (struct span){(const char *)nothing, len},
                                  salt, len)) &&
                kdf_hmac(hash, (struct span){(const char *)salt, len}, input, ret_secret);
    explicit_bzero(salt, sizeof(salt));
    return done;
}

bool kdf_self_test(void)
{
    static const uint8_t shared[] = {
        0x8b, 0xd4, 0x05, 0x4f, 0xb5, 0x5b, 0x9d, 0x63, 0xfd, 0xfb, 0xac,
        0xf9, 0xf0, 0x4b, 0x9f, 0x0d, 0x35, 0xe6, 0xd6, 0x3f, 0x53, 0x75,
        0x63, 0xef, 0xd4, 0x62, 0x72, 0x90, 0x0f, 0x89, 0x49, 0x2d,
    };
    static const uint8_t transcript[] = {
        0x86, 0x0c, 0x06, 0xed, 0xc0, 0x78, 0x58, 0xee, 0x8e, 0x78, 0xf0,
        0xe7, 0x42, 0x8c, 0x58, 0xed, 0xd6, 0xb4, 0x3f, 0x2c, 0xa3, 0xe6,
        0xe9, 0x5f, 0x02, 0xed, 0x06, 0x3c, 0xf0, 0xe1, 0xca, 0xd8,
    };
    static const uint8_t handshake[] = {
        0x1d, 0xc8, 0x26, 0xe9, 0x36, 0x06, 0xaa, 0x6f, 0xdc, 0x0a, 0xad,
        0xc1, 0x2f, 0x74, 0x1b, 0x01, 0x04, 0x6a, 0xa6, 0xb9, 0x9f, 0x69,
        0x1e, 0xd2, 0x21, 0xa9, 0xf0, 0xca, 0x04, 0x3f, 0xbe, 0xac,
    };
    static const uint8_t write_key[] = {
        0x3f, 0xce, 0x51, 0x60, 0x09, 0xc2, 0x17, 0x27,
        0xd0, 0xf2, 0xe4, 0xe8, 0x6e, 0xe4, 0x03, 0xbc,
    };
    static const uint8_t mac_384[] = {
        0xaf, 0x45, 0xd2, 0xe3, 0x76, 0x48, 0x40, 0x31, 0x61, 0x7f, 0x78, 0xd2,
        0xb5, 0x8a, 0x6b, 0x1b, 0x9c, 0x7e, 0xf4, 0x64, 0xf5, 0xa0, 0x1b, 0x47,
        0xe4, 0x2e, 0xc3, 0x73, 0x63, 0x22, 0x44, 0x5e, 0x8e, 0x22, 0x40, 0xca,
        0x5e, 0x69, 0xe2, 0xc7, 0x8b, 0x32, 0x39, 0xec, 0xfa, 0xb2, 0x16, 0x49,
    };
    static const uint8_t prf_secret[] = {
        0x9b, 0xbe, 0x43, 0x6b, 0xa9, 0x40, 0xf0, 0x17,
        0xb1, 0x76, 0x52, 0x84, 0x9a, 0x71, 0xdb, 0x35,
    };
    static const uint8_t prf_seed[] = {
        0xa0, 0xba, 0x9f, 0x93, 0x6c, 0xda, 0x31, 0x18,
        0x27, 0xa6, 0xf7, 0x96, 0xff, 0xd5, 0x19, 0x8c,
    };
    static const uint8_t prf_key[] = {
        0xe3, 0xf2, 0x29, 0xba, 0x72, 0x7b, 0xe1, 0x7b, 0x8d, 0x12, 0x26, 0x20, 0x55, 0x7c,
        0xd4, 0x53, 0xc2, 0xaa, 0xb2, 0x1d, 0x07, 0xc3, 0xd4, 0x95, 0x32, 0x9b, 0x52, 0xd4,
        0xe6, 0x1e, 0xdb, 0x5a, 0x6b, 0x30, 0x17, 0x91, 0xe9, 0x0d, 0x35, 0xc9,
    };
    static const struct span none = {NULL, 0};
    uint8_t early[32], secret[32], traffic[32], key[16], mac[48], expanded[sizeof(prf_key)];
#define SPAN(bytes) ((struct span){(const char *)(bytes), sizeof(bytes)})
    return kdf_next_secret(KDF_SHA256, none, none, early) &&
           kdf_next_secret(KDF_SHA256, SPAN(early), SPAN(shared), secret) &&
           memcmp(secret, handshake, sizeof(secret)) == 0 &&
           kdf_expand_label(KDF_SHA256, SPAN(secret), span_of("s hs traffic"), SPAN(transcript),
                            traffic, sizeof(traffic)) &&
           kdf_expand_label(KDF_SHA256, SPAN(traffic), span_of("key"), none, key, sizeof(key)) &&
           memcmp(key, write_key, sizeof(key)) == 0 &&
           kdf_hmac(KDF_SHA384, span_of("Jefe"), span_of("what do ya want for nothing?"), mac) &&
           memcmp(mac, mac_384, sizeof(mac)) == 0 &&
           kdf_prf(KDF_SHA256, SPAN(prf_secret), span_of("test label"), SPAN(prf_seed), expanded,
                   sizeof(expanded)) &&
           memcmp(expanded, prf_key, sizeof(expanded)) == 0;
#undef SPAN
}
