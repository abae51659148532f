#include "certificates/store.h"

#include <assert.h>
#include <psa/crypto.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/heap.h"
#include "certificates/store_inside.h"

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
    void *const arrays[] = {store->certificates, store->keys,   store->sources,
                            store->contents,     store->names,  store->listed,
                            store->doubts,       store->proofs, store->previous.contents};
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

TABLE_KEY(info_of, struct stored_key, item->key->info);

uint32_t certificate_find_key(const struct certificates *store, struct span info)
{
    return (uint32_t)table_find(&store->by_info, info, info_of, store->keys);
}

/* How well senders accept a leaf with this fault. */
static const int ranks[] = {
    [CREDENTIAL_SELF_SIGNED] = 0,   [CREDENTIAL_INCOMPLETE] = 1,
    [CREDENTIAL_CHAIN_EXPIRED] = 2, [CREDENTIAL_MUST_STAPLE] = 3, /* most senders do not mind */
    [CREDENTIAL_SOUND] = 4,
};

static bool is_valid(const struct certificates *store, uint32_t leaf)
{
    return certificate_is_valid(store->certificates[leaf].facts, store->now);
}

/* Above 0 when senders accept the first leaf better than the second, 0 when equally well. */
static int compare_fault(const struct certificates *store, uint32_t one, uint32_t other)
{
    const int valid = sizeof(ranks) / sizeof(ranks[0]);
    return ranks[store->certificates[one].fault] + (is_valid(store, one) ? valid : 0) -
           ranks[store->certificates[other].fault] - (is_valid(store, other) ? valid : 0);
}

/* Was the first leaf issued after the second, which it has replaced then? */
static bool is_later(const struct certificates *store, uint32_t one, uint32_t other)
{
    const struct certificate *a = store->certificates[one].facts;
    const struct certificate *b = store->certificates[other].facts;
    if (a->not_before != b->not_before)
        return a->not_before > b->not_before;
    return a->not_after != b->not_after ? a->not_after > b->not_after : one < other;
}

static bool is_better(const struct certificates *store, uint32_t one, uint32_t other)
{
    if (one == CERTIFICATE_NONE || other == CERTIFICATE_NONE)
        return one != CERTIFICATE_NONE;
    int order = compare_fault(store, one, other);
    return order > 0 || (order == 0 && is_later(store, one, other));
}

/* Whoever may write one folder is one. Certificates of one folder have replaced each other; of two
 * folders one may be somebody's who has issued himself a certificate for another's host. */
static bool is_contest(const struct certificates *store, uint32_t one, uint32_t other)
{
    const struct stored_certificate *a = &store->certificates[one];
    const struct stored_certificate *b = &store->certificates[other];
    return store->sources[a->source].folder != store->sources[b->source].folder &&
           is_valid(store, one) && compare_fault(store, one, other) == 0;
}

/* Somebody's own authority has most often a name that no other has. */
static bool ends_at_known_name(const struct certificates *store,
                               const struct stored_certificate *leaf)
{
    for (size_t i = 0; i < leaf->chain_len; i++)
        if (trust_has_subject(store->trust, store->certificates[leaf->chain[i]].facts->issuer))
            return true;
    return false;
}

/* Whether the system's authorities verify the leaf. */
static bool is_trusted(struct certificates *store, uint32_t index)
{
    struct stored_certificate *leaf = &store->certificates[index];
    struct span chain[LIMIT_CHAIN];
    struct trust_verdict verdict = {0};
    if (!store->is_trust_asked) {
        struct diag *unheard = diag_new(); /* a system may have none */
        store->trust = trust_new(NULL, unheard);
        store->is_trust_asked = true;
        diag_free(unheard);
    }
    if (leaf->is_judged || store->trust == NULL)
        return leaf->is_trusted;
    if (ends_at_known_name(store, leaf)) {
        if (store->trust_checks >= LIMIT_TRUST_CHECKS)
            return false;
        if (!certificate_crypto_begin(store))
            return false;
        store->trust_checks++;
        for (size_t i = 0; i < leaf->chain_len; i++)
            chain[i] = store->certificates[leaf->chain[i]].facts->der;
        leaf->is_trusted =
            trust_judge(store->trust, chain, leaf->chain_len, store->now, &verdict) &&
            verdict.is_trusted && !verdict.is_expired;
    }
    leaf->is_judged = true;
    return leaf->is_trusted;
}

