#include "base/calendar.h"
#include "load/certificate_store.h"

/* How well an authority fits as the issuer of a certificate. In falling order of weight. */
struct fit {
    bool is_valid;
    bool is_beside; /* in the file of the leaf */
    bool is_root;
    int64_t not_after;
};

static struct span subject_of(const void *items, size_t index)
{
    const struct stored_certificate *certificates = items;
    return certificates[index].facts->subject;
}

uint32_t certificate_find_subject(const struct certificates *store, struct span subject)
{
    return (uint32_t)table_find(&store->by_subject, subject, subject_of, store->certificates);
}

void certificate_add_authority(struct certificates *store, uint32_t index)
{
    struct stored_certificate *authority = &store->certificates[index];
    uint32_t first = certificate_find_subject(store, authority->facts->subject);
    if (first == CERTIFICATE_NONE) {
        if (!table_add(&store->by_subject, authority->facts->subject, index))
            store->shortage = true;
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
    uint32_t index = certificate_find_subject(store, child->issuer);
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

static bool is_signed_by(struct certificates *store, const struct certificate *child,
                         const struct certificate *parent)
{
    bool is_known = false;
    bool is_signed = certificate_is_signed_by(child, parent, &is_known);
    store->shortage = store->shortage || !is_known;
    return is_signed;
}

/* The authority that issued the child, or CERTIFICATE_NONE. */
static uint32_t find_issuer(struct certificates *store, const struct certificate *child,
                            uint32_t source)
{
    uint32_t best = CERTIFICATE_NONE;
    struct fit best_fit = {0};
    unsigned checks = 0;
    bool doubtful = is_doubtful(store, child);
    uint32_t index = certificate_find_subject(store, child->issuer);
    for (; index != CERTIFICATE_NONE; index = store->certificates[index].next_subject) {
        const struct certificate *parent = store->certificates[index].facts;
        struct fit fit = {certificate_is_valid(parent, store->now), is_beside(store, source, index),
                          parent->is_self_issued, parent->not_after};
        if (key_ids_differ(child, parent) ||
            (best != CERTIFICATE_NONE && !is_better(fit, best_fit)))
            continue;
        if (doubtful && (checks++ >= LIMIT_CHAIN_CHECKS || !is_signed_by(store, child, parent)))
            continue;
        best = index;
        best_fit = fit;
    }
    return best;
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
        bytes += certificate_der_bytes(store->certificates[leaf->chain[i]].facts->der).len;
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
static bool is_old_cross_sign(struct certificates *store, const struct stored_certificate *link,
                              uint32_t source)
{
    uint32_t above = find_issuer(store, link->facts, source);
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
        if (!is_old_cross_sign(store, link, leaf->source))
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
    leaf->fault = leaf->facts->must_staple ? CREDENTIAL_MUST_STAPLE : CREDENTIAL_SOUND;
    leaf->expired_link = CERTIFICATE_NONE;
    leaf->chain[0] = index;
    leaf->chain_len = 1;
    if (leaf->facts->is_self_issued) {
        leaf->fault = CREDENTIAL_SELF_SIGNED;
        return check_size(store, leaf);
    }
    for (;;) {
        const struct certificate *last = store->certificates[index].facts;
        index = find_issuer(store, last, leaf->source);
        if (index == CERTIFICATE_NONE && leaf->chain_len == 1)
            leaf->fault = CREDENTIAL_INCOMPLETE;
        /* Clients have the root; sending it would only cost them time. */
        if (index == CERTIFICATE_NONE || store->certificates[index].facts->is_self_issued ||
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
                 "an intermediate certificate of its chain has the key %s", facts->kind.text);
        diag_related(store->diag, link->at, "the intermediate is here");
        diag_reason(store->diag, "senders refuse RSA below %d bits, or will soon", LIMIT_RSA_BITS);
        diag_hint(store->diag, "get the present chain from the authority that issued it");
    }
    if (certificate_is_valid(facts, store->now))
        return;
    diag_add(store->diag, DIAG_WARNING, leaf->at, "an intermediate certificate of its chain %s",
             expired ? "has expired" : "is not valid yet");
    diag_related(store->diag, link->at, "the intermediate is here");
    diag_reason(store->diag, "senders cannot verify the chain");
    diag_hint(store->diag, "get the present chain from the authority that issued it");
}

/* Senders who have the link's name and key as a root verify the chain, which are those of today. */
static void warn_of_cross_sign(struct certificates *store, const struct stored_certificate *leaf)
{
    char day[CALENDAR_DAY_SIZE], issuer[CERTIFICATE_NAME_SIZE];
    const struct stored_certificate *link = &store->certificates[leaf->expired_link];
    calendar_day(link->facts->not_after, day);
    certificate_issuer_text(store->certificates[leaf->chain[leaf->chain_len - 1]].facts, issuer);
    diag_add(store->diag, DIAG_WARNING, leaf->at,
             "the last certificate of its chain has expired on %s and is not sent", day);
    diag_related(store->diag, link->at, "it is here");
    diag_reason(store->diag,
                "senders verify the chain by their own root %s; old senders that do not have it "
                "cannot",
                issuer);
    diag_hint(store->diag, "get the present chain from the authority that issued it");
}

static void warn_of_links(struct certificates *store, const struct stored_certificate *leaf)
{
    for (size_t i = 1; i < leaf->chain_len; i++)
        warn_of_link(store, leaf, &store->certificates[leaf->chain[i]]);
    if (leaf->expired_link == CERTIFICATE_NONE)
        return;
    if (leaf->fault == CREDENTIAL_CHAIN_EXPIRED)
        warn_of_link(store, leaf, &store->certificates[leaf->expired_link]);
    else
        warn_of_cross_sign(store, leaf);
}

static void report_staple(struct certificates *store, const struct stored_certificate *leaf)
{
    diag_add(store->diag, DIAG_ERROR, leaf->at,
             "the certificate demands a stapled OCSP response (must-staple)");
    diag_reason(store->diag, "this server staples none, and senders that obey RFC 7633, such as "
                             "those with GnuTLS, refuse the certificate");
    diag_hint(store->diag, "have one issued without it (certbot: no --must-staple; dehydrated: "
                           "OCSP_MUST_STAPLE=\"no\")");
}

void certificate_warn_of_chain(struct certificates *store, const struct stored_certificate *leaf)
{
    char issuer[CERTIFICATE_NAME_SIZE];
    if (leaf->facts->must_staple)
        report_staple(store, leaf);
    warn_of_links(store, leaf);
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
