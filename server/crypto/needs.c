#include "crypto/needs.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/service_indicator.h>
#include <openssl/sha.h>
#include <string.h>

#include "crypto/accelerate.h"

enum { USER_BYTES = 32, FRESH_BYTES = 32 };

/* AWS-LC's own declarations of these are in its internal headers. */
uint64_t CRYPTO_get_fork_ube_generation(void);
int used_for_hmac(EVP_MD_CTX *context);
void RSASSA_PSS_PARAMS_free(void *params);

static struct {
    const struct random *random; /* borrowed; NULL between operations */
    bool failed;
} operation;

void needs_begin(const struct random *random)
{
    operation.random = random;
    operation.failed = false;
}

bool needs_end(void)
{
    operation.random = NULL;
    return !operation.failed;
}

const char *accelerate_name(void)
{
    return AWSLC_VERSION_STRING;
}

static bool draw(uint8_t *ret_bytes, size_t len)
{
    const struct random *random = operation.random;

    if (random != NULL && !operation.failed && random->fill(random->context, ret_bytes, len))
        return true;
    operation.failed = true;
    memset(ret_bytes, 0xff, len);
    return false;
}

/* AWS-LC aborts when this says that it failed; needs_end says so instead. */
int RAND_bytes(uint8_t *ret_bytes, size_t len)
{
    (void)draw(ret_bytes, len);
    return 1;
}

/* SHA-512 of fresh bytes, the user's and a counter: it is unknown as long as one of both is. For a
 * signature the user's are a hash of the key and the digest, so that a generator which repeats does
 * not repeat a nonce for another digest. */
int RAND_bytes_with_user_prediction_resistance(uint8_t *ret_bytes, size_t len,
                                               const uint8_t user[USER_BYTES])
{
    struct {
        uint8_t fresh[FRESH_BYTES];
        uint8_t user[USER_BYTES];
        uint8_t counter[4]; /* the longest number has 8 KB */
    } input = {0};
    uint8_t block[SHA512_DIGEST_LENGTH];

    if (!draw(input.fresh, sizeof(input.fresh))) {
        memset(ret_bytes, 0xff, len);
        return 1;
    }
    memcpy(input.user, user, sizeof(input.user));
    for (size_t done = 0; done < len; done += sizeof(block)) {
        size_t part = len - done < sizeof(block) ? len - done : sizeof(block);
        SHA512((const uint8_t *)&input, sizeof(input), block);
        memcpy(ret_bytes + done, block, part);
        input.counter[0]++;
    }
    explicit_bzero(&input, sizeof(input));
    explicit_bzero(block, sizeof(block));
    return 1;
}

/* What a fork would make invalid is in no process before the fork: a worker makes all of it. */
uint64_t CRYPTO_get_fork_ube_generation(void)
{
    return 1;
}

/* Every function says by its result whether it failed; why is nobody's concern here. */
void ERR_put_error(int library, int unused, int reason, const char *file, unsigned line)
{
    (void)library, (void)unused, (void)reason, (void)file, (void)line;
}

void ERR_clear_error(void)
{
}

uint32_t ERR_peek_error(void)
{
    return 0;
}

uint32_t ERR_peek_last_error(void)
{
    return 0;
}

/* No hash here is that of an HMAC. */
int used_for_hmac(EVP_MD_CTX *context)
{
    (void)context;
    return 0;
}

int HMAC_Init_ex(HMAC_CTX *context, const void *key, size_t len, const EVP_MD *md, ENGINE *engine)
{
    (void)context, (void)key, (void)len, (void)md, (void)engine;
    return 0;
}

/* No key here has parameters of its own. */
void RSASSA_PSS_PARAMS_free(void *params)
{
    (void)params;
}
