#include "site/credential.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct certificate_der {
    size_t owners;
    size_t len;
    unsigned char bytes[];
};

/* The key and the two texts follow the structure in the same piece of memory, so that a hundred
 * thousand credentials are a hundred thousand allocations and not more. */
struct credential {
    size_t owners;
    enum credential_kind kind;
    uint32_t line;
    int64_t not_before;
    int64_t not_after;
    size_t chain_len;
    struct certificate_der *chain[LIMIT_CHAIN]; /* shared; leaf first */
    size_t key_len;
    enum credential_fault fault;
    const char *algorithm; /* in bytes */
    const char *file;      /* in bytes */
    char bytes[];          /* the key, then the texts with their NULs */
};

static const struct {
    const char *text;
    const char *word;
} faults[] = {
    [CREDENTIAL_SOUND] = {"it is good", ""},
    [CREDENTIAL_MISSING] = {"there is none", "none"},
    [CREDENTIAL_EXPIRED] = {"it has expired", "expired"},
    [CREDENTIAL_NOT_YET] = {"it is not valid yet", "not valid yet"},
    [CREDENTIAL_SELF_SIGNED] = {"it is self-signed", "self-signed"},
    [CREDENTIAL_INCOMPLETE] = {"its chain is incomplete", "chain incomplete"},
    [CREDENTIAL_CHAIN_EXPIRED] = {"an intermediate certificate of its chain is not valid now",
                                  "chain expired"},
    [CREDENTIAL_MUST_STAPLE] = {"it demands an OCSP response, which this server does not staple",
                                "must-staple"},
};

const char *credential_fault_text(enum credential_fault fault)
{
    return faults[fault].text;
}

const char *credential_fault_word(enum credential_fault fault)
{
    return faults[fault].word;
}

struct certificate_der *certificate_der_new(struct span der)
{
    struct certificate_der *certificate = malloc(sizeof(*certificate) + der.len);
    if (certificate == NULL)
        return NULL;
    certificate->owners = 1;
    certificate->len = der.len;
    if (der.len > 0)
        memcpy(certificate->bytes, der.data, der.len);
    return certificate;
}

struct certificate_der *certificate_der_share(struct certificate_der *certificate)
{
    certificate->owners++;
    return certificate;
}

void certificate_der_free(struct certificate_der *certificate)
{
    if (certificate == NULL)
        return;
    assert(certificate->owners > 0);
    if (--certificate->owners == 0)
        free(certificate);
}

struct span certificate_der_bytes(const struct certificate_der *certificate)
{
    return (struct span){(const char *)certificate->bytes, certificate->len};
}

/* Copies the text with its NUL to a place and tells where the next one goes. */
static char *place_text(char *place, const char *text, const char **ret_text)
{
    size_t size = strlen(text) + 1;
    memcpy(place, text, size);
    *ret_text = place;
    return place + size;
}

struct credential *credential_new(const struct credential_fields *fields)
{
    assert(fields->chain_len >= 1 && fields->chain_len <= LIMIT_CHAIN);
    size_t texts = strlen(fields->algorithm) + 1 + strlen(fields->file) + 1;
    struct credential *credential = malloc(sizeof(*credential) + fields->key.len + texts);
    if (credential == NULL)
        return NULL;
    *credential = (struct credential){
        .owners = 1,
        .kind = fields->kind,
        .line = fields->line,
        .not_before = fields->not_before,
        .not_after = fields->not_after,
        .fault = fields->fault,
        .chain_len = fields->chain_len,
        .key_len = fields->key.len,
    };
    for (size_t i = 0; i < fields->chain_len; i++)
        credential->chain[i] = certificate_der_share(fields->chain[i]);
    if (fields->key.len > 0)
        memcpy(credential->bytes, fields->key.data, fields->key.len);
    char *place = credential->bytes + fields->key.len;
    place = place_text(place, fields->algorithm, &credential->algorithm);
    (void)place_text(place, fields->file, &credential->file); /* nothing follows */
    return credential;
}

struct credential *credential_share(struct credential *credential)
{
    credential->owners++;
    return credential;
}

void credential_free(struct credential *credential)
{
    if (credential == NULL)
        return;
    assert(credential->owners > 0);
    if (--credential->owners > 0)
        return;
    for (size_t i = 0; i < credential->chain_len; i++)
        certificate_der_free(credential->chain[i]);
    explicit_bzero(credential->bytes, credential->key_len);
    free(credential);
}

enum credential_kind credential_kind(const struct credential *credential)
{
    return credential->kind;
}

size_t credential_chain_len(const struct credential *credential)
{
    return credential->chain_len;
}

struct span credential_chain(const struct credential *credential, size_t index)
{
    assert(index < credential->chain_len);
    return certificate_der_bytes(credential->chain[index]);
}

struct span credential_key(const struct credential *credential)
{
    return (struct span){credential->bytes, credential->key_len};
}

int64_t credential_not_before(const struct credential *credential)
{
    return credential->not_before;
}

int64_t credential_not_after(const struct credential *credential)
{
    return credential->not_after;
}

enum credential_fault credential_fault(const struct credential *credential)
{
    return credential->fault;
}

enum credential_fault credential_judge(const struct credential *credential, int64_t now)
{
    if (credential->not_after < now)
        return CREDENTIAL_EXPIRED;
    return credential->not_before > now ? CREDENTIAL_NOT_YET : credential->fault;
}

const char *credential_algorithm(const struct credential *credential)
{
    return credential->algorithm;
}

const char *credential_file(const struct credential *credential)
{
    return credential->file;
}

uint32_t credential_line(const struct credential *credential)
{
    return credential->line;
}