/* The better one of two that need not have the same name. */
static uint32_t choose(struct certificates *store, uint32_t one, uint32_t other)
{
    uint32_t best = is_better(store, one, other) ? one : other;
    uint32_t last = best == one ? other : one;
    if (last == CERTIFICATE_NONE || best == last || !is_contest(store, best, last))
        return best;
    return !is_trusted(store, best) && is_trusted(store, last) ? last : best;
}

TABLE_KEY(text_of, struct stored_name, item->text);

static uint32_t find_name(const struct certificates *store, struct span name)
{
    return (uint32_t)table_find(&store->by_name, name, text_of, store->names);
}

static uint32_t add_name(struct certificates *store, struct span name)
{
    uint32_t index = find_name(store, name);
    if (index != CERTIFICATE_NONE)
        return index;
    table_add(&store->by_name, name, store->name_count);
    *ARRAY_ADD(store->names, store->name_count) = (struct stored_name){
        .text = name,
        .first = {CERTIFICATE_NONE, CERTIFICATE_NONE},
        .best = {CERTIFICATE_NONE, CERTIFICATE_NONE},
        .used = {CERTIFICATE_NONE, CERTIFICATE_NONE},
    };
    return (uint32_t)store->name_count - 1;
}

/* Lists the leaf under its names. */
static void add_names(struct certificates *store, uint32_t index)
{
    const struct certificate *facts = store->certificates[index].facts;
    for (size_t i = 0; i < facts->name_count; i++) {
        uint32_t name = add_name(store, facts->names[i]); /* the names may move */
        uint32_t *first = &store->names[name].first[facts->kind.kind];
        *ARRAY_ADD(store->listed, store->listed_count) =
            (struct listed){.index = index, .next = *first};
        *first = (uint32_t)store->listed_count - 1;
    }
}

/* Of several the one that the system's authorities verify, then the one that was issued last. */
static uint32_t best_of(struct certificates *store, uint32_t first)
{
    const struct listed *listed = store->listed;
    uint32_t top = CERTIFICATE_NONE, trusted = CERTIFICATE_NONE;
    bool is_contested = false;
    for (uint32_t i = first; i != CERTIFICATE_NONE; i = listed[i].next)
        if (is_better(store, listed[i].index, top))
            top = listed[i].index;
    for (uint32_t i = first; i != CERTIFICATE_NONE && !is_contested; i = listed[i].next)
        is_contested = is_contest(store, top, listed[i].index);
    if (!is_contested || is_trusted(store, top))
        return top;
    for (uint32_t i = first; i != CERTIFICATE_NONE; i = listed[i].next) {
        uint32_t leaf = listed[i].index;
        if (compare_fault(store, leaf, top) == 0 && is_better(store, leaf, trusted) &&
            is_trusted(store, leaf))
            trusted = leaf;
    }
    return trusted != CERTIFICATE_NONE ? trusted : top;
}

/* The names that cover the host, as far as a certificate has them: itself, and a star for exactly its first label
 * (RFC 6125 section 6.4.3). Returns how many. */
static size_t names_of(const struct certificates *store, struct span host, uint32_t ret_names[2])
{
    char star[LIMIT_NAME + 2] = "*.";
    struct span label, rest = host;
    bool has_star = span_take(&rest, '.', &label) && label.len > 0 && host.len <= LIMIT_NAME;
    if (has_star)
        memcpy(star + 2, rest.data, rest.len);
    const struct span names[2] = {host, {star, has_star ? 2 + rest.len : 0}};
    size_t found = 0;
    for (size_t i = 0; i < 2; i++) {
        ret_names[found] = find_name(store, names[i]);
        found += ret_names[found] != CERTIFICATE_NONE ? 1 : 0;
    }
    return found;
}

