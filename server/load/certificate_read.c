#include <stdlib.h>

#include "base/array.h"
#include "load/certificate_store.h"
#include "load/pem.h"

enum block_use {
    BLOCK_OTHER, /* parameters, requests, public keys: not for us */
    BLOCK_CERTIFICATE,
    BLOCK_TRUSTED,
    BLOCK_KEY,
    BLOCK_ENCRYPTED,
};

static const struct {
    const char *label;
    enum block_use use;
} labels[] = {
    {"CERTIFICATE", BLOCK_CERTIFICATE},
    {"X509 CERTIFICATE", BLOCK_CERTIFICATE},
    {"TRUSTED CERTIFICATE", BLOCK_TRUSTED},
    {"PRIVATE KEY", BLOCK_KEY},
    {"RSA PRIVATE KEY", BLOCK_KEY},
    {"EC PRIVATE KEY", BLOCK_KEY},
    {"ENCRYPTED PRIVATE KEY", BLOCK_ENCRYPTED},
};

/* One file while it is read. */
struct reading {
    struct certificates *store;
    const char *file; /* interned */
    const char *path;
    uint32_t source;
    uint32_t certificate_count; /* in this file, sound or not */
};

static enum block_use block_use(const struct pem_block *block)
{
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if (span_equal(block->label, span_of(labels[i].label)))
            return labels[i].use == BLOCK_KEY && block->encrypted ? BLOCK_ENCRYPTED : labels[i].use;
    return BLOCK_OTHER;
}

static struct position place(const struct reading *reading, uint32_t line)
{
    return (struct position){reading->file, line, 1};
}

static void report_block(const struct reading *reading, const struct pem_block *block)
{
    struct diag *diag = reading->store->diag;
    struct position at = place(reading, block->fault_line);
    int len = (int)block->label.len;
    const char *label = block->label.data;
    switch (block->fault) {
    case PEM_SOUND:
        return;
    case PEM_NO_END:
        diag_add(diag, DIAG_ERROR, at, "the block has no line -----END %.*s-----", len, label);
        diag_reason(diag, "the file was cut off, or is being written at this moment");
        return;
    case PEM_OTHER_END:
        diag_add(diag, DIAG_ERROR, at, "a block that begins with %.*s ends with another label", len,
                 label);
        break;
    case PEM_NOT_BASE64:
        diag_add(diag, DIAG_ERROR, at, "this line of the block %.*s is not base64", len, label);
        break;
    case PEM_EMPTY:
        diag_add(diag, DIAG_ERROR, at, "the block %.*s is empty", len, label);
        break;
    }
    diag_hint(diag, "copy the file again from where it was made");
}

static void report_certificate(const struct reading *reading, const struct pem_block *block,
                               enum certificate_fault fault, const struct certificate *found)
{
    struct diag *diag = reading->store->diag;
    struct position at = place(reading, block->line);
    switch (fault) {
    case CERTIFICATE_SOUND:
    case CERTIFICATE_SHORTAGE:
        break;
    case CERTIFICATE_JUNK:
        diag_add(diag, DIAG_ERROR, at, "this is not a certificate");
        diag_reason(diag, "what the block holds cannot be read as X.509");
        diag_hint(diag, "look at it with: openssl x509 -in %s -noout -text", reading->path);
        break;
    case CERTIFICATE_KEY:
        diag_add(diag, DIAG_ERROR, at, "the certificate is left out: its key is %s",
                 found->kind.text);
        diag_reason(diag, "%s", public_key_reason());
        diag_hint(diag, "%s", public_key_hint());
        break;
    case CERTIFICATE_SIGNATURE:
        diag_add(diag, DIAG_ERROR, at, "the certificate is left out: its signature is %s%s",
                 found->weak_signature == NULL ? "of a kind that is not supported" : "made with ",
                 found->weak_signature == NULL ? "" : found->weak_signature);
        diag_reason(diag, "senders accept RSA and ECDSA with SHA-256, SHA-384 or SHA-512");
        diag_hint(diag, "have a new certificate issued by a public authority");
        break;
    case CERTIFICATE_EXTENSION:
        diag_add(diag, DIAG_ERROR, at,
                 "the certificate is left out: an extension is malformed, or "
                 "it is marked as critical and is not known here");
        break;
    }
}

