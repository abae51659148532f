#include "base/array.h"
#include "base/calendar.h"
#include "certificates/store_inside.h"

/* How well an authority fits as the issuer of a certificate: each outweighs those before it. */
enum { FIT_ROOT = 1, FIT_BESIDE = 2 /* in the file of the leaf */, FIT_VALID = 4 };

TABLE_KEY(place_of, struct listed, SPAN_OF(item->place));

/* Of the authorities with the subject in the folder, or with 0 anywhere. */
static uint64_t place_in(uint64_t folder, struct span subject)
{
    return folder * UINT64_C(0x9e3779b97f4a7c15) ^ table_hash(subject);
}

/* The first of them in the list, or CERTIFICATE_NONE. */
static uint32_t find_listed(const struct certificates *store, uint64_t folder, struct span subject)
{
    uint64_t place = place_in(folder, subject);
    return (uint32_t)table_find(&store->by_place, SPAN_OF(place), place_of, store->listed);
}

static void list_authority(struct certificates *store, uint64_t folder, uint32_t index)
{
    const struct certificate *facts = store->certificates[index].facts;
    struct listed item = {place_in(folder, facts->subject), index, CERTIFICATE_NONE};
    uint32_t first = find_listed(store, folder, facts->subject);
    /* A chain often is in two files of a folder. */
    if (!certificate_is_issuer(facts) ||
        (first != CERTIFICATE_NONE && store->listed[first].index == index))
        return;
    if (first == CERTIFICATE_NONE) {
        table_add(&store->by_place, SPAN_OF(item.place), store->listed_count);
    } else {
        item.next = store->listed[first].next;
        store->listed[first].next = (uint32_t)store->listed_count;
    }
    *ARRAY_ADD(store->listed, store->listed_count) = item;
}

static bool is_beside(const struct certificates *store, uint32_t source, uint32_t index)
{
    const struct source *stretch = &store->sources[source];
    const struct content *contents = &store->contents[stretch->first];
    for (uint32_t i = 0; i < stretch->count; i++)
        if (!contents[i].is_key && contents[i].index == index)
            return true;
    return false;
}

/* True when both tell a key identifier and the two are not equal. */
static bool key_ids_differ(const struct certificate *child, const struct certificate *parent)
{
    return child->issuer_key_id.data != NULL && parent->key_id.data != NULL &&
           !span_equal(child->issuer_key_id, parent->key_id);
}

/* Two authorities may have one name and different keys, after a renewal for example. Key
 * identifiers tell them apart; where they do not, only the signature does, which costs a
 * millisecond. */
static bool is_doubtful(const struct certificates *store, const struct certificate *child)
{
    struct span info = {0};
    uint32_t at = find_listed(store, 0, child->issuer);
    for (; at != CERTIFICATE_NONE; at = store->listed[at].next) {
        const struct certificate *parent = store->certificates[store->listed[at].index].facts;
        if (key_ids_differ(child, parent))
            continue;
        if (info.data != NULL && !span_equal(info, parent->info))
            return true;
        info = parent->info;
    }
    return false;
}

TABLE_KEY(proof_key, struct proof, SPAN_OF(item->pair));

static size_t find_proof(const struct certificates *store, uint64_t pair)
{
    return table_find(&store->by_proof, SPAN_OF(pair), proof_key, store->proofs);
}

static size_t add_proof(struct certificates *store, uint64_t pair, bool is_signed)
{
    table_add(&store->by_proof, SPAN_OF(pair), store->proof_count);
    *ARRAY_ADD(store->proofs, store->proof_count) = (struct proof){pair, is_signed, false};
    return store->proof_count - 1;
}

void certificate_begin_chains(struct certificates *store)
{
    for (size_t i = 0; i < store->certificate_count; i++)
        list_authority(store, 0, (uint32_t)i);
    for (size_t i = 0; i < store->source_count; i++)
        for (uint32_t k = 0; k < store->sources[i].count; k++) {
            const struct content *content = &store->contents[store->sources[i].first + k];
            if (!content->is_key)
                list_authority(store, store->sources[i].folder, content->index);
        }
    const struct proof *proofs = store->previous.proofs;
    for (size_t i = 0; i < store->previous.proof_count; i++)
        if (find_proof(store, proofs[i].pair) == TABLE_NONE)
            (void)add_proof(store, proofs[i].pair, proofs[i].is_signed != 0); /* its place */
}

