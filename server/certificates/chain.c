#include "base/array.h"
#include "base/calendar.h"
#include "certificates/store_inside.h"

/* How well an authority fits as the issuer of a certificate. In falling order of weight. */
struct fit {
    bool is_valid;
    bool is_beside; /* in the file of the leaf */
    bool is_root;
    int64_t not_after;
};

TABLE_KEY(subject_of, struct stored_certificate, item->facts->subject);

static uint32_t find_subject(const struct certificates *store, struct span subject)
{
    return (uint32_t)table_find(&store->by_subject, subject, subject_of, store->certificates);
}

void certificate_add_authority(struct certificates *store, uint32_t index)
{
    struct stored_certificate *authority = &store->certificates[index];
    uint32_t first = find_subject(store, authority->facts->subject);
    if (first == CERTIFICATE_NONE) {
        table_add(&store->by_subject, authority->facts->subject, index);
        return;
    }
    authority->next_subject = store->certificates[first].next_subject;
    store->certificates[first].next_subject = index;
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

static bool is_better(struct fit one, struct fit other)
{
    if (one.is_valid != other.is_valid)
        return one.is_valid;
    if (one.is_beside != other.is_beside)
        return one.is_beside;
    if (one.is_root != other.is_root)
        return one.is_root;
    return one.not_after > other.not_after;
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
    uint32_t index = find_subject(store, child->issuer);
    for (; index != CERTIFICATE_NONE; index = store->certificates[index].next_subject) {
        const struct certificate *parent = store->certificates[index].facts;
        if (key_ids_differ(child, parent))
            continue;
        if (info.data != NULL && !span_equal(info, parent->info))
            return true;
        info = parent->info;
    }
    return false;
}

TABLE_KEY(place_of, struct placed, SPAN_OF(item->place));

static uint64_t place_in(uint64_t folder, struct span subject)
{
    return folder * UINT64_C(0x9e3779b97f4a7c15) ^ span_hash(subject);
}

static uint32_t find_placed(const struct certificates *store, uint64_t place)
{
    struct span key = SPAN_OF(place);
    return (uint32_t)table_find(&store->by_place, key, place_of, store->placed);
}

static void add_placed(struct certificates *store, uint64_t folder, uint32_t index)
{
    uint64_t place = place_in(folder, store->certificates[index].facts->subject);
    struct span key = SPAN_OF(place);
    uint32_t first = find_placed(store, place);
    /* A chain often is in two files of a folder. */
    if (first != CERTIFICATE_NONE && store->placed[first].index == index)
        return;
    array_room(&store->placed, store->placed_count, &store->placed_capacity,
               sizeof(*store->placed));
    if (first == CERTIFICATE_NONE)
        table_add(&store->by_place, key, store->placed_count);
    store->placed[store->placed_count] = (struct placed){
        .place = place,
        .index = index,
        .next = first == CERTIFICATE_NONE ? CERTIFICATE_NONE : store->placed[first].next,
    };
    if (first != CERTIFICATE_NONE)
        store->placed[first].next = (uint32_t)store->placed_count;
    store->placed_count++;
}

/* Which authorities are in which folder: only asked when names do not tell them apart. */
static void place_authorities(struct certificates *store)
{
    for (size_t i = 0; store->placed_count == 0 && i < store->source_count; i++) {
        const struct source *source = &store->sources[i];
        for (uint32_t k = 0; k < source->count; k++) {
            const struct content *content = &store->contents[source->first + k];
            if (!content->is_key &&
                certificate_is_issuer(store->certificates[content->index].facts))
                add_placed(store, source->folder, content->index);
        }
    }
}

TABLE_KEY(proof_key, struct proof, SPAN_OF(item->pair));

static size_t find_proof(const struct certificates *store, uint64_t pair)
{
    return table_find(&store->by_proof, SPAN_OF(pair), proof_key, store->proofs);
}

static size_t add_proof(struct certificates *store, uint64_t pair, bool is_signed)
{
    table_add(&store->by_proof, SPAN_OF(pair), store->proof_count);
    *ARRAY_ADD(store->proofs, store->proof_count, store->proof_capacity) =
        (struct proof){pair, is_signed, false};
    return store->proof_count - 1;
}

void certificate_reuse_proofs(struct certificates *store)
{
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
    struct fit fit;
    uint32_t believed; /* the nearest that could not be verified any more */
};

/* Takes the authority when it fits better than what was found. */
static void consider(struct search *search, uint32_t index, bool is_near)
{
    struct certificates *store = search->store;
    const struct certificate *parent = store->certificates[index].facts;
    struct fit fit = {certificate_is_valid(parent, store->now),
                      is_beside(store, search->source, index), parent->flags.is_self_issued,
                      parent->not_after};
    if (!span_equal(search->child->issuer, parent->subject) || !certificate_is_issuer(parent) ||
        key_ids_differ(search->child, parent) ||
        (search->best != CERTIFICATE_NONE && !is_better(fit, search->fit)))
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
    search->fit = fit;
}

static bool has_found(const struct search *search)
{
    return search->best != CERTIFICATE_NONE && search->fit.is_valid;
}

/* Others may forge authorities with the name and key identifier of this one's issuer, as many as they
 * like, so that what lies beside it is tried first. */
static void search_near(struct search *search)
{
    struct certificates *store = search->store;
    const struct source *source = &store->sources[search->source];
    for (uint32_t i = 0; i < source->count; i++) {
        const struct content *content = &store->contents[source->first + i];
        if (!content->is_key)
            consider(search, content->index, true);
    }
    if (has_found(search))
        return;
    place_authorities(store);
    search->checks = 0;
    uint32_t at = find_placed(store, place_in(source->folder, search->child->issuer));
    for (; at != CERTIFICATE_NONE; at = store->placed[at].next)
        consider(search, store->placed[at].index, true);
}

/* The authority that issued the child, or CERTIFICATE_NONE. */
static uint32_t find_issuer(struct certificates *store, uint32_t child_index, uint32_t source)
{
    const struct certificate *child = store->certificates[child_index].facts;
    struct search search = {
        .store = store,
        .child = child,
        .source = source,
        .is_doubtful = is_doubtful(store, child),
        .best = CERTIFICATE_NONE,
        .believed = CERTIFICATE_NONE,
    };
    uint32_t first = find_subject(store, child->issuer);
    if (first == CERTIFICATE_NONE)
        return CERTIFICATE_NONE;
    if (search.is_doubtful) {
        search_near(&search);
        search.checks = 0;
        if (!has_found(&search) && store->certificates[first].proven != CERTIFICATE_NONE)
            consider(&search, store->certificates[first].proven, true);
    }
    if (search.is_doubtful && has_found(&search))
        return search.best;
    for (uint32_t i = first; i != CERTIFICATE_NONE; i = store->certificates[i].next_subject)
        consider(&search, i, false);
    if (search.is_doubtful && search.best != CERTIFICATE_NONE)
        store->certificates[first].proven = search.best;
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

/* Whether an authority that has expired is the last link of the chain that the file has of a
 * root: an old root has signed a newer one, and senders who have the newer one need no link. Then
 * nothing valid is above it. An intermediate that has expired is below a valid authority. */
static bool is_old_cross_sign(struct certificates *store, uint32_t link, uint32_t source)
{
    uint32_t above = find_issuer(store, link, source);
    return above == CERTIFICATE_NONE ||
           !certificate_is_valid(store->certificates[above].facts, store->now);
}

/* Adds the link to the chain. False at its end. */
static bool add_link(struct certificates *store, struct stored_certificate *leaf, uint32_t index)
{
    const struct stored_certificate *link = &store->certificates[index];
    if (link->facts->not_after < store->now && leaf->chain_len > 1) {
        /* Senders go on from the one before it, or not at all. */
        leaf->expired_link = index;
        if (!is_old_cross_sign(store, index, leaf->source))
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
    char day[CALENDAR_DAY_SIZE], issuer[CERTIFICATE_NAME_SIZE];
    const struct stored_certificate *link = &store->certificates[leaf->expired_link];
    calendar_day(link->facts->not_after, day);
    certificate_issuer_text(store->certificates[leaf->chain[leaf->chain_len - 1]].facts, issuer);
    diag_add(store->diag, DIAG_WARNING, leaf->at,
             "the last certificate of its chain expired on %s and is not sent", day);
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
