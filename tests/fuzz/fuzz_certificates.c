/*
 * Any files in the folders of certificates. A line "@LETTER" of the input stands
 * for the PEM block of a piece of the material, from A on; "%file NAME" begins
 * another file. A host gets a chain in order, whose leaf names it, with the key
 * that belongs to it; and a second load, which opens only what it has to, finds
 * and says the same.
 */
#include <assert.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>

#include "base/text.h"
#include "body.h"
#include "certificates/store.h"
#include "chance.h"
#include "files.h"
#include "fuzz.h"
#include "material.h"

/* The material is valid then. */
static const int64_t NOW = 1700000000;

static const char *const hosts[] = {"mta-sts.example.com", "mta-sts.example.net"};
enum { HOSTS = sizeof(hosts) / sizeof(hosts[0]) };

/* One load and what came of it. */
struct load {
    struct diag *diag;
    struct site *site;
    uint64_t fingerprint;
    const struct credential *found[HOSTS][CREDENTIAL_KINDS];
    struct text words;
};

/* The input with every line "@LETTER" replaced, as far as time allows. */
static void expand(struct span input, struct text *ret_files)
{
    enum { BLOCKS_MOST = 64 };
    int blocks = 0;
    while (input.len > 0) {
        const char *end = memchr(input.data, '\n', input.len);
        size_t len = end == NULL ? input.len : (size_t)(end - input.data) + 1;
        int which = len >= 2 && input.data[0] == '@' ? input.data[1] - 'A' : -1;
        if (which >= 0 && which < MATERIALS && (len == 2 || (len == 3 && end != NULL)) &&
            blocks++ < BLOCKS_MOST)
            material_print((enum material)which, ret_files);
        else
            text_append(ret_files, (struct span){input.data, len});
        input = span_skip(input, len);
    }
    assert(!ret_files->failed);
}

static void run(struct load *load, const struct site *previous)
{
    const struct position at = {"input", 1, 1};
    struct site_builder *builder = site_builder_new(-1);
    load->diag = diag_new();
    assert(load->diag != NULL && builder != NULL);
    struct certificates *store = certificates_new(load->diag, previous, NULL);
    assert(store != NULL);
    for (size_t i = 0; i < FILES_MOST && files_path(i) != NULL; i++)
        certificates_read(store, files_path(i), at);
    load->fingerprint = certificates_match(store, NOW);
    for (size_t i = 0; i < HOSTS; i++) {
        struct site_fields domain = {
            .name = span_of(hosts[i]), .state = SITE_REFUSED, .at = {.file = "input"}};
        certificates_find(store, domain.name, domain.credentials);
        site_builder_add(builder, &domain);
    }
    certificates_report_unused(store);
    certificates_archive(store, builder);
    load->site = site_builder_finish(builder);
    assert(load->site != NULL);
    certificates_free(store);
    for (size_t i = 0; i < HOSTS; i++)
        for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
            load->found[i][kind] =
                site_credential(site_find_domain(load->site, span_of(hosts[i])), kind);
    assert(diag_count(load->diag, DIAG_FATAL) == 0);
    diag_print(load->diag, DIAG_NOTE, &load->words);
    assert(!load->words.failed);
    body_check_words((struct span){load->words.data, load->words.len});
}

static void end(struct load *load)
{
    site_free(load->site);
    text_free(&load->words);
    diag_free(load->diag);
}

/* As a client would look at it, but for the dates and the root. */
static void check_chain(const struct credential *credential, const char *host)
{
    uint32_t flags = 0;
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
    struct span der = credential_fields(credential).key;
    mbedtls_x509_crt_init(&chain);
    mbedtls_pk_init(&key);
    for (size_t i = 0; i < credential_fields(credential).chain_len; i++) {
        struct span part = credential_fields(credential).chain[i];
        assert(mbedtls_x509_crt_parse_der_nocopy(&chain, (const unsigned char *)part.data,
                                                 part.len) == 0);
    }
    for (const mbedtls_x509_crt *child = &chain; child->next != NULL; child = child->next)
        assert(child->issuer_raw.len == child->next->subject_raw.len &&
               memcmp(child->issuer_raw.p, child->next->subject_raw.p, child->issuer_raw.len) == 0);
    assert(mbedtls_pk_parse_key(&key, (const unsigned char *)der.data, der.len, NULL, 0,
                                chance_random, NULL) == 0);
    assert(mbedtls_pk_check_pair(&chain.pk, &key, chance_random, NULL) == 0);
    /* The leaf is the root here, so that the name is what remains to be judged. */
    (void)mbedtls_x509_crt_verify(&chain, &chain, NULL, host, &flags, NULL, NULL);
    assert((flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) == 0);
    mbedtls_pk_free(&key);
    mbedtls_x509_crt_free(&chain);
}

static void check_same(const struct credential *one, const struct credential *other)
{
    assert((one == NULL) == (other == NULL));
    if (one == NULL)
        return;
    assert(credential_fields(one).chain_len == credential_fields(other).chain_len);
    for (size_t i = 0; i < credential_fields(one).chain_len; i++)
        assert(span_equal(credential_fields(one).chain[i], credential_fields(other).chain[i]));
    assert(span_equal(credential_fields(one).key, credential_fields(other).key));
    assert(strcmp(credential_fields(one).file, credential_fields(other).file) == 0);
    assert(credential_fields(one).line == credential_fields(other).line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {0};
    struct load first = {0}, second = {0};
    expand((struct span){(const char *)data, size}, &text);
    chance_begin();
    files_begin();
    files_add_all("/certs/a", "/certs", (struct span){text.data, text.len});
    run(&first, NULL);
    run(&second, first.site);
    for (size_t i = 0; i < HOSTS; i++)
        for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
            check_same(first.found[i][kind], second.found[i][kind]);
            if (first.found[i][kind] != NULL)
                check_chain(first.found[i][kind], hosts[i]);
        }
    assert(span_equal((struct span){first.words.data, first.words.len},
                      (struct span){second.words.data, second.words.len}));
    assert(first.fingerprint == second.fingerprint);
    files_end();
    end(&first);
    end(&second);
    chance_end();
    text_free(&text);
    return 0;
}
