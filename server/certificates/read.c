#include <stdlib.h>

#include "base/array.h"
#include "base/heap.h"
#include "certificates/der.h"
#include "certificates/pem.h"
#include "certificates/store.h"
#include "certificates/store_inside.h"
#include "files/file.h"
#include "policy/name.h"

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
    const char *file; /* interned; NULL before there is something for us in it */
    const char *path;
    bool is_named;    /* itself, not a folder above it */
    bool is_spotless; /* nothing was said of it */
    unsigned faults;  /* blocks of which something was said */
};

static struct source *last_source(const struct certificates *store)
{
    return &store->sources[store->source_count - 1];
}

static void add_source(struct certificates *store, const struct tree_file *file)
{
    const char *slash = strrchr(file->path, '/');
    struct span folder = {file->path, slash == NULL ? 0 : (size_t)(slash - file->path)};
    *ARRAY_ADD(store->sources, store->source_count) = (struct source){
        .signature = file->signature,
        .folder = table_hash(folder),
        .is_named = file->is_named,
        .first = (uint32_t)store->content_count,
    };
}

static void add_content(struct certificates *store, struct content content)
{
    *ARRAY_ADD(store->contents, store->content_count) = content;
    last_source(store)->count++;
    last_source(store)->certificate_count += content.is_key ? 0 : 1;
}

/* All of the file is read: the home of a certificate is the file that has most of the chain. */
static void settle(struct reading *reading)
{
    struct certificates *store = reading->store;
    uint32_t last = (uint32_t)store->source_count - 1;
    const struct source *source = last_source(store);
    for (uint32_t i = 0; i < source->count; i++) {
        const struct content *content = &store->contents[source->first + i];
        if (content->is_key) /* there may be no certificate yet */
            continue;
        struct stored_certificate *stored = &store->certificates[content->index];
        if (stored->source == last ||
            (stored->source != CERTIFICATE_NONE &&
             store->sources[stored->source].certificate_count >= source->certificate_count))
            continue;
        stored->source = last;
        stored->at = (struct position){reading->file, content->line, 1};
    }
}

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

/* In a folder what cannot be read may be anybody's. */
static void doubt(struct reading *reading)
{
    if (!reading->is_named)
        certificate_doubt(reading->store, (struct doubt){.otherwise = DIAG_NOTE});
}

/* False when so much was said of the file that this says no more. */
static bool may_report(struct reading *reading, uint32_t line)
{
    reading->is_spotless = false;
    reading->faults++;
    if (reading->faults <= LIMIT_CERTIFICATE_FAULTS)
        return true;
    if (reading->faults == LIMIT_CERTIFICATE_FAULTS + 1)
        diag_add(reading->store->diag, DIAG_NOTE, place(reading, line),
                 "more faults of this file are not reported");
    return false;
}

/* A whole block that is of no use, or one with a fault. */
static void report_block(struct reading *reading, const struct pem_block *block, enum block_use use)
{
    struct diag *diag = reading->store->diag;
    struct position at = place(reading, block->fault_line), begin = place(reading, block->line);
    int len = (int)block->label.len;
    const char *label = block->label.data;
    if (use == BLOCK_ENCRYPTED) {
        diag_add(diag, DIAG_ERROR, begin, "the private key is encrypted");
        diag_reason(diag, "the server cannot ask for its passphrase");
        diag_hint(diag, "write it without one: openssl pkey -in %s -out NEW", reading->path);
        return;
    }
    switch (block->fault) {
    case PEM_SOUND:
        diag_add(diag, DIAG_ERROR, begin, "this is OpenSSL's own form of a certificate");
        diag_reason(diag, "it has trust settings after the certificate, which no client reads");
        diag_hint(diag, "write it as a plain one: openssl x509 -in %s -out NEW", reading->path);
        return;
    case PEM_NO_END:
        diag_add(diag, DIAG_ERROR, at, "the block has no line -----END %.*s-----", len, label);
        diag_reason(diag, "the file was cut off, or is being written at this moment");
        return;
    case PEM_OTHER_END:
        diag_add(diag, DIAG_ERROR, at, "a block that begins with %.*s ends with another label", len,
                 label);
        break;
    case PEM_GLUED:
        diag_add(diag, DIAG_ERROR, at, "the line break before or after END %.*s is missing", len,
                 label);
        diag_reason(diag,
                    "BEGIN and END need a line of their own, which is lost when files without "
                    "a last line break are joined");
        diag_hint(diag, "sed 's/ *-----END [A-Z0-9 ]*-----/\\n&\\n/g' %s | sed '/^ *$/d' >NEW",
                  reading->path);
        return;
    case PEM_NOT_BASE64:
        diag_add(diag, DIAG_ERROR, at, "this line of the block %.*s is not base64", len, label);
        break;
    case PEM_EMPTY:
        diag_add(diag, DIAG_ERROR, at, "the block %.*s is empty", len, label);
        break;
    }
    diag_hint(diag, "copy the file again from where it was made");
}

