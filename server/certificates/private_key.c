#include "certificates/private_key.h"

#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/heap.h"
#include "certificates/memory.h"

/* A key's DER grows by at most its public part and its headers: the largest is that of P-521. */
static const size_t GROWTH = 256;
/* SubjectPublicKeyInfo of RSA 8192, the largest that mbedTLS reads, is 1,062 bytes. */
enum { INFO_MOST = 2048 };

void private_key_wipe(void *bytes, size_t len)
{
    if (len > 0)
        mbedtls_platform_zeroize(bytes, len);
}

void private_key_free(struct private_key *key)
{
    if (key == NULL)
        return;
    private_key_wipe(key->bytes, key->der.len);
    free(key);
}

/* Randomness for mbedTLS straight from the kernel: a generator of our own would be state that
 * forked workers share. It blinds the derivation of a public key that the file leaves out. */
static int kernel_random(void *context, unsigned char *output, size_t len)
{
    (void)context;
    const size_t most = 256; /* of getentropy(3) */
    for (; len > most; output += most, len -= most)
        if (getentropy(output, most) != 0)
            return MBEDTLS_ERR_PK_BAD_INPUT_DATA;
    return getentropy(output, len) == 0 ? 0 : MBEDTLS_ERR_PK_BAD_INPUT_DATA;
}

/* Takes der and info, which follow the structure in the same piece of memory. */
static struct private_key *make_key(enum private_key_fault fault, const struct public_key *kind,
                                    struct span der, struct span info)
{
    struct private_key *key = heap_take(1, sizeof(*key) + der.len + info.len);
    *key = (struct private_key){.fault = fault, .kind = *kind};
    if (der.len > 0)
        memcpy(key->bytes, der.data, der.len);
    if (info.len > 0)
        memcpy(key->bytes + der.len, info.data, info.len);
    key->der = (struct span){key->bytes, der.len};
    key->info = (struct span){key->bytes + der.len, info.len};
    return key;
}

/* mbedTLS refused it: was it a key all the same? */
static struct private_key *make_refused(struct span der)
{
    const struct span none = {0};
    struct public_key kind = {0};
    public_key_judge_private(der, &kind);
    bool ours = kind.accepted || span_equal(span_of(kind.text), span_of("RSA"));
    bool refused = kind.known && !ours;
    kind.accepted = false;
    return make_key(refused ? PRIVATE_KEY_REFUSED : PRIVATE_KEY_JUNK, &kind, none, none);
}

/* mbedTLS writes DER at the end of a buffer. */
static struct span written(const unsigned char *buffer, size_t size, int len)
{
    size_t count = len <= 0 ? 0 : (size_t)len;
    return (struct span){(const char *)buffer + size - count, count};
}

/* The two forms of the key, normalised. size is enough for the DER of the private one. */
static struct private_key *make_parsed(const mbedtls_pk_context *pk, size_t size)
{
    unsigned char public[INFO_MOST];
    const struct span none = {0};
    struct public_key kind = {0};
    struct span info =
        written(public, sizeof(public), mbedtls_pk_write_pubkey_der(pk, public, sizeof(public)));
    if (info.len == 0)
        return make_key(PRIVATE_KEY_JUNK, &kind, none, none);
    public_key_judge(info, &kind);
    if (!public_key_is_served(&kind))
        return make_key(PRIVATE_KEY_REFUSED, &kind, none, none);
    unsigned char *private = heap_take(1, size);
    struct span der = written(private, size, mbedtls_pk_write_key_der(pk, private, size));
    struct private_key *key = der.len == 0 ? make_key(PRIVATE_KEY_JUNK, &kind, none, none)
                                           : make_key(PRIVATE_KEY_SOUND, &kind, der, info);
    private_key_wipe(private, size);
    free(private);
    return key;
}

static struct private_key *read_key(struct span der, int *ret_code)
{
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    *ret_code = mbedtls_pk_parse_key(&pk, (const unsigned char *)der.data, der.len, NULL, 0,
                                     kernel_random, NULL);
    struct private_key *key =
        *ret_code == 0 ? make_parsed(&pk, der.len + GROWTH) : make_refused(der);
    mbedtls_pk_free(&pk);
    return key;
}

struct private_key *private_key_new(struct span der)
{
    int code = 0;
    struct private_key *key = read_key(der, &code);
    if (key->fault != PRIVATE_KEY_JUNK)
        return key;
    private_key_free(key);
    memory_check(code);
    return read_key(der, &code);
}