/* The number of a new certificate, or CERTIFICATE_NONE after a fault, which is reported. */
static uint32_t add_certificate(const struct reading *reading, const struct pem_block *block,
                                struct span der)
{
    struct certificates *store = reading->store;
    uint32_t index = CERTIFICATE_NONE;
    struct certificate found = {0};
    enum certificate_fault fault = CERTIFICATE_SHORTAGE;
    struct certificate_der *copy = certificate_der_new(der);
    void *room = array_room(store->certificates, store->certificate_count,
                            &store->certificate_capacity, sizeof(*store->certificates));
    if (room != NULL)
        store->certificates = room;
    if (copy != NULL && room != NULL)
        fault = certificate_parse(copy, store->arena, &found);
    report_certificate(reading, block, fault, &found);
    if (fault == CERTIFICATE_SOUND &&
        !table_add(&store->by_der, certificate_der_bytes(copy), store->certificate_count))
        fault = CERTIFICATE_SHORTAGE;
    store->shortage = store->shortage || fault == CERTIFICATE_SHORTAGE;
    if (fault != CERTIFICATE_SOUND) {
        certificate_clear(&found);
    } else {
        index = (uint32_t)store->certificate_count++;
        store->certificates[index] = (struct stored_certificate){
            .facts = found,
            .at = place(reading, block->line),
            .source = CERTIFICATE_NONE,
            .key = CERTIFICATE_NONE,
            .next_subject = CERTIFICATE_NONE,
        };
    }
    certificate_der_free(copy);
    return index;
}

/* The same certificate may be in several files (cert.pem, fullchain.pem, certbot's archive): it
 * counts once, and its home is the file that has most of the chain. */
static void take_certificate(struct reading *reading, const struct pem_block *block,
                             struct span der)
{
    struct certificates *store = reading->store;
    uint32_t index = certificate_find_der(store, der);
    if (index == CERTIFICATE_NONE)
        index = add_certificate(reading, block, der);
    if (index == CERTIFICATE_NONE)
        return;

    uint32_t *contents = array_room(store->contents, store->content_count, &store->content_capacity,
                                    sizeof(*contents));
    if (contents == NULL) {
        store->shortage = true;
        return;
    }
    store->contents = contents;
    contents[store->content_count++] = index;
    store->sources[reading->source].count++;

    struct stored_certificate *stored = &store->certificates[index];
    if (stored->source == CERTIFICATE_NONE ||
        (stored->source != reading->source &&
         store->sources[stored->source].count < reading->certificate_count)) {
        stored->source = reading->source;
        stored->at = place(reading, block->line);
    }
}

static void report_key(const struct reading *reading, const struct pem_block *block,
                       enum private_key_fault fault, const struct private_key *found)
{
    struct diag *diag = reading->store->diag;
    struct position at = place(reading, block->line);
    if (fault == PRIVATE_KEY_REFUSED) {
        diag_add(diag, DIAG_ERROR, at, "the private key is left out: it is %s", found->kind.text);
        diag_reason(diag, "%s", public_key_reason());
        diag_hint(diag, "%s", public_key_hint());
    } else if (fault == PRIVATE_KEY_JUNK) {
        diag_add(diag, DIAG_ERROR, at, "this is not a private key");
        diag_reason(diag, "what the block holds cannot be read as PKCS#8, PKCS#1 or SEC 1");
        diag_hint(diag, "look at it with: openssl pkey -in %s -noout", reading->path);
    }
}

static void take_key(const struct reading *reading, const struct pem_block *block, struct span der)
{
    struct certificates *store = reading->store;
    struct private_key found = {0};
    enum private_key_fault fault = PRIVATE_KEY_SHORTAGE;
    void *room =
        array_room(store->keys, store->key_count, &store->key_capacity, sizeof(*store->keys));
    if (room != NULL) {
        store->keys = room;
        fault = private_key_parse(der, store->arena, &found);
    }
    report_key(reading, block, fault, &found);
    if (fault == PRIVATE_KEY_SOUND && certificate_find_key(store, found.info) == CERTIFICATE_NONE) {
        if (table_add(&store->by_info, found.info, store->key_count)) {
            store->keys[store->key_count++] =
                (struct stored_key){.key = found, .at = place(reading, block->line)};
            return;
        }
        fault = PRIVATE_KEY_SHORTAGE;
    }
    store->shortage = store->shortage || fault == PRIVATE_KEY_SHORTAGE;
    private_key_clear(&found);
}

