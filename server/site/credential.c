#include "site/credential.h"

#include <assert.h>

#include "site/image.h"

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

static_assert(sizeof(faults) / sizeof(faults[0]) == CREDENTIAL_FAULTS, "each has its texts");

void credential_fields(const struct credential *credential, struct credential_fields *ret_fields)
{
    *ret_fields = (struct credential_fields){
        .kind = credential_kind(credential),
        .chain_len = credential->chain_len,
        .key = credential_key(credential),
        .not_before = credential->not_before,
        .not_after = credential->not_after,
        .fault = credential_fault(credential),
        .algorithm = credential_algorithm(credential),
        .file = credential_file(credential),
        .line = credential->line,
    };
    for (size_t i = 0; i < credential->chain_len; i++)
        ret_fields->chain[i] = image_span(&credential->chain[i]);
}

enum credential_kind credential_kind(const struct credential *credential)
{
    return (enum credential_kind)credential->kind;
}

size_t credential_chain_len(const struct credential *credential)
{
    return credential->chain_len;
}

struct span credential_chain(const struct credential *credential, size_t index)
{
    assert(index < credential->chain_len);
    return image_span(&credential->chain[index]);
}

struct span credential_key(const struct credential *credential)
{
    return image_span(&credential->key);
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
    return (enum credential_fault)credential->fault;
}

enum credential_fault credential_judge(const struct credential *credential, int64_t now)
{
    if (credential->not_after < now)
        return CREDENTIAL_EXPIRED;
    return credential->not_before > now ? CREDENTIAL_NOT_YET : credential_fault(credential);
}

const char *credential_algorithm(const struct credential *credential)
{
    return image_text(&credential->algorithm);
}

const char *credential_file(const struct credential *credential)
{
    return image_text(&credential->file);
}

uint32_t credential_line(const struct credential *credential)
{
    return credential->line;
}