static struct credential_fields *make_credential(const struct certificates *store,
                                                 const struct stored_certificate *leaf)
{
    struct credential_fields *credential = arena_take(store->arena, sizeof(*credential));
    *credential = (struct credential_fields){
        .kind = leaf->facts->kind.kind,
        .chain_len = leaf->chain_len,
        .key = store->keys[leaf->key].key->der,
        .not_before = leaf->facts->not_before,
        .not_after = leaf->facts->not_after,
        .fault = leaf->fault,
        .algorithm = leaf->facts->kind.text,
        .file = leaf->at.file,
        .line = leaf->at.line,
    };
    for (size_t i = 0; i < leaf->chain_len; i++)
        credential->chain[i] = store->certificates[leaf->chain[i]].facts->der;
    return credential;
}

void certificates_find(struct certificates *store, struct span host,
                       const struct credential_fields *ret_credentials[static CREDENTIAL_KINDS])
{
    uint32_t names[2], leaves[CREDENTIAL_KINDS] = {CERTIFICATE_NONE, CERTIFICATE_NONE};
    size_t count = names_of(store, host, names);
    bool is_without = true;
    for (size_t i = 0; i < count; i++) {
        struct stored_name *name = &store->names[names[i]];
        for (unsigned kind = 0; kind < CREDENTIAL_KINDS; kind++) {
            if (!name->is_asked)
                name->best[kind] = best_of(store, name->first[kind]);
            leaves[kind] = choose(store, name->best[kind], leaves[kind]);
        }
        name->is_asked = true;
    }
    for (unsigned kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        ret_credentials[kind] = NULL;
        if (leaves[kind] == CERTIFICATE_NONE)
            continue;
        struct stored_certificate *leaf = &store->certificates[leaves[kind]];
        if (leaf->credential == NULL) {
            leaf->credential = make_credential(store, leaf);
            certificate_warn_of_chain(store, leaf);
        }
        store->keys[leaf->key].is_used = true;
        ret_credentials[kind] = leaf->credential;
        is_without = false;
    }
    store->is_host_without = store->is_host_without || is_without;
    for (size_t i = 0; i < count; i++) {
        struct stored_name *name = &store->names[names[i]];
        memcpy(name->used, leaves, sizeof(name->used));
        name->is_without = name->is_without || is_without;
    }
}

/* Why the one is used and not the other; static. */
static const char *why_better(const struct certificates *store, uint32_t used, uint32_t other)
{
    if (!is_valid(store, other) && is_valid(store, used))
        return "this one is used, because the other one is not valid now";
    if (compare_fault(store, used, other) != 0)
        return "this one is used, because senders accept it better";
    if (store->certificates[used].is_trusted && !store->certificates[other].is_trusted)
        return "this one is used, because the authorities that this system trusts verify it";
    return "this one is used, because it was issued later";
}

/* A note that no host uses the leaf, with the reason. */
static void report_unused(struct certificates *store, const struct stored_certificate *leaf)
{
    uint32_t index = (uint32_t)(leaf - store->certificates);
    const struct certificate *facts = leaf->facts;
    struct span shown = facts->names[0];
    uint32_t used = CERTIFICATE_NONE;
    for (size_t i = 0; i < facts->name_count && used == CERTIFICATE_NONE; i++) {
        uint32_t name = find_name(store, facts->names[i]);
        if (!store->names[name].is_asked)
            continue;
        shown = facts->names[i];
        used = store->names[name].used[facts->kind.kind];
    }
    diag_add(store->diag, DIAG_NOTE, leaf->at, "no host uses this certificate: %s",
             used != CERTIFICATE_NONE
                 ? "for the host that it names there is a better one"
                 : "none of its names is the policy host of a configured domain");
    diag_reason(store->diag, "it is for %.*s%s", (int)shown.len, shown.data,
                facts->name_count > 1 ? " and others" : "");
    if (used != CERTIFICATE_NONE)
        diag_related(store->diag, store->certificates[used].at, "%s",
                     why_better(store, used, index));
}

void certificate_doubt(struct certificates *store, struct doubt doubt)
{
    doubt.mark = diag_mark(store->diag);
    for (size_t i = 0; i < doubt.count; i++)
        (void)add_name(store, doubt.names[i]); /* hosts that it covers are noted there */
    *ARRAY_ADD(store->doubts, store->doubt_count) = doubt;
}

