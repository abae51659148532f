#include "certificates/trust.h"

#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/calendar.h"
#include "base/heap.h"
#include "certificates/der.h"
#include "certificates/files.h"
#include "certificates/key.h"
#include "certificates/memory.h"
#include "certificates/pem.h"

struct trust {
    mbedtls_x509_crt list; /* its first is empty when there is none */
    size_t count;
};

/* Debian, Fedora, Alpine and OpenBSD; the first that is there counts. */
static const char *const usual[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
};

static const char *usual_path(void)
{
    const char *path = getenv("SSL_CERT_FILE");
    if (path == NULL || path[0] == '\0')
        path = getenv("SSL_CERT_DIR");
    if (path != NULL && path[0] != '\0')
        return path;
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        if (access(usual[i], R_OK) == 0)
            return usual[i];
    return usual[0];
}

/* Critical extensions that the library does not know are judged by certificates/der. */
static int take_extension(void *context, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid,
                          int critical, const unsigned char *value, const unsigned char *end)
{
    (void)context, (void)crt, (void)oid, (void)critical, (void)value, (void)end; /* all the same */
    return 0;
}

/* An authority that the TLS library cannot read is one that is not trusted; the others are. */
static void add(struct trust *trust, const struct pem_block *block)
{
    unsigned char *der = heap_take(1, block->der_len);
    pem_decode(block, der);
    int code = mbedtls_x509_crt_parse_der_with_ext_cb(&trust->list, der, block->der_len, 1,
                                                      take_extension, NULL);
    if (code == 0)
        trust->count++;
    else
        memory_check(code);
    free(der);
}

static void visit(void *context, const struct tree_file *file, struct span bytes)
{
    (void)file; /* only what is in it counts */
    struct pem_reader reader = pem_begin(bytes);
    struct pem_block block;
    while (pem_next(&reader, &block))
        if (block.fault == PEM_SOUND && (span_equal(block.label, span_of("CERTIFICATE")) ||
                                         span_equal(block.label, span_of("X509 CERTIFICATE"))))
            add(context, &block);
}

struct trust *trust_new(const char *path, struct diag *diag)
{
    struct trust *trust = heap_take(1, sizeof(*trust));
    struct certificate_files files = {.diag = diag, .visit = visit, .context = trust};
    if (path == NULL)
        path = usual_path();
    struct position at = {"authorities", 0, 0}; /* no file: which it is, is in the words */
    mbedtls_x509_crt_init(&trust->list);
    size_t told = diag_count(diag, DIAG_ERROR);
    certificate_files_walk(&files, path, at);
    certificate_files_free(&files);
    if (trust->count > 0)
        return trust;
    if (diag_count(diag, DIAG_ERROR) == told)
        diag_add(diag, DIAG_ERROR, at, "%s: there is no certificate of an authority", path);
    diag_hint(diag, "install the package ca-certificates, or name a file with --ca");
    trust_free(trust);
    return NULL;
}

void trust_free(struct trust *trust)
{
    if (trust == NULL)
        return;
    mbedtls_x509_crt_free(&trust->list);
    free(trust);
}

bool trust_has_subject(const struct trust *trust, struct span subject)
{
    const mbedtls_x509_crt *root = trust->count == 0 ? NULL : &trust->list;
    for (; root != NULL; root = root->next)
        if (span_equal(subject,
                       (struct span){(const char *)root->subject_raw.p, root->subject_raw.len}))
            return true;
    return false;
}

struct walk {
    int64_t now;
    const struct span *names; /* of the leaf */
    size_t name_count;
    struct trust_verdict *verdict;
};

static int64_t instant(const mbedtls_x509_time *time)
{
    return calendar_instant(time->year, time->mon, time->day, time->hour, time->min, time->sec);
}

static const uint32_t WEAK =
    MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY;

static const uint32_t DATES = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;

static void print_name(const mbedtls_x509_name *name, char out[static TRUST_NAME_SIZE])
{
    if (mbedtls_x509_dn_gets(out, TRUST_NAME_SIZE, name) <= 0)
        (void)snprintf(out, TRUST_NAME_SIZE, "an authority"); /* it fits */
}

/* What an authority may issue for. */
static void judge_extensions(const struct walk *walk, const mbedtls_x509_crt *crt)
{
    struct der_verdict found;
    struct trust_verdict *verdict = walk->verdict;
    der_judge_authority((struct span){(const char *)crt->raw.p, crt->raw.len}, walk->names,
                        walk->name_count, &found);
    if (found.forbidden.data != NULL && !verdict->is_constrained) {
        verdict->is_constrained = true;
        print_name(&crt->subject, verdict->constrained);
        (void)snprintf(verdict->forbidden, TRUST_NAME_SIZE, "%.*s", (int)found.forbidden.len,
                       found.forbidden.data); /* what is longer is cut */
    }
    if (found.not_judged != NULL && verdict->not_judged == NULL) {
        verdict->not_judged = found.not_judged;
        print_name(&crt->subject, verdict->not_judged_of);
    }
}

/* The library shows each certificate on the way, from the authority down to the leaf. */
static int look(void *context, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct walk *walk = context;
    struct trust_verdict *verdict = walk->verdict;
    verdict->is_weak = verdict->is_weak || (*flags & WEAK) != 0;
    *flags &= ~DATES; /* by the clock, where now may be another day */
    if (depth == 0)
        return 0;
    judge_extensions(walk, crt);
    if (instant(&crt->valid_from) > walk->now || instant(&crt->valid_to) < walk->now) {
        verdict->is_expired = true;
        print_name(&crt->subject, verdict->expired);
    }
    return 0;
}

bool trust_judge(const struct trust *trust, const struct span *chain, size_t count, int64_t now,
                 struct trust_verdict *ret_verdict)
{
    uint32_t flags = 0;
    mbedtls_x509_crt crt;
    /* The library only reads the list, which it does not take as constant. */
    mbedtls_x509_crt *list = (mbedtls_x509_crt *)(uintptr_t)&trust->list;
    struct walk walk = {.now = now, .verdict = ret_verdict};
    struct span name = {NULL, 0}, *names = NULL;
    while (count > 0 && der_next_name(chain[0], &name))
        *ARRAY_ADD(names, walk.name_count) = name;
    *ret_verdict = (struct trust_verdict){0};
    walk.names = names;
    mbedtls_x509_crt_init(&crt);
    bool good = count > 0;
    for (size_t i = 0; i < count && good; i++) {
        bool is_costly = i > 0 && public_key_is_costly(chain[i]);
        ret_verdict->is_costly = ret_verdict->is_costly || is_costly;
        if (!is_costly)
            good = mbedtls_x509_crt_parse_der_with_ext_cb(
                       &crt, (const unsigned char *)chain[i].data, chain[i].len, 0, take_extension,
                       NULL) == 0 ||
                   i > 0; /* one that nobody needs may be odd */
    }
    if (good) {
        (void)mbedtls_x509_crt_verify(&crt, list, NULL, NULL, &flags, look, &walk);
        ret_verdict->is_trusted = (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) == 0;
    }
    if (!ret_verdict->is_trusted)
        memory_check(0);
    mbedtls_x509_crt_free(&crt);
    free(names);
    return good;
}