/* Whether the parent has signed the child: as it is known, or else verified, which is then known. */
static bool prove(struct certificates *store, const struct certificate *child,
                  const struct certificate *parent)
{
    uint64_t pair = table_hash(child->der) * 3 ^ table_hash(parent->der);
    size_t found = find_proof(store, pair);
    if (found == TABLE_NONE)
        found = add_proof(store, pair, certificate_is_signed_by(child, parent));
    store->proofs[found].is_used = true;
    return store->proofs[found].is_signed != 0;
}

/* The search for the issuer of a certificate. */
struct search {
    struct certificates *store;
    const struct certificate *child;
    uint32_t source; /* the file of the leaf */
    bool is_doubtful;
    unsigned checks; /* signatures that were verified, among those that are equally near */
    uint32_t best;
    int rank;          /* of the best: the sum of what fits */
    uint32_t believed; /* the nearest that could not be verified any more */
};

/* Takes the authority when it fits better than what was found. */
static void consider(struct search *search, uint32_t index, bool is_near)
{
    struct certificates *store = search->store;
    const struct certificate *parent = store->certificates[index].facts;
    int rank = (certificate_is_valid(parent, store->now) ? FIT_VALID : 0) +
               (is_beside(store, search->source, index) ? FIT_BESIDE : 0) +
               (parent->flags.is_self_issued ? FIT_ROOT : 0);
    bool is_better = search->best == CERTIFICATE_NONE || rank > search->rank ||
                     (rank == search->rank &&
                      parent->not_after > store->certificates[search->best].facts->not_after);
    if (!span_equal(search->child->issuer, parent->subject) || !certificate_is_issuer(parent) ||
        key_ids_differ(search->child, parent) || !is_better)
        return;
    if (search->is_doubtful && store->chain_checks >= LIMIT_CHAIN_CHECKS_A_LOAD) {
        if (is_near && search->believed == CERTIFICATE_NONE)
            search->believed = index;
        return;
    }
    if (search->is_doubtful) {
        if (search->checks >= LIMIT_CHAIN_CHECKS)
            return;
        search->checks++;
        store->chain_checks++;
        if (!prove(store, search->child, parent))
            return;
    }
    search->best = index;
    search->rank = rank;
}

static bool has_found(const struct search *search)
{
    return search->best != CERTIFICATE_NONE && search->rank >= FIT_VALID;
}

/* Those with the name in the folder, or with 0 anywhere. */
static void consider_listed(struct search *search, uint64_t folder)
{
    const struct certificates *store = search->store;
    uint32_t at = find_listed(store, folder, search->child->issuer);
    search->checks = 0;
    for (; at != CERTIFICATE_NONE; at = store->listed[at].next)
        consider(search, store->listed[at].index, folder != 0);
}

/* The authority that issued the child, or CERTIFICATE_NONE. Others may forge authorities with the name and key
 * identifier of its issuer, as many as they like, so that what lies beside it is tried first, and then what has
 * signed another one. */
