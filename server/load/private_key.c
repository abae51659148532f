#include "load/private_key.h"

#include <errno.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <sys/random.h>

/* A key's DER grows by at most its public part and its headers: the largest is that of P-521. */
static const size_t GROWTH = 256;
/* SubjectPublicKeyInfo of RSA 8192, the largest that mbedTLS reads, is 1,062 bytes. */
enum { INFO_MOST = 2048 };

void private_key_wipe(void *bytes, size_t len)
{
    if (len > 0)
        mbedtls_platform_zeroize(bytes, len);
}

void private_key_clear(struct private_key *key)
{
    /* The bytes were allocated by this module, so they may be written. */
    unsigned char *bytes = (unsigned char *)(uintptr_t)key->der.data;
    private_key_wipe(bytes, key->der.len);
    free(bytes);
    *key = (struct private_key){0};
}

/* Randomness for mbedTLS straight from the kernel: a generator of our own would be state that
 * forked workers share. It blinds the derivation of a public key that the file leaves out. */
static int kernel_random(void *context, unsigned char *output, size_t len)
{
    (void)context;
    while (len > 0) {
        ssize_t count = getrandom(output, len, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return MBEDTLS_ERR_PK_BAD_INPUT_DATA;
        output += count;
        len -= (size_t)count;
    }
    return 0;
}

/* mbedTLS writes DER at the end of a buffer. The two forms of the key, normalised. */
static bool write_info(const mbedtls_pk_context *pk, struct arena *arena, struct span *ret_info)
{
    unsigned char buffer[INFO_MOST];
    int len = mbedtls_pk_write_pubkey_der(pk, buffer, sizeof(buffer));
    if (len <= 0)
        return false;
    struct span info = {(const char *)buffer + sizeof(buffer) - len, (size_t)len};
    ret_info->data = arena_copy(arena, info);
    ret_info->len = ret_info->data == NULL ? 0 : info.len;
    return true;
}

static enum private_key_fault write_key(const mbedtls_pk_context *pk, size_t size,
                                        struct span *ret_der)
{
    enum private_key_fault fault = PRIVATE_KEY_SHORTAGE;
    unsigned char *exact = NULL, *buffer = malloc(size);
    if (buffer == NULL)
        return fault;
    int len = mbedtls_pk_write_key_der(pk, buffer, size);
    if (len <= 0) {
        fault = PRIVATE_KEY_JUNK;
        goto done;
    }
    exact = malloc((size_t)len);
    if (exact == NULL)
        goto done;
    memcpy(exact, buffer + size - (size_t)len, (size_t)len);
    *ret_der = (struct span){(const char *)exact, (size_t)len};
    fault = PRIVATE_KEY_SOUND;
done:
    private_key_wipe(buffer, size);
    free(buffer);
    return fault;
}

/* mbedTLS refused it: was it a key all the same? */
static enum private_key_fault judge_unparsed(struct span der, int code, struct private_key *key)
{
    if (code == MBEDTLS_ERR_PK_ALLOC_FAILED)
        return PRIVATE_KEY_SHORTAGE;
    public_key_judge_private(der, &key->kind);
    bool named = key->kind.known;
    bool ours = key->kind.accepted || span_equal(span_of(key->kind.text), span_of("RSA"));
    key->kind.accepted = false;
    return named && !ours ? PRIVATE_KEY_REFUSED : PRIVATE_KEY_JUNK;
}

enum private_key_fault private_key_parse(struct span der, struct arena *arena,
                                         struct private_key *ret_key)
{
    enum private_key_fault fault = PRIVATE_KEY_JUNK;
    mbedtls_pk_context pk;
    struct private_key key = {0};
    mbedtls_pk_init(&pk);

    int code = mbedtls_pk_parse_key(&pk, (const unsigned char *)der.data, der.len, NULL, 0,
                                    kernel_random, NULL);
    if (code != 0) {
        fault = judge_unparsed(der, code, &key);
        goto done;
    }
    if (!write_info(&pk, arena, &key.info))
        goto done;
    if (key.info.data == NULL) {
        fault = PRIVATE_KEY_SHORTAGE;
        goto done;
    }
    public_key_judge(key.info, &key.kind);
    fault = key.kind.accepted ? write_key(&pk, der.len + GROWTH, &key.der) : PRIVATE_KEY_REFUSED;
done:
    mbedtls_pk_free(&pk);
    *ret_key = key;
    return fault;
}
