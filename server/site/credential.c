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

struct credential_fields credential_fields(const struct credential *credential)
{
    struct credential_fields fields = {
        .kind = (enum credential_kind)credential->kind,
        .chain_len = credential->chain_len,
        .key = image_span(&credential->key),
        .not_before = credential->not_before,
        .not_after = credential->not_after,
        .fault = (enum credential_fault)credential->fault,
        .algorithm = image_text(&credential->algorithm),
        .file = image_text(&credential->file),
        .line = credential->line,
    };
    for (size_t i = 0; i < credential->chain_len; i++)
        fields.chain[i] = image_span(&credential->chain[i]);
    return fields;
}

enum credential_fault credential_judge(const struct credential *credential, int64_t now)
{
    if (credential->not_after < now)
        return CREDENTIAL_EXPIRED;
    return credential->not_before > now ? CREDENTIAL_NOT_YET
                                        : (enum credential_fault)credential->fault;
}