/* Does a configured host need what it is said of? One that has a certificate needs no more. */
static bool is_needed(const struct certificates *store, const struct doubt *doubt)
{
    const struct source *source = doubt->keys_of == 0 ? NULL : &store->sources[doubt->keys_of - 1];
    for (uint32_t i = 0; source != NULL && i < source->count; i++) {
        const struct content *content = &store->contents[source->first + i];
        if (content->is_key && store->keys[content->index].is_used)
            return true;
    }
    for (size_t i = 0; i < doubt->count; i++)
        if (store->names[find_name(store, doubt->names[i])].is_without)
            return true;
    return source == NULL && doubt->count == 0 && store->is_host_without;
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
            store->keys[stored->key].has_certificate = true;
    }
    for (size_t i = 0; i < store->key_count; i++)
        if (!store->keys[i].has_certificate)
            diag_add(store->diag, DIAG_NOTE, store->keys[i].at,
                     "no certificate in the files belongs to this private key");
}

uint64_t certificates_match(struct certificates *store, int64_t now)
{
    assert(!store->is_matched);
    store->is_matched = true;
    store->now = now;
    if (!certificate_crypto_begin(store))
        return store->files.tree.fingerprint;
    match_keys(store);
    certificate_begin_chains(store);
    for (size_t i = 0; i < store->certificate_count; i++) {
        struct stored_certificate *stored = &store->certificates[i];
        progress_make(store->files.progress, PROGRESS_GOES_ON);
        if (is_authority(stored->facts) || !judge_leaf(store, stored))
            continue;
        stored->is_leaf = certificate_build_chain(store, stored);
        if (stored->is_leaf)
            add_names(store, (uint32_t)i);
        else
            doubt_leaf(store, stored->facts);
    }
    mbedtls_psa_crypto_free();
    return store->files.tree.fingerprint;
}

size_t certificates_denied(const struct certificates *store, const char **ret_first)
{
    *ret_first = store->files.first_denied == NULL ? "a file" : store->files.first_denied;
    return store->files.denied;
}

size_t certificates_locate(const struct certificates *store, struct span der,
                           const char *ret_files[static LIMIT_CHAIN + 1], bool *ret_has_key)
{
    uint32_t index = certificate_find_der(store, der);
    size_t count = 0;
    *ret_has_key = false;
    if (index == CERTIFICATE_NONE)
        return 0;
    const struct stored_certificate *leaf = &store->certificates[index];
    *ret_has_key = leaf->key != CERTIFICATE_NONE;
    ret_files[count++] = leaf->at.file;
    if (*ret_has_key)
        ret_files[count++] = store->keys[leaf->key].at.file;
    for (size_t i = 1; i < leaf->chain_len; i++)
        ret_files[count++] = store->certificates[leaf->chain[i]].at.file;
    return count;
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

void certificates_report_unused(struct certificates *store)
{
    for (size_t i = 0; i < store->doubt_count; i++)
        if (!is_needed(store, &store->doubts[i]))
            diag_set_level(store->diag, store->doubts[i].mark, store->doubts[i].otherwise);
    if (store->unread_count > LIMIT_CERTIFICATE_UNREAD)
        diag_add(store->diag, store->is_host_without ? DIAG_WARNING : DIAG_NOTE, store->files.at,
                 "%zu more files have no certificate and no key that can be read",
                 store->unread_count - LIMIT_CERTIFICATE_UNREAD);
    if (store->trust_checks >= LIMIT_TRUST_CHECKS) {
        diag_add(store->diag, DIAG_WARNING, store->files.at,
                 "too many hosts have several certificates in different folders");
        diag_reason(store->diag,
                    "only %d were verified by the authorities that this system trusts; of the "
                    "others the one that was issued last is used",
                    LIMIT_TRUST_CHECKS);
        diag_hint(store->diag, "remove what is not used; the notes of \"check\" name it");
    }
    for (size_t i = 0; i < store->certificate_count; i++)
        if (store->certificates[i].is_leaf && store->certificates[i].credential == NULL)
            report_unused(store, &store->certificates[i]);
}