static void report_certificate(struct reading *reading, uint32_t line,
                               const struct certificate *found)
{
    struct diag *diag = reading->store->diag;
    struct position at = place(reading, line);
    switch (found->fault) {
    case CERTIFICATE_SOUND:
        break;
    case CERTIFICATE_JUNK:
        diag_add(diag, DIAG_ERROR, at, "this is not a certificate");
        diag_reason(diag, "what the block holds cannot be read as X.509");
        diag_hint(diag, "look at it with: openssl x509 -in %s -noout -text", reading->path);
        break;
    case CERTIFICATE_KEY:
        diag_add(diag, DIAG_ERROR, at, "the certificate is left out: its key is %s",
                 found->kind.text);
        public_key_explain(&found->kind, diag);
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
                 "the certificate is left out: an extension is malformed, or it is marked as "
                 "critical and not one that senders must know");
        diag_reason(diag, "senders refuse a certificate whose critical extensions they do not know "
                          "(RFC 5280 section 4.2)");
        break;
    }
}

/* One that the library cannot read may yet tell for whom it is. */
static void doubt_certificate(struct reading *reading, struct span der)
{
    enum { NAMES_MOST = 100 }; /* as many as authorities put into one */
    struct certificates *store = reading->store;
    struct span names[NAMES_MOST], written = {0};
    size_t count = 0;
    while (count < NAMES_MOST && der_next_name(der, &written)) {
        struct name name;
        if (name_parse(written, NAME_PATTERN, &name) == NAME_OK)
            names[count++] = span_of(arena_copy(store->arena, (struct span){name.text, name.len}));
    }
    if (count == 0) {
        doubt(reading);
        return;
    }
    struct span *copy = arena_take(store->arena, count * sizeof(*copy));
    memcpy(copy, names, count * sizeof(*copy));
    certificate_doubt(store, (struct doubt){.names = copy, .count = count, .otherwise = DIAG_NOTE});
}

/* The same certificate may be in several files (cert.pem, fullchain.pem, certbot's archive): it
 * counts once. */
static void take_certificate(struct reading *reading, uint32_t line, struct span der)
{
    struct certificates *store = reading->store;
    uint32_t index = certificate_find_der(store, der);
    if (index == CERTIFICATE_NONE) {
        struct certificate *facts = certificate_new(der);
        if (facts->fault != CERTIFICATE_SOUND) {
            if (may_report(reading, line)) {
                report_certificate(reading, line, facts);
                doubt_certificate(reading, der);
            }
            certificate_free(facts);
            return;
        }
        index = (uint32_t)store->certificate_count;
        table_add(&store->by_der, facts->der, index);
        *ARRAY_ADD(store->certificates, store->certificate_count) = (struct stored_certificate){
            .facts = facts,
            .source = CERTIFICATE_NONE,
            .key = CERTIFICATE_NONE,
            .proven = CERTIFICATE_NONE,
        };
    }
    add_content(store, (struct content){index, line, false});
}

/* Of equal ones the first counts. */
static void take_key(struct reading *reading, uint32_t line, struct span der)
{
    struct certificates *store = reading->store;
    struct public_key kind;
    struct private_key *key = private_key_new(der, &kind);
    if (key == NULL && may_report(reading, line)) {
        struct position at = place(reading, line);
        if (kind.known) {
            diag_add(store->diag, DIAG_ERROR, at, "the private key is left out: it is %s",
                     kind.text);
            public_key_explain(&kind, store->diag);
        } else {
            diag_add(store->diag, DIAG_ERROR, at, "this is not a private key");
            diag_reason(store->diag,
                        "what the block holds cannot be read as PKCS#8, PKCS#1 or SEC 1");
            diag_hint(store->diag, "look at it with: openssl pkey -in %s -noout", reading->path);
        }
        doubt(reading);
    }
    if (key == NULL)
        return;
    uint32_t index = certificate_find_key(store, key->info);
    if (index == CERTIFICATE_NONE) {
        index = (uint32_t)store->key_count;
        table_add(&store->by_info, key->info, index);
        *ARRAY_ADD(store->keys, store->key_count) =
            (struct stored_key){.key = key, .at = place(reading, line)};
    } else {
        /* Only a damaged one differs from an equal one; it must stay out of sight then as now. */
        if (!span_equal(store->keys[index].key->der, key->der))
            reading->is_spotless = false;
        private_key_free(key);
    }
    add_content(store, (struct content){index, line, true});
}

