#include "certificates/store.h"

#include <assert.h>
#include <psa/crypto.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/heap.h"
#include "certificates/store_inside.h"

static void doubt_file(void *context, enum diag_level otherwise)
{
    certificate_doubt(context, (struct doubt){.otherwise = otherwise});
}

struct certificates *certificates_new(struct diag *diag, const struct site *previous,
                                      const struct progress_callback *progress)
{
    struct certificates *store = heap_take(1, sizeof(*store));
    store->diag = diag;
    store->files = (struct certificate_files){
        .diag = diag,
        .progress = progress,
        .skip = certificate_reuse_file,
        .visit = certificate_read_file,
        .doubt = doubt_file,
        .context = store,
    };
    (void)clock_gettime(CLOCK_REALTIME, &store->begun); /* it cannot fail */
    store->arena = arena_new();
    certificate_archive_open(previous, &store->previous);
    certificate_reuse_proofs(store);
    return store;
}

bool certificate_crypto_begin(struct certificates *store)
{
    psa_status_t status = psa_crypto_init(); /* needs nothing but memory and random bytes */
    if (status == PSA_ERROR_INSUFFICIENT_MEMORY)
        heap_end();
    if (status != PSA_SUCCESS)
        diag_add(store->diag, DIAG_FATAL, (struct position){0},
                 "certificates cannot be read: the kernel gives no random bytes");
    return status == PSA_SUCCESS;
}

void certificates_free(struct certificates *store)
{
    if (store == NULL)
        return;
    mbedtls_psa_crypto_free();
    for (size_t i = 0; i < store->certificate_count; i++)
        certificate_free(store->certificates[i].facts);
    for (size_t i = 0; i < store->key_count; i++)
        private_key_free(store->keys[i].key);
    struct table *const tables[] = {&store->by_name,  &store->by_place,
                                    &store->by_info,  &store->by_der,
                                    &store->by_proof, &store->previous.by_signature};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        table_free(tables[i]);
    void *const arrays[] = {store->certificates, store->keys,   store->sources, store->contents,
                            store->names,        store->listed, store->doubts,  store->proofs};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        free(arrays[i]);
    trust_free(store->trust);
    arena_free(store->arena);
    certificate_files_free(&store->files);
    text_free(&store->archived);
    free(store);
}

TABLE_KEY(der_of, struct stored_certificate, item->facts->der);

/* TABLE_NONE is all ones and so becomes CERTIFICATE_NONE. */
uint32_t certificate_find_der(const struct certificates *store, struct span der)
{
    return (uint32_t)table_find(&store->by_der, der, der_of, store->certificates);
}

TABLE_KEY(info_of, struct stored_key, item->info);

uint32_t certificate_find_key(const struct certificates *store, struct span info)
{
    return (uint32_t)table_find(&store->by_info, info, info_of, store->keys);
}

uint32_t certificate_add(struct certificates *store, struct certificate *facts)
{
    table_add(&store->by_der, facts->der, store->certificate_count);
    *ARRAY_ADD(store->certificates, store->certificate_count, store->certificate_capacity) =
        (struct stored_certificate){
            .facts = facts,
            .source = CERTIFICATE_NONE,
            .key = CERTIFICATE_NONE,
            .proven = CERTIFICATE_NONE,
        };
    return (uint32_t)store->certificate_count - 1;
}

void certificates_read(struct certificates *store, const char *path, struct position at)
{
    if (certificate_crypto_begin(store))
        certificate_files_walk(&store->files, path, at);
}

static void leave_out(struct certificates *store, const struct stored_certificate *stored,
                      const char *why)
{
    diag_add(store->diag, DIAG_ERROR, stored->at, "the certificate is left out: %s", why);
}

/* In a folder a certificate may be one for another purpose. */
static void doubt_leaf(struct certificates *store, const struct certificate *facts)
{
    certificate_doubt(
        store,
        (struct doubt){.names = facts->names, .count = facts->name_count, .otherwise = DIAG_NOTE});
}

