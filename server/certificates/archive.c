/*
 * What one load leaves for the next one in the site (site_archive): of each file whose reading needs no
 * word its signature and what is in it, the facts of the certificates, the public keys of the private
 * ones that are used, and which signatures were verified. The next load takes what is unchanged from
 * there, without opening a file. Whatever the bytes are, nothing beyond them is read. No part of a key
 * is there which the site does not serve.
 */
#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/heap.h"
#include "certificates/store.h"
#include "certificates/store_inside.h"

enum { ARCHIVE_VERSION = 2 };

/* The archive begins with it, the arrays follow in this order, and then the names: of each a byte with its
 * length, and its text. */
struct archive_header {
    uint32_t version;
    uint32_t certificate_count;
    uint32_t source_count;
    uint32_t content_count; /* struct content: certificates and keys by their number */
    uint32_t key_count;
    uint32_t proof_count; /* struct proof */
};

/* Bytes of the image, or of the certificate, or of the names. at is UINT32_MAX when there are none. */
struct archived_span {
    uint32_t at;
    uint32_t len;
};

struct archived_certificate {
    int64_t not_before;
    int64_t not_after;
    struct archived_span der, info;                              /* of the image */
    struct archived_span subject, issuer, key_id, issuer_key_id; /* of the certificate */
    struct archived_span names;                                  /* of the names */
    uint32_t name_count;
    struct certificate_flags flags;
    char weak_signature[11];
};

/* A file. */
struct archived_source {
    uint64_t signature;
    uint32_t first; /* of its contents */
    uint32_t count;
    uint32_t certificate_count;
    uint32_t unused;
};

struct archived_key {
    struct archived_span der, info; /* of the image; none: nothing uses the key */
};

static_assert(sizeof(struct archive_header) % alignof(struct archived_certificate) == 0 &&
                  sizeof(struct archived_certificate) % alignof(struct archived_source) == 0,
              "each array begins where its items may");

static const struct archived_span NO_BYTES = {UINT32_MAX, 0};

/* The next array. False when it is not wholly there. */
static bool take_array(struct span *rest, size_t count, size_t size, const void *ret_items)
{
    if (count > rest->len / size)
        return false;
    memcpy((void *)(uintptr_t)ret_items, &rest->data, sizeof(rest->data));
    *rest = span_skip(*rest, count * size);
    return true;
}

TABLE_KEY(signature_of, struct archived_source, SPAN_OF(item->signature));

void certificate_archive_open(const struct site *site, struct certificate_archive *ret_archive)
{
    *ret_archive = (struct certificate_archive){0};
    if (site == NULL)
        return;
    struct certificate_archive archive = {.image = site_bytes(site), .names = site_archive(site)};
    const struct archive_header *header = (const void *)archive.names.data;
    struct span *rest = &archive.names;
    if (rest->len < sizeof(*header) || header->version != ARCHIVE_VERSION)
        return;
    archive.certificate_count = header->certificate_count;
    archive.content_count = header->content_count;
    archive.key_count = header->key_count;
    archive.proof_count = header->proof_count;
    *rest = span_skip(*rest, sizeof(*header));
    if (!take_array(rest, header->certificate_count, sizeof(*archive.certificates),
                    &archive.certificates) ||
        !take_array(rest, header->source_count, sizeof(*archive.sources), &archive.sources) ||
        !take_array(rest, header->content_count, sizeof(*archive.contents), &archive.contents) ||
        !take_array(rest, header->key_count, sizeof(*archive.keys), &archive.keys) ||
        !take_array(rest, header->proof_count, sizeof(*archive.proofs), &archive.proofs))
        return;
    for (size_t i = 0; i < header->source_count; i++) {
        struct span key = signature_of(archive.sources, i);
        /* A file may be named twice. */
        if (table_find(&archive.by_signature, key, signature_of, archive.sources) == TABLE_NONE)
            table_add(&archive.by_signature, key, i);
    }
    *ret_archive = archive;
}

static bool is_within(struct archived_span span, size_t size)
{
    return span.at <= size && span.len <= size - span.at;
}

/* Is the part of the certificate within it, or is there none? */
static bool is_part(struct archived_span part, struct archived_span der)
{
    return part.at == NO_BYTES.at || is_within(part, der.len);
}

static bool has_names(struct span names, const struct archived_certificate *record)
{
    size_t at = 0;
    if (!is_within(record->names, names.len))
        return false;
    names.data += record->names.at;
    for (uint32_t i = 0; i < record->name_count; i++) {
        if (at >= record->names.len || (unsigned char)names.data[at] >= record->names.len - at)
            return false;
        at += 1U + (unsigned char)names.data[at];
    }
    return true;
}