static uint32_t find_issuer(struct certificates *store, uint32_t child_index, uint32_t source)
{
    const struct certificate *child = store->certificates[child_index].facts;
    const struct source *file = &store->sources[source];
    struct search search = {
        .store = store,
        .child = child,
        .source = source,
        .is_doubtful = is_doubtful(store, child),
        .best = CERTIFICATE_NONE,
        .believed = CERTIFICATE_NONE,
    };
    uint32_t first = find_listed(store, 0, child->issuer);
    if (first == CERTIFICATE_NONE)
        return CERTIFICATE_NONE;
    uint32_t *proven = &store->certificates[store->listed[first].index].proven;
    for (uint32_t i = 0; search.is_doubtful && i < file->count; i++) {
        const struct content *content = &store->contents[file->first + i];
        if (!content->is_key)
            consider(&search, content->index, true);
    }
    if (search.is_doubtful && !has_found(&search))
        consider_listed(&search, file->folder);
    search.checks = 0;
    if (search.is_doubtful && !has_found(&search) && *proven != CERTIFICATE_NONE)
        consider(&search, *proven, true);
    if (search.is_doubtful && has_found(&search))
        return search.best;
    consider_listed(&search, 0);
    if (search.is_doubtful && search.best != CERTIFICATE_NONE)
        *proven = search.best;
    return search.best != CERTIFICATE_NONE ? search.best : search.believed;
}

static bool is_in_chain(const struct stored_certificate *leaf, uint32_t index)
{
    for (size_t i = 0; i < leaf->chain_len; i++)
        if (leaf->chain[i] == index)
            return true;
    return false;
}

static bool check_size(struct certificates *store, const struct stored_certificate *leaf)
{
    size_t bytes = 0;
    for (size_t i = 0; i < leaf->chain_len; i++)
        bytes += store->certificates[leaf->chain[i]].facts->der.len;
    if (bytes <= LIMIT_CHAIN_BYTES)
        return true;
    diag_add(store->diag, DIAG_ERROR, leaf->at,
             "the certificate is left out: with its chain it has %zu bytes", bytes);
    diag_reason(store->diag, "at most %d fit into one record of TLS with the rest of the handshake",
                LIMIT_CHAIN_BYTES);
    diag_hint(store->diag, "have certificates with fewer names issued");
    return false;
}

/* Adds the link to the chain. False at its end. */
static bool add_link(struct certificates *store, struct stored_certificate *leaf, uint32_t index)
{
    const struct stored_certificate *link = &store->certificates[index];
    if (link->facts->not_after < store->now && leaf->chain_len > 1) {
        /* Senders go on from the one before it, or not at all. When nothing valid is above it, an old root has
         * signed a newer one, and senders who have the newer one need no link. An intermediate that has
         * expired is below a valid authority. */
        uint32_t above = find_issuer(store, index, leaf->source);
        leaf->expired_link = index;
        if (above != CERTIFICATE_NONE &&
            certificate_is_valid(store->certificates[above].facts, store->now))
            leaf->fault = CREDENTIAL_CHAIN_EXPIRED;
        return false;
    }
    if (!certificate_is_valid(link->facts, store->now))
        leaf->fault = CREDENTIAL_CHAIN_EXPIRED;
    leaf->chain[leaf->chain_len++] = index;
    return true;
}

bool certificate_build_chain(struct certificates *store, struct stored_certificate *leaf)
{
    uint32_t index = (uint32_t)(leaf - store->certificates);
    leaf->fault = leaf->facts->flags.must_staple ? CREDENTIAL_MUST_STAPLE : CREDENTIAL_SOUND;
    leaf->expired_link = CERTIFICATE_NONE;
    leaf->chain[0] = index;
    leaf->chain_len = 1;
    if (leaf->facts->flags.is_self_issued) {
        leaf->fault = CREDENTIAL_SELF_SIGNED;
        return check_size(store, leaf);
    }
    for (;;) {
        index = find_issuer(store, index, leaf->source);
        if (index == CERTIFICATE_NONE && leaf->chain_len == 1)
            leaf->fault = CREDENTIAL_INCOMPLETE;
        /* Clients have the root; sending it would only cost them time. */
        if (index == CERTIFICATE_NONE || store->certificates[index].facts->flags.is_self_issued ||
            is_in_chain(leaf, index))
            break;
        if (leaf->chain_len == LIMIT_CHAIN) {
            diag_add(store->diag, DIAG_ERROR, leaf->at,
                     "the certificate is left out: its chain is longer than %d certificates",
                     LIMIT_CHAIN);
            return false;
        }
        if (!add_link(store, leaf, index))
            break;
    }
    return check_size(store, leaf);
}

