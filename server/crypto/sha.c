#include "crypto/sha.h"

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