static void take_encrypted(const struct reading *reading, const struct pem_block *block)
{
    struct diag *diag = reading->store->diag;
    diag_add(diag, DIAG_ERROR, place(reading, block->line), "the private key is encrypted");
    diag_reason(diag, "nobody can type its passphrase when the server starts");
    diag_hint(diag, "write it without one: openssl pkey -in %s -out NEW", reading->path);
}

static void take_block(struct reading *reading, const struct pem_block *block, enum block_use use)
{
    struct diag *diag = reading->store->diag;
    unsigned char *der = NULL;
    struct span bytes;
    if (use == BLOCK_ENCRYPTED) {
        take_encrypted(reading, block);
        return;
    }
    if (block->fault != PEM_SOUND) {
        report_block(reading, block);
        return;
    }
    if (use == BLOCK_TRUSTED) {
        diag_add(diag, DIAG_ERROR, place(reading, block->line),
                 "this is OpenSSL's own form of a certificate");
        diag_reason(diag, "it has trust settings behind the certificate, which no client reads");
        diag_hint(diag, "write it as a plain one: openssl x509 -in %s -out NEW", reading->path);
        return;
    }
    der = malloc(block->der_len);
    if (der == NULL) {
        reading->store->shortage = true;
        return;
    }
    pem_decode(block, der);
    bytes = (struct span){(const char *)der, block->der_len};
    if (use == BLOCK_KEY)
        take_key(reading, block, bytes);
    else
        take_certificate(reading, block, bytes);
    private_key_wipe(der, block->der_len);
    free(der);
}

/* The file was named and has nothing for us: say what it may be instead. */
static void report_nothing(struct certificates *store, const struct certificate_file *file)
{
    struct span der = span_of("\x30\x82"), bytes = file->bytes;
    diag_add(store->diag, DIAG_ERROR, store->files.at,
             "%s holds no certificate and no key in PEM form", file->path);
    if (bytes.len >= der.len && memcmp(bytes.data, der.data, der.len) == 0)
        diag_hint(store->diag,
                  "it looks like DER; write it as PEM: openssl x509 -inform DER -in %s -out NEW "
                  "for a certificate, openssl pkey -inform DER -in %s -out NEW for a key",
                  file->path, file->path);
}

static struct span der_of(const void *items, size_t index)
{
    const struct stored_certificate *certificates = items;
    return certificate_der_bytes(certificates[index].facts.der);
}

uint32_t certificate_find_der(const struct certificates *store, struct span der)
{
    /* TABLE_NONE is all ones and so becomes CERTIFICATE_NONE. */
    return (uint32_t)table_find(&store->by_der, der, der_of, store->certificates);
}

static struct span info_of(const void *items, size_t index)
{
    const struct stored_key *keys = items;
    return keys[index].key.info;
}

uint32_t certificate_find_key(const struct certificates *store, struct span info)
{
    return (uint32_t)table_find(&store->by_info, info, info_of, store->keys);
}

static bool add_source(struct certificates *store)
{
    struct source *sources =
        array_room(store->sources, store->source_count, &store->source_capacity, sizeof(*sources));
    if (sources == NULL) {
        store->shortage = true;
        return false;
    }
    store->sources = sources;
    sources[store->source_count++] = (struct source){(uint32_t)store->content_count, 0};
    return true;
}

void certificate_read_file(void *context, const struct certificate_file *file)
{
    struct certificates *store = context;
    struct reading reading = {.store = store, .path = file->path};
    struct pem_block block;
    size_t useful = 0, keys = 0;
    for (struct pem_reader reader = pem_begin(file->bytes); pem_next(&reader, &block);) {
        enum block_use use = block_use(&block);
        useful += use != BLOCK_OTHER;
        keys += use == BLOCK_KEY;
        reading.certificate_count += use == BLOCK_CERTIFICATE;
    }
    if (useful == 0 && file->is_named)
        report_nothing(store, file);
    if (useful == 0 || !add_source(store))
        return;

    reading.source = (uint32_t)store->source_count - 1;
    reading.file = diag_intern(store->diag, span_of(file->path));
    if (keys > 0 && file->is_public) {
        diag_add(store->diag, DIAG_WARNING, (struct position){reading.file, 0, 0},
                 "every user of this machine can read the private key");
        diag_hint(store->diag, "chmod 600 %s", file->path);
    }
    for (struct pem_reader reader = pem_begin(file->bytes); pem_next(&reader, &block);) {
        enum block_use use = block_use(&block);
        if (use != BLOCK_OTHER)
            take_block(&reading, &block, use);
    }
}
