#include "base/array.h"
#include "load/certificate_store.h"

/* How well senders accept a leaf with this fault. */
static const unsigned ranks[] = {
    [CREDENTIAL_SELF_SIGNED] = 0,   [CREDENTIAL_INCOMPLETE] = 1,
    [CREDENTIAL_CHAIN_EXPIRED] = 2, [CREDENTIAL_MUST_STAPLE] = 3, /* most senders do not mind */
    [CREDENTIAL_SOUND] = 4,
};

/* Which leaf is better for a host: the one that senders accept, then the one that was issued last,
 * which has replaced the other. */
static bool is_better(const struct certificates *store, uint32_t one, uint32_t other)
{
    if (one == CERTIFICATE_NONE || other == CERTIFICATE_NONE)
        return one != CERTIFICATE_NONE;
    const struct stored_certificate *a = &store->certificates[one];
    const struct stored_certificate *b = &store->certificates[other];
    bool a_valid = certificate_is_valid(a->facts, store->now);
    bool b_valid = certificate_is_valid(b->facts, store->now);
    if (a_valid != b_valid)
        return a_valid;
    if (a->fault != b->fault)
        return ranks[a->fault] > ranks[b->fault];
    if (a->facts->not_before != b->facts->not_before)
        return a->facts->not_before > b->facts->not_before;
    return a->facts->not_after > b->facts->not_after;
}

static struct span text_of(const void *items, size_t index)
{
    const struct stored_name *names = items;
    return names[index].text;
}

static uint32_t find_name(const struct certificates *store, struct span name)
{
    return (uint32_t)table_find(&store->by_name, name, text_of, store->names);
}

static uint32_t add_name(struct certificates *store, struct span name)
{
    uint32_t index = find_name(store, name);
    if (index != CERTIFICATE_NONE)
        return index;
    struct stored_name *names =
        array_room(store->names, store->name_count, &store->name_capacity, sizeof(*names));
    if (names != NULL)
        store->names = names;
    if (names == NULL || !table_add(&store->by_name, name, store->name_count)) {
        store->shortage = true;
        return CERTIFICATE_NONE;
    }
    names[store->name_count] =
        (struct stored_name){.text = name, .best = {CERTIFICATE_NONE, CERTIFICATE_NONE}};
    return (uint32_t)store->name_count++;
}

void certificate_add_names(struct certificates *store, uint32_t index)
{
    const struct certificate *facts = store->certificates[index].facts;
    for (size_t i = 0; i < facts->name_count; i++) {
        uint32_t name = add_name(store, facts->names[i]);
        if (name == CERTIFICATE_NONE)
            continue;
        uint32_t *best = &store->names[name].best[facts->kind.kind];
        if (is_better(store, index, *best))
            *best = index;
    }
}

/* The pattern that covers the host: a star for exactly its first label (RFC 6125 section 6.4.3).
 * False when there is none. */
static bool wildcard_of(struct span host, char out[static LIMIT_NAME + 2], struct span *ret_pattern)
{
    const char *dot = host.len == 0 ? NULL : memchr(host.data, '.', host.len);
    if (dot == NULL || dot == host.data || host.len > LIMIT_NAME)
        return false;
    size_t rest = host.len - (size_t)(dot - host.data);
    out[0] = '*';
    memcpy(out + 1, dot, rest);
    *ret_pattern = (struct span){out, rest + 1};
    return true;
}

uint32_t certificate_find_host(struct certificates *store, struct span host,
                               enum credential_kind kind)
{
    char buffer[LIMIT_NAME + 2];
    struct span names[2] = {host};
    size_t count = wildcard_of(host, buffer, &names[1]) ? 2 : 1;
    uint32_t best = CERTIFICATE_NONE;
    for (size_t i = 0; i < count; i++) {
        uint32_t index = find_name(store, names[i]);
        if (index == CERTIFICATE_NONE)
            continue;
        struct stored_name *name = &store->names[index];
        name->is_asked = true;
        if (is_better(store, name->best[kind], best))
            best = name->best[kind];
    }
    return best;
}

bool certificate_is_asked(const struct certificates *store,
                          const struct stored_certificate *certificate)
{
    for (size_t i = 0; i < certificate->facts->name_count; i++) {
        uint32_t name = find_name(store, certificate->facts->names[i]);
        if (name != CERTIFICATE_NONE && store->names[name].is_asked)
            return true;
    }
    return false;
}
