#include "certificates/archive.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/heap.h"

enum { ARCHIVE_VERSION = 1 };

/* The archive begins with it, and the arrays follow in this order. */
struct archive_header {
    uint32_t version;
    uint32_t certificate_count;
    uint32_t source_count;
    uint32_t content_count;
    uint32_t key_count;
    uint32_t proof_count;
    uint32_t names_len;
    uint32_t unused;
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

static bool read_arrays(struct certificate_archive *archive)
{
    struct span rest = archive->archive;
    const struct archive_header *header = (const void *)rest.data;
    if (rest.len < sizeof(*header) || header->version != ARCHIVE_VERSION)
        return false;
    archive->certificate_count = header->certificate_count;
    archive->source_count = header->source_count;
    archive->content_count = header->content_count;
    archive->key_count = header->key_count;
    archive->proof_count = header->proof_count;
    rest = span_skip(rest, sizeof(*header));
    return take_array(&rest, archive->certificate_count, sizeof(*archive->certificates),
                      &archive->certificates) &&
           take_array(&rest, archive->source_count, sizeof(*archive->sources), &archive->sources) &&
           take_array(&rest, archive->content_count, sizeof(*archive->contents),
                      &archive->contents) &&
           take_array(&rest, archive->key_count, sizeof(*archive->keys), &archive->keys) &&
           take_array(&rest, archive->proof_count, sizeof(*archive->proofs), &archive->proofs);
}

static struct span signature_of(const void *items, size_t index)
{
    const struct archived_source *sources = items;
    return (struct span){(const char *)&sources[index].signature, sizeof(sources[index].signature)};
}

void certificate_archive_open(const struct site *site, struct certificate_archive *ret_archive)
{
    struct certificate_archive archive = {0};
    *ret_archive = archive;
    if (site == NULL)
        return;
    archive.image = site_bytes(site);
    archive.archive = site_archive(site);
    if (!read_arrays(&archive))
        return;
    for (size_t i = 0; i < archive.source_count; i++) {
        struct span key = signature_of(archive.sources, i);
        /* A file may be named twice. */
        if (table_find(&archive.by_signature, key, signature_of, archive.sources) == TABLE_NONE)
            table_add(&archive.by_signature, key, i);
    }
    *ret_archive = archive;
}

void certificate_archive_close(struct certificate_archive *archive)
{
    table_free(&archive->by_signature);
    *archive = (struct certificate_archive){0};
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

static bool has_names(const struct certificate_archive *archive,
                      const struct archived_certificate *record)
{
    size_t at = 0;
    if (!is_within(record->names, archive->archive.len))
        return false;
    const char *names = archive->archive.data + record->names.at;
    for (uint32_t i = 0; i < record->name_count; i++) {
        if (at >= record->names.len || (unsigned char)names[at] >= record->names.len - at)
            return false;
        at += 1U + (unsigned char)names[at];
    }
    return true;
}

static bool is_whole(const struct certificate_archive *archive,
                     const struct archived_content *content)
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
           is_part(record->issuer_key_id, record->der) && has_names(archive, record) &&
           memchr(record->weak_signature, '\0', sizeof(record->weak_signature)) != NULL;
}

const struct archived_source *certificate_archive_find(const struct certificate_archive *archive,
                                                       uint64_t signature)
{
    struct span key = {(const char *)&signature, sizeof(signature)};
    size_t found = table_find(&archive->by_signature, key, signature_of, archive->sources);
    if (found == TABLE_NONE)
        return NULL;
    const struct archived_source *source = &archive->sources[found];
    if (!is_within((struct archived_span){source->first, source->count}, archive->content_count))
        return NULL;
    for (uint32_t i = 0; i < source->count; i++)
        if (!is_whole(archive, &archive->contents[source->first + i]))
            return NULL;
    return source;
}

struct span certificate_archive_bytes(const struct certificate_archive *archive,
                                      struct archived_span span)
{
    return (struct span){archive->image.data + span.at, span.len};
}

static struct span part_of(struct span der, struct archived_span part)
{
    struct span span = {0};
    if (part.at != NO_BYTES.at)
        span = (struct span){der.data + part.at, part.len};
    return span;
}

struct certificate *certificate_archive_take(const struct certificate_archive *archive,
                                             uint32_t index)
{
    const struct archived_certificate *record = &archive->certificates[index];
    struct certificate *facts =
        heap_take(1, sizeof(*facts) + record->name_count * sizeof(facts->names[0]));
    facts->fault = CERTIFICATE_SOUND;
    facts->der = certificate_archive_bytes(archive, record->der);
    facts->info = certificate_archive_bytes(archive, record->info);
    public_key_judge(facts->info, &facts->kind);
    facts->subject = part_of(facts->der, record->subject);
    facts->issuer = part_of(facts->der, record->issuer);
    facts->key_id = part_of(facts->der, record->key_id);
    facts->issuer_key_id = part_of(facts->der, record->issuer_key_id);
    facts->not_before = record->not_before;
    facts->not_after = record->not_after;
    facts->weak_signature = record->weak_signature[0] == '\0' ? NULL : record->weak_signature;
    facts->is_authority = (record->flags & ARCHIVED_AUTHORITY) != 0;
    facts->is_self_issued = (record->flags & ARCHIVED_SELF_ISSUED) != 0;
    facts->may_serve = (record->flags & ARCHIVED_MAY_SERVE) != 0;
    facts->may_sign = (record->flags & ARCHIVED_MAY_SIGN) != 0;
    facts->has_dns_names = (record->flags & ARCHIVED_DNS_NAMES) != 0;
    facts->must_staple = (record->flags & ARCHIVED_MUST_STAPLE) != 0;
    const char *name = archive->archive.data + record->names.at;
    while (facts->name_count < record->name_count) {
        size_t len = (unsigned char)*name;
        facts->names[facts->name_count++] = (struct span){name + 1, len};
        name += 1 + len;
    }
    return facts;
}

/* Where a part of the certificate is in it. */
static struct archived_span offset_of(struct span part, struct span der)
{
    struct archived_span span = NO_BYTES;
    if (part.data != NULL)
        span = (struct archived_span){(uint32_t)(part.data - der.data), (uint32_t)part.len};
    return span;
}

void certificate_archive_put(struct archive_draft *draft, size_t index,
                             const struct certificate *facts, struct site_builder *builder)
{
    struct archived_certificate *record = &draft->certificates[index];
    struct span der = facts->der, info = facts->info;
    uint32_t at = site_builder_place(builder, der);
    /* Mostly the public key is in the certificate as it is. */
    bool is_inside = info.data >= der.data && info.data + info.len <= der.data + der.len;
    *record = (struct archived_certificate){
        .not_before = facts->not_before,
        .not_after = facts->not_after,
        .der = {at, (uint32_t)der.len},
        .info = {is_inside ? at + (uint32_t)(info.data - der.data)
                           : site_builder_place(builder, info),
                 (uint32_t)info.len},
        .subject = offset_of(facts->subject, der),
        .issuer = offset_of(facts->issuer, der),
        .key_id = offset_of(facts->key_id, der),
        .issuer_key_id = offset_of(facts->issuer_key_id, der),
        .names = {(uint32_t)draft->names.len, 0},
        .name_count = (uint32_t)facts->name_count,
        .flags = (facts->is_authority ? ARCHIVED_AUTHORITY : 0U) |
                 (facts->is_self_issued ? ARCHIVED_SELF_ISSUED : 0U) |
                 (facts->may_serve ? ARCHIVED_MAY_SERVE : 0U) |
                 (facts->may_sign ? ARCHIVED_MAY_SIGN : 0U) |
                 (facts->has_dns_names ? ARCHIVED_DNS_NAMES : 0U) |
                 (facts->must_staple ? ARCHIVED_MUST_STAPLE : 0U),
    };
    if (facts->weak_signature != NULL) {
        struct span weak = span_of(facts->weak_signature);
        assert(weak.len < sizeof(record->weak_signature));
        memcpy(record->weak_signature, weak.data, weak.len);
    }
    for (size_t i = 0; i < facts->name_count; i++) {
        const char len = (char)facts->names[i].len; /* at most LIMIT_NAME */
        text_append(&draft->names, (struct span){&len, 1});
        text_append(&draft->names, facts->names[i]);
    }
    record->names.len = (uint32_t)draft->names.len - record->names.at;
}

static char *append_array(char *place, const void *items, size_t size)
{
    if (size > 0)
        memcpy(place, items, size);
    return place + size;
}

void certificate_archive_finish(struct archive_draft *draft, struct site_builder *builder)
{
    const struct archive_header header = {
        .version = ARCHIVE_VERSION,
        .certificate_count = (uint32_t)draft->certificate_count,
        .source_count = (uint32_t)draft->source_count,
        .content_count = (uint32_t)draft->content_count,
        .key_count = (uint32_t)draft->key_count,
        .proof_count = (uint32_t)draft->proof_count,
        .names_len = (uint32_t)draft->names.len,
    };
    const struct {
        const void *items;
        size_t size;
    } arrays[] = {
        {&header, sizeof(header)},
        {draft->certificates, draft->certificate_count * sizeof(*draft->certificates)},
        {draft->sources, draft->source_count * sizeof(*draft->sources)},
        {draft->contents, draft->content_count * sizeof(*draft->contents)},
        {draft->keys, draft->key_count * sizeof(*draft->keys)},
        {draft->proofs, draft->proof_count * sizeof(*draft->proofs)},
        {heap_text(&draft->names).data, draft->names.len},
    };
    enum { ARRAYS = sizeof(arrays) / sizeof(arrays[0]) };
    size_t size = 0;
    for (size_t i = 0; i < ARRAYS; i++)
        size += arrays[i].size;
    draft->bytes = heap_take(1, size);
    /* Names are referred to from the begin of the archive, and they are its end. */
    for (size_t i = 0; i < draft->certificate_count; i++)
        draft->certificates[i].names.at += (uint32_t)(size - draft->names.len);
    char *place = draft->bytes;
    for (size_t i = 0; i < ARRAYS; i++)
        place = append_array(place, arrays[i].items, arrays[i].size);
    site_builder_set_archive(builder, (struct span){draft->bytes, size});
}

void certificate_archive_free(struct archive_draft *draft)
{
    free(draft->certificates);
    free(draft->sources);
    free(draft->contents);
    free(draft->keys);
    free(draft->proofs);
    text_free(&draft->names);
    free(draft->bytes);
    *draft = (struct archive_draft){0};
}