static void warn_of_link(struct certificates *store, const struct stored_certificate *leaf,
                         const struct stored_certificate *link)
{
    const struct certificate *facts = link->facts;
    bool expired = facts->not_after < store->now;
    if (facts->kind.kind == CREDENTIAL_RSA && !facts->kind.accepted) {
        diag_add(store->diag, DIAG_WARNING, leaf->at,
                 "the key of an intermediate certificate of its chain is %s", facts->kind.text);
        diag_related(store->diag, link->at, "the intermediate is here");
        diag_reason(store->diag, "senders refuse RSA below %d bits, or will soon", LIMIT_RSA_BITS);
        diag_hint(store->diag,
                  "get the current chain from the certificate authority that issued it");
    }
    if (certificate_is_valid(facts, store->now))
        return;
    diag_add(store->diag, DIAG_WARNING, leaf->at, "an intermediate certificate of its chain %s",
             expired ? "has expired" : "is not valid yet");
    diag_related(store->diag, link->at, "the intermediate is here");
    diag_reason(store->diag, "senders cannot verify the chain");
    diag_hint(store->diag, "get the current chain from the certificate authority that issued it");
}

/* Senders who have the link's name and key as a root verify the chain, which are those of today. */
static void warn_of_cross_sign(struct certificates *store, const struct stored_certificate *leaf)
{
    char issuer[CERTIFICATE_NAME_SIZE];
    const struct stored_certificate *link = &store->certificates[leaf->expired_link];
    certificate_issuer_text(store->certificates[leaf->chain[leaf->chain_len - 1]].facts, issuer);
    diag_add(store->diag, DIAG_WARNING, leaf->at,
             "the last certificate of its chain expired on %s and is not sent",
             calendar_day(link->facts->not_after).text);
    diag_related(store->diag, link->at, "it is here");
    diag_reason(store->diag,
                "senders verify the chain by their own root %s; old senders that do not have it "
                "cannot",
                issuer);
    diag_hint(store->diag, "get the current chain from the certificate authority that issued it");
}

void certificate_warn_of_chain(struct certificates *store, const struct stored_certificate *leaf)
{
    char issuer[CERTIFICATE_NAME_SIZE];
    if (leaf->facts->flags.must_staple) {
        diag_add(store->diag, DIAG_ERROR, leaf->at,
                 "the certificate demands a stapled OCSP response (must-staple)");
        diag_reason(store->diag,
                    "this server staples none, and senders that obey RFC 7633, such as "
                    "those with GnuTLS, refuse the certificate");
        diag_hint(store->diag, "have one issued without it (certbot: no --must-staple; dehydrated: "
                               "OCSP_MUST_STAPLE=\"no\")");
    }
    for (size_t i = 1; i < leaf->chain_len; i++)
        warn_of_link(store, leaf, &store->certificates[leaf->chain[i]]);
    if (leaf->expired_link != CERTIFICATE_NONE && leaf->fault == CREDENTIAL_CHAIN_EXPIRED)
        warn_of_link(store, leaf, &store->certificates[leaf->expired_link]);
    else if (leaf->expired_link != CERTIFICATE_NONE)
        warn_of_cross_sign(store, leaf);
    if (leaf->fault == CREDENTIAL_INCOMPLETE) {
        certificate_issuer_text(leaf->facts, issuer);
        diag_add(store->diag, DIAG_WARNING, leaf->at,
                 "the chain is incomplete: the issuer %s is in none of the files", issuer);
        diag_reason(store->diag, "senders do not fetch missing intermediate certificates");
        diag_hint(store->diag, "put the intermediate certificate into the same file or folder "
                               "(ACME clients call the whole chain fullchain)");
    } else if (leaf->fault == CREDENTIAL_SELF_SIGNED) {
        diag_add(store->diag, DIAG_WARNING, leaf->at, "the certificate is self-signed");
        diag_reason(store->diag, "every sender refuses it (RFC 8461 section 3.3)");
        diag_hint(store->diag, "have one issued by a public authority, by ACME for example");
    }
}