static bool is_whole(const struct certificate_archive *archive, const struct content *content)
{
    if (content->is_key != 0) {
        if (content->index >= archive->key_count)
            return false;
        const struct archived_key *key = &archive->keys[content->index];
        return is_within(key->der, archive->image.len) && is_within(key->info, archive->image.len);
    }
    if (content->index >= archive->certificate_count)
        return false;
    const struct archived_certificate *record = &archive->certificates[content->index];
    return is_within(record->der, archive->image.len) &&
           is_within(record->info, archive->image.len) && is_part(record->subject, record->der) &&
           is_part(record->issuer, record->der) && is_part(record->key_id, record->der) &&
           is_part(record->issuer_key_id, record->der) && has_names(archive->names, record) &&
           memchr(record->weak_signature, '\0', sizeof(record->weak_signature)) != NULL;
}

/* The file as it was archived, all of whose contents are there, or NULL. */
static const struct archived_source *find_source(const struct certificate_archive *archive,
                                                 const struct tree_file *file)
{
    struct span key = SPAN_OF(file->signature);
    size_t found = table_find(&archive->by_signature, key, signature_of, archive->sources);
    if (found == TABLE_NONE)
        return NULL;
    const struct archived_source *source = &archive->sources[found];
    if (!is_within((struct archived_span){source->first, source->count}, archive->content_count))
        return NULL;
    for (uint32_t i = 0; i < source->count; i++)
        if (!is_whole(archive, &archive->contents[source->first + i]))
            return NULL;
    /* A file without anything for us is as good as none, but not when it is named. */
    return file->is_named && source->count == 0 ? NULL : source;
}

static struct span part_of(struct span whole, struct archived_span part)
{
    if (part.at == NO_BYTES.at)
        return (struct span){0};
    return (struct span){whole.data + part.at, part.len};
}

/* Owned; borrows from the site. */
static struct certificate *restore(const struct certificate_archive *archive,
                                   const struct archived_certificate *record)
{
    struct certificate *facts =
        heap_take(1, sizeof(*facts) + record->name_count * sizeof(facts->names[0]));
    facts->fault = CERTIFICATE_SOUND;
    facts->der = part_of(archive->image, record->der);
    facts->info = part_of(archive->image, record->info);
    public_key_judge(facts->info, &facts->kind);
    facts->subject = part_of(facts->der, record->subject);
    facts->issuer = part_of(facts->der, record->issuer);
    facts->key_id = part_of(facts->der, record->key_id);
    facts->issuer_key_id = part_of(facts->der, record->issuer_key_id);
    facts->not_before = record->not_before;
    facts->not_after = record->not_after;
    facts->weak_signature = record->weak_signature[0] == '\0' ? NULL : record->weak_signature;
    facts->flags = record->flags;
    const char *name = archive->names.data + record->names.at;
    while (facts->name_count < record->name_count) {
        size_t len = (unsigned char)*name;
        facts->names[facts->name_count++] = (struct span){name + 1, len};
        name += 1 + len;
    }
    return facts;
}

/* The number here of a certificate of the archive, be it new here or not. */
static uint32_t take_certificate(struct certificates *store, uint32_t before)
{
    if (store->moved[before] != CERTIFICATE_NONE)
        return store->moved[before];
    struct certificate *facts = restore(&store->previous, &store->previous.certificates[before]);
    uint32_t known = certificate_find_der(store, facts->der);
    if (known != CERTIFICATE_NONE)
        certificate_free(facts);
    else
        known = certificate_add(store, facts);
    store->moved[before] = known;
    return known;
}

bool certificate_reuse_file(void *context, const struct tree_file *file)
{
    struct certificates *store = context;
    const struct certificate_archive *archive = &store->previous;
    const struct archived_source *source = find_source(archive, file);
    if (source == NULL)
        return false;
    certificate_add_source(store, file);
    const char *name = source->count == 0 ? NULL : diag_intern(store->diag, span_of(file->path));
    for (uint32_t i = 0; i < source->count; i++) {
        struct content content = archive->contents[source->first + i];
        struct position at = {name, content.line, 1};
        if (content.is_key != 0) {
            const struct archived_key *key = &archive->keys[content.index];
            content.index = certificate_add_key(
                store, (struct stored_key){.der = part_of(archive->image, key->der),
                                           .info = part_of(archive->image, key->info),
                                           .at = at});
            certificate_add_content(store, content);
        } else {
            content.index = take_certificate(store, content.index);
            certificate_add_content(store, content);
            certificate_settle(store, content.index, at, source->certificate_count);
        }
    }
    store->sources[store->source_count - 1].is_reusable = true;
    return true;
}

void certificate_reuse_proofs(struct certificates *store)
{
    const struct certificate_archive *archive = &store->previous;
    for (size_t i = 0; i < archive->proof_count; i++) {
        struct proof proof = archive->proofs[i];
        if (proof.child >= archive->certificate_count || proof.parent >= archive->certificate_count)
            continue;
        proof.child = store->moved[proof.child];
        proof.parent = store->moved[proof.parent];
        if (proof.child != CERTIFICATE_NONE && proof.parent != CERTIFICATE_NONE)
            certificate_add_proof(store, proof);
    }
}

static void append(struct text *out, const void *items, size_t size)
{
    text_append(out, (struct span){items, size});
}