static void take_block(struct reading *reading, const struct pem_block *block, enum block_use use)
{
    unsigned char *der = NULL;
    struct span bytes;
    if (use == BLOCK_ENCRYPTED || use == BLOCK_TRUSTED || block->fault != PEM_SOUND) {
        if (may_report(reading, block->line)) {
            report_block(reading, block, use);
            doubt(reading);
        }
        return;
    }
    der = heap_take(1, block->der_len);
    pem_decode(block, der);
    bytes = (struct span){(const char *)der, block->der_len};
    if (use == BLOCK_KEY)
        take_key(reading, block->line, bytes);
    else
        take_certificate(reading, block->line, bytes);
    private_key_wipe(der, block->der_len);
    free(der);
}

/* Nothing in the file is for us: say what it may be instead. In a folder a request is not worth a word, unless
 * a certificate is missing: it lies beside most certificates. */
static void report_nothing(struct reading *reading, struct span bytes)
{
    struct certificates *store = reading->store;
    const struct certificate_form *form = certificate_form_find(bytes);
    struct diag *diag = store->diag;
    if (!reading->is_named && form == NULL)
        return;
    reading->is_spotless = false;
    if (reading->is_named)
        diag_add(diag, DIAG_ERROR, store->files.at,
                 "%s holds no certificate and no key in PEM form%s%s", reading->path,
                 form == NULL ? "" : ": ", form == NULL ? "" : form->what);
    else if (store->unread_count++ < LIMIT_CERTIFICATE_UNREAD)
        diag_add(diag, form->is_request ? DIAG_NOTE : DIAG_WARNING,
                 (struct position){diag_intern(diag, span_of(reading->path)), 0, 0},
                 "no certificate and no key can be read from this file: %s", form->what);
    else
        return;
    if (form != NULL)
        diag_hint(diag, "%s%s%s", form->before, reading->path, form->behind);
    if (!reading->is_named)
        certificate_doubt(store,
                          (struct doubt){.otherwise = form->is_request ? DIAG_LEVELS : DIAG_NOTE});
}

static void read_file(void *context, const struct tree_file *file, struct span bytes)
{
    struct certificates *store = context;
    struct reading reading = {
        .store = store,
        .path = file->path,
        .is_named = file->is_named,
        .is_spotless = true,
    };
    struct pem_block block;
    bool has_key = false;
    add_source(store, file);
    for (struct pem_reader reader = pem_begin(bytes); pem_next(&reader, &block);) {
        enum block_use use = block_use(&block);
        if (use == BLOCK_OTHER)
            continue;
        reading.file = diag_intern(store->diag, span_of(file->path));
        has_key = has_key || use == BLOCK_KEY;
        take_block(&reading, &block, use);
    }
    settle(&reading);
    if (reading.file == NULL)
        report_nothing(&reading, bytes);
    if (has_key && (file->status->st_mode & S_IROTH) != 0) {
        reading.is_spotless = false;
        diag_add(store->diag, DIAG_WARNING, (struct position){reading.file, 0, 0},
                 "every user of this machine can read the private key");
        diag_hint(store->diag, "chmod 600 %s", file->path);
        /* Who can read a key that nobody here uses is not ours to judge. */
        certificate_doubt(store, (struct doubt){.keys_of = (uint32_t)store->source_count,
                                                .otherwise = DIAG_NOTE});
    }
    last_source(store)->is_reusable =
        reading.is_spotless && file_signature_is_settled(file->status, store->begun);
}

/* The same from the archive of the site before, without opening the file. False when it has changed, or
 * must be read for another reason. */
static bool reuse_file(void *context, const struct tree_file *file)
{
    struct certificates *store = context;
    const struct archived_source *source =
        certificate_archive_find(&store->previous, file->signature);
    struct reading reading = {
        .store = store,
        .path = file->path,
        .is_named = file->is_named,
        .is_spotless = true,
    };
    /* A file without anything for us is as good as none, but not when it is named. */
    if (source == NULL || (file->is_named && source->count == 0))
        return false;
    add_source(store, file);
    if (source->count > 0)
        reading.file = diag_intern(store->diag, span_of(file->path));
    for (uint32_t i = 0; i < source->count; i++) {
        const struct certificate_archived *content = &store->previous.contents[source->first + i];
        if (content->is_key)
            take_key(&reading, content->line, content->der);
        else
            take_certificate(&reading, content->line, content->der);
    }
    settle(&reading);
    last_source(store)->is_reusable = reading.is_spotless;
    return true;
}

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
        .skip = reuse_file,
        .visit = read_file,
        .doubt = doubt_file,
        .context = store,
    };
    (void)clock_gettime(CLOCK_REALTIME, &store->begun); /* it cannot fail */
    store->arena = arena_new();
    certificate_archive_open(previous, &store->previous);
    return store;
}

void certificates_read(struct certificates *store, const char *path, struct position at)
{
    if (certificate_crypto_begin(store))
        certificate_files_walk(&store->files, path, at);
}