/* False with the reason reported when the certificate cannot be served. */
static bool judge_leaf(struct certificates *store, const struct stored_certificate *stored)
{
    const struct certificate *facts = stored->facts;
    struct diag *diag = store->diag;
    if (facts->weak_signature != NULL) {
        diag_add(diag, DIAG_ERROR, stored->at,
                 "the certificate is left out: its signature is made with %s",
                 facts->weak_signature);
        diag_reason(diag, "senders refuse it, because such a signature can be forged");
        diag_hint(diag, "have a new certificate issued by a public authority");
    } else if (!public_key_is_served(&facts->kind)) {
        diag_add(diag, DIAG_ERROR, stored->at, "the certificate is left out: its key is %s",
                 facts->kind.text);
        public_key_explain(&facts->kind, diag);
    } else if (!facts->flags.may_serve) {
        leave_out(store, stored, "its extended key usage does not allow TLS servers");
    } else if (!facts->flags.may_sign) {
        leave_out(store, stored, "its key usage does not allow digital signatures");
        diag_reason(diag, "TLS 1.3 and forward secrecy need them");
    } else if (facts->name_count == 0) {
        diag_add(diag, DIAG_WARNING, stored->at, "the certificate is left out: %s",
                 facts->flags.has_dns_names
                     ? "none of the names in its subject alternative name is valid"
                     : "it has no DNS name in its subject alternative name");
        diag_reason(diag, "senders ignore the common name (RFC 6125 section 6.4.4)");
        diag_hint(diag, "have one issued with the subject alternative name mta-sts.DOMAIN");
    } else if (stored->key == CERTIFICATE_NONE) {
        leave_out(store, stored, "its private key is in none of the files");
        diag_hint(diag, "put the key that the certificate was requested with into the same file or "
                        "folder");
    } else {
        return true;
    }
    if (facts->name_count > 0 || !store->sources[stored->source].is_named)
        doubt_leaf(store, facts);
    return false;
}

/* A self-signed certificate with names is a leaf whatever it says of itself: openssl's default
 * marks what it makes as an authority. */
static bool is_authority(const struct certificate *facts)
{
    return facts->flags.is_authority && !(facts->flags.is_self_issued && facts->name_count > 0);
}

static void match_keys(struct certificates *store)
{
    for (size_t i = 0; i < store->certificate_count; i++) {
        struct stored_certificate *stored = &store->certificates[i];
        stored->key = certificate_find_key(store, stored->facts->info);
        if (stored->key != CERTIFICATE_NONE)
            store->keys[stored->key].certificate = (uint32_t)i;
    }
    for (size_t i = 0; i < store->key_count; i++)
        if (store->keys[i].certificate == CERTIFICATE_NONE)
            diag_add(store->diag, DIAG_NOTE, store->keys[i].at,
                     "no certificate in the files belongs to this private key");
}

void certificates_match(struct certificates *store, int64_t now)
{
    assert(!store->is_matched);
    store->is_matched = true;
    store->now = now;
    if (!certificate_crypto_begin(store))
        return;
    match_keys(store);
    certificate_list_authorities(store);
    for (size_t i = 0; i < store->certificate_count; i++) {
        struct stored_certificate *stored = &store->certificates[i];
        progress_make(store->files.progress, PROGRESS_GOES_ON);
        if (is_authority(stored->facts) || !judge_leaf(store, stored))
            continue;
        stored->is_leaf = certificate_build_chain(store, stored);
        if (stored->is_leaf)
            certificate_add_names(store, (uint32_t)i);
        else
            doubt_leaf(store, stored->facts);
    }
    mbedtls_psa_crypto_free();
}

uint64_t certificates_fingerprint(const struct certificates *store)
{
    return store->files.tree.fingerprint;
}

size_t certificates_denied(const struct certificates *store, const char **ret_first)
{
    *ret_first = store->files.first_denied == NULL ? "a file" : store->files.first_denied;
    return store->files.denied;
}

bool certificates_locate(const struct certificates *store, struct span der,
                         struct certificates_place *ret_place)
{
    uint32_t index = certificate_find_der(store, der);
    if (index == CERTIFICATE_NONE)
        return false;
    const struct stored_certificate *leaf = &store->certificates[index];
    *ret_place = (struct certificates_place){.has_key = leaf->key != CERTIFICATE_NONE};
    ret_place->files[ret_place->count++] = leaf->at.file;
    if (ret_place->has_key)
        ret_place->files[ret_place->count++] = store->keys[leaf->key].at.file;
    for (size_t i = 1; i < leaf->chain_len; i++)
        ret_place->files[ret_place->count++] = store->certificates[leaf->chain[i]].at.file;
    return true;
}

void certificates_names(const struct certificates *store,
                        void (*take)(void *context, struct span name, struct position at),
                        void *context)
{
    for (size_t i = 0; i < store->certificate_count; i++) {
        const struct stored_certificate *leaf = &store->certificates[i];
        for (size_t j = 0; leaf->key != CERTIFICATE_NONE && j < leaf->facts->name_count; j++)
            take(context, leaf->facts->names[j], leaf->at);
    }
}