/* Where a part of the certificate is in it. */
static struct archived_span offset_of(struct span part, struct span der)
{
    struct archived_span span = NO_BYTES;
    if (part.data != NULL)
        span = (struct archived_span){(uint32_t)(part.data - der.data), (uint32_t)part.len};
    return span;
}

static struct archived_span place(struct site_builder *builder, struct span bytes)
{
    return (struct archived_span){site_builder_place(builder, bytes), (uint32_t)bytes.len};
}

/* Mostly the public key is in the certificate as it is. */
static struct archived_span place_info(struct site_builder *builder,
                                       const struct certificate *facts)
{
    struct span der = facts->der, info = facts->info;
    if (info.data < der.data || info.data + info.len > der.data + der.len)
        return place(builder, info);
    struct archived_span span = offset_of(info, der);
    span.at += site_builder_place(builder, der);
    return span;
}

/* Sees to it that the bytes of the certificate are in the image. */
static void archive_certificate(const struct certificate *facts, struct site_builder *builder,
                                struct text *names, struct text *out)
{
    struct archived_certificate record = {
        .not_before = facts->not_before,
        .not_after = facts->not_after,
        .der = place(builder, facts->der),
        .info = place_info(builder, facts),
        .subject = offset_of(facts->subject, facts->der),
        .issuer = offset_of(facts->issuer, facts->der),
        .key_id = offset_of(facts->key_id, facts->der),
        .issuer_key_id = offset_of(facts->issuer_key_id, facts->der),
        .names = {.at = (uint32_t)names->len},
        .name_count = (uint32_t)facts->name_count,
        .flags = facts->flags,
    };
    if (facts->weak_signature != NULL) {
        assert(strlen(facts->weak_signature) < sizeof(record.weak_signature));
        memcpy(record.weak_signature, facts->weak_signature, strlen(facts->weak_signature));
    }
    for (size_t i = 0; i < facts->name_count; i++) {
        const char len = (char)facts->names[i].len; /* at most LIMIT_NAME */
        append(names, &len, 1);
        text_append(names, facts->names[i]);
    }
    record.names.len = (uint32_t)names->len - record.names.at;
    append(out, &record, sizeof(record));
}

/* A key that nothing uses is not in the site, so the file that has it must be read again. */
static bool is_archived(const struct certificates *store, const struct source *source)
{
    for (uint32_t i = 0; i < source->count; i++) {
        const struct content *content = &store->contents[source->first + i];
        if (content->is_key != 0 && !store->keys[content->index].is_used)
            return false;
    }
    return source->is_reusable;
}

/* Returns how many. */
static uint32_t archive_sources(const struct certificates *store, struct text *contents,
                                struct text *out)
{
    uint32_t count = 0;
    for (size_t i = 0; i < store->source_count; i++) {
        const struct source *source = &store->sources[i];
        if (!is_archived(store, source))
            continue;
        struct archived_source record = {
            .signature = source->signature,
            .first = (uint32_t)(contents->len / sizeof(struct content)),
            .count = source->count,
            .certificate_count = source->certificate_count,
        };
        append(out, &record, sizeof(record));
        append(contents, store->contents + source->first, source->count * sizeof(struct content));
        count++;
    }
    return count;
}

/* With the public key as it is in a certificate: the site has that already. */
static void archive_keys(const struct certificates *store, struct site_builder *builder,
                         struct text *out)
{
    struct archived_key *records = heap_take(store->key_count, sizeof(*records));
    for (size_t i = 0; i < store->certificate_count; i++) {
        uint32_t index = store->certificates[i].key;
        if (index != CERTIFICATE_NONE && store->keys[index].is_used)
            records[index] =
                (struct archived_key){place(builder, store->keys[index].der),
                                      place_info(builder, store->certificates[i].facts)};
    }
    append(out, records, store->key_count * sizeof(*records));
    free(records);
}

void certificates_archive(struct certificates *store, struct site_builder *builder)
{
    struct text *out = &store->archived, names = {0}, contents = {0};
    struct archive_header header = {
        .version = ARCHIVE_VERSION,
        .certificate_count = (uint32_t)store->certificate_count,
        .key_count = (uint32_t)store->key_count,
        .proof_count = (uint32_t)store->proof_count,
    };
    append(out, &header, sizeof(header));
    for (size_t i = 0; i < store->certificate_count; i++)
        archive_certificate(store->certificates[i].facts, builder, &names, out);
    header.source_count = archive_sources(store, &contents, out);
    text_append(out, heap_text(&contents));
    archive_keys(store, builder, out);
    append(out, store->proofs, store->proof_count * sizeof(*store->proofs));
    text_append(out, heap_text(&names));
    header.content_count = (uint32_t)(contents.len / sizeof(struct content));
    text_free(&contents);
    text_free(&names);
    struct span bytes = heap_text(out);
    memcpy(out->data, &header, sizeof(header));
    site_builder_set_archive(builder, bytes);
}
