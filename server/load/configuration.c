#include "load/configuration.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "base/limits.h"
#include "load/certificates.h"
#include "load/document.h"
#include "load/draft.h"
#include "load/file.h"
#include "policy/name.h"

/* A configuration file that was read, or should have been. */
struct source {
    const char *file; /* interned in diag */
    bool broken;      /* domains may be missing from the draft because of a fault */
};

struct loader {
    const struct load_request *request;
    struct diag *diag;          /* borrowed */
    struct arena *scratch;      /* owned; documents and draft, until the site is built */
    struct draft *draft;        /* owned */
    struct source *sources;     /* owned; the first one is the main file */
    size_t source_count;
    size_t source_capacity;
    struct certificates *store; /* owned; NULL without certificates */
    struct configuration *configuration; /* owned until it is returned */
};

static bool out_of_memory(struct loader *loader)
{
    diag_add(loader->diag, DIAG_FATAL, (struct position){0}, "out of memory");
    return false;
}

/* The path as the file that names it means it; borrowed from the scratch arena. */
static const char *resolve(struct loader *loader, const char *naming_file, const char *path)
{
    const char *slash = strrchr(naming_file, '/');
    if (path[0] == '/' || slash == NULL)
        return path;
    struct text joined = {0};
    text_append(&joined, (struct span){naming_file, (size_t)(slash - naming_file) + 1});
    text_append(&joined, span_of(path));
    const char *copy =
        joined.failed ? NULL : arena_copy(loader->scratch, (struct span){joined.data, joined.len});
    text_free(&joined);
    if (copy == NULL)
        (void)out_of_memory(loader); /* reported; NULL tells our caller */
    return copy;
}

/* The new source, or NULL when it is there already or memory is short. Valid until the next call. */
static struct source *add_source(struct loader *loader, const char *path)
{
    const char *file = diag_intern(loader->diag, span_of(path));
    for (size_t i = 0; i < loader->source_count; i++)
        if (loader->sources[i].file == file)
            return NULL;
    if (loader->source_count == loader->source_capacity) {
        size_t capacity = loader->source_capacity == 0 ? 16 : loader->source_capacity * 2;
        void *larger = reallocarray(loader->sources, capacity, sizeof(*loader->sources));
        if (larger == NULL) {
            (void)out_of_memory(loader); /* reported; NULL tells our caller */
            return NULL;
        }
        loader->sources = larger;
        loader->source_capacity = capacity;
    }
    loader->sources[loader->source_count] = (struct source){.file = file};
    return &loader->sources[loader->source_count++];
}

/* The root mapping of a file; NULL after a fault, which was reported at the level. */
static const struct node *read_mapping(struct loader *loader, const char *file,
                                       enum diag_level level)
{
    struct text bytes = {0};
    const struct node *root = NULL;
    if (!file_read(file, LIMIT_YAML_FILE, &bytes, NULL)) {
        diag_add(loader->diag, level, (struct position){.file = file}, "cannot be read: %s",
                 strerror(errno));
        goto done;
    }
    root = document_parse(loader->scratch, (struct span){bytes.data, bytes.len}, file, level,
                          loader->diag);
    if (root != NULL && root->kind != NODE_MAPPING && !(root->null && level != DIAG_FATAL)) {
        diag_add(loader->diag, level, root->at,
                 root->null ? "the file is empty" : "the file must be a mapping from keys to values");
        diag_hint(loader->diag, "see the example that came with the program");
        root = NULL;
    }
done:
    text_free(&bytes);
    return root;
}

/* Refuses every domain that the file names: nobody knows what its fault has lost. */
static void refuse_domains_of(struct loader *loader, const char *file)
{
    for (size_t i = 0; i < draft_count(loader->draft); i++) {
        struct draft_domain *domain = draft_at(loader->draft, i);
        if (domain->at.file == file)
            domain->refused = true;
    }
}

static void read_dropin(struct loader *loader, const char *path)
{
    struct dropin_nodes nodes = {0};
    struct source *source = add_source(loader, path);
    if (source == NULL)
        return;
    const struct node *root = read_mapping(loader, source->file, DIAG_ERROR);
    if (root == NULL) {
        source->broken = true;
        return;
    }
    if (root->null)
        return;
    bool sound = schema_read(&schema_dropin, root, &nodes, DIAG_ERROR, loader->diag);
    draft_add_policies(loader->draft, nodes.policies);
    bool named = draft_add_domains(loader->draft, nodes.domains);
    source->broken = !sound || !named;
    if (!sound)
        refuse_domains_of(loader, source->file);
}

static bool read_include(void *context, const struct node *item)
{
    struct loader *loader = context;
    const char *pattern = resolve(loader, item->at.file, item->text.data);
    glob_t found;
    if (pattern == NULL)
        return false;
    int result = glob(pattern, GLOB_ERR | GLOB_MARK | GLOB_BRACE, NULL, &found);
    if (result == GLOB_NOMATCH) {
        if (strpbrk(pattern, "*?[{") == NULL)
            read_dropin(loader, pattern); /* which tells that it is not there */
        return true;
    }
    if (result != 0) {
        diag_add(loader->diag, DIAG_FATAL, item->at, "include \"%s\" cannot be searched: %s",
                 pattern, result == GLOB_NOSPACE ? "out of memory" : strerror(errno));
        diag_reason(loader->diag, "domains that are served now might be lost");
        return false;
    }
    for (size_t i = 0; i < found.gl_pathc; i++)
        if (found.gl_pathv[i][strlen(found.gl_pathv[i]) - 1] != '/')
            read_dropin(loader, found.gl_pathv[i]);
    globfree(&found);
    return true;
}

static bool read_certificate_path(void *context, const struct node *item)
{
    struct loader *loader = context;
    const char *path = resolve(loader, item->at.file, item->text.data);
    if (path == NULL)
        return false;
    certificates_read(loader->store, path, item->at);
    return true;
}

static bool read_certificates(struct loader *loader, const struct node *node,
                              struct position root)
{
    if (loader->request->without_certificates)
        return true;
    if (node == NULL) {
        diag_add(loader->diag, DIAG_WARNING, root, "no certificates are configured");
        diag_reason(loader->diag, "no sender can fetch a policy without");
        diag_hint(loader->diag, "write \"certificates: /etc/letsencrypt/live\", or where they are");
        return true;
    }
    loader->store = certificates_new(loader->diag);
    if (loader->store == NULL)
        return out_of_memory(loader);
    bool good = schema_each_scalar(node, "certificates", DIAG_FATAL, loader->diag,
                                   read_certificate_path, loader);
    certificates_match(loader->store, loader->request->now);
    return good;
}

/* Reads all files; after a fault it goes on, so that the rest is judged too. */
static void read_files(struct loader *loader)
{
    struct root_nodes nodes = {0};
    struct source *source = add_source(loader, loader->request->path);
    if (source == NULL)
        return;
    const struct node *root = read_mapping(loader, source->file, DIAG_FATAL);
    if (root == NULL)
        return;
    (void)schema_read(&schema_root, root, &nodes, DIAG_FATAL, loader->diag); /* counted in diag */
    (void)settings_read(&nodes, loader->configuration->arena, loader->diag,
                        &loader->configuration->settings); /* counted in diag */
    draft_add_policies(loader->draft, nodes.policies);
    source->broken = !draft_add_domains(loader->draft, nodes.domains);
    if (nodes.include != NULL)
        (void)schema_each_scalar(nodes.include, "include", DIAG_FATAL, loader->diag, read_include,
                                 loader); /* counted in diag */
    (void)read_certificates(loader, nodes.certificates, root->at); /* counted in diag */
    if (draft_count(loader->draft) == 0 && diag_count(loader->diag, DIAG_FATAL) == 0) {
        diag_add(loader->diag, DIAG_WARNING, root->at, "no domain is configured");
        diag_hint(loader->diag, "write \"domains:\" and below it \"example.com:\"");
    }
}

static void warn_expiry(struct loader *loader, const struct credential *credential)
{
    const int64_t day = 86400;
    int64_t left = credential_not_after(credential) - loader->request->now;
    if (left >= LIMIT_EXPIRY_DAYS * day)
        return;
    char date[CALENDAR_DAY_SIZE];
    calendar_day(credential_not_after(credential), date);
    struct position at = {diag_intern(loader->diag, span_of(credential_file(credential))),
                          credential_line(credential), 1};
    if (left <= 0) {
        diag_add(loader->diag, DIAG_ERROR, at, "the certificate has expired on %s", date);
        diag_reason(loader->diag, "every sender refuses it; those that hold an enforced policy go "
                                  "on with it, others find none");
    } else {
        diag_add(loader->diag, DIAG_WARNING, at, "the certificate expires on %s, in %" PRId64 " days",
                 date, left / day);
    }
    diag_hint(loader->diag, "renew it, and see why it was not renewed before");
}

static bool has_credential(const struct site_domain *domain)
{
    for (int kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (domain->credentials[kind] != NULL)
            return true;
    return false;
}

static void warn_no_credential(struct loader *loader, const char *host, bool kept,
                               struct position at)
{
    if (loader->store == NULL)
        return; /* one warning said it of all */
    diag_add(loader->diag, DIAG_WARNING, at, "no certificate with its key covers %s", host);
    if (kept)
        diag_reason(loader->diag, "the one that was served before stays in use until a restart");
    else
        diag_reason(loader->diag, "senders cannot fetch the policy until there is one");
    diag_hint(loader->diag, "get one that names %s, and put it where \"certificates:\" points", host);
}

/* Fills in the credentials, which the caller then owns one share of each. */
static void find_credentials(struct loader *loader, const struct site_domain *before,
                             struct position at, struct site_domain *domain)
{
    char host[LIMIT_NAME + 1];
    int len = snprintf(host, sizeof(host), "mta-sts.%s", domain->name);
    if (loader->request->without_certificates)
        return;
    if (loader->store != NULL)
        certificates_find(loader->store, (struct span){host, (size_t)len}, domain->credentials);
    for (int kind = 0; kind < CREDENTIAL_KINDS; kind++)
        if (domain->credentials[kind] != NULL)
            warn_expiry(loader, domain->credentials[kind]);
    if (has_credential(domain))
        return;
    domain->credentials_stale = before != NULL && has_credential(before);
    for (int kind = 0; domain->credentials_stale && kind < CREDENTIAL_KINDS; kind++)
        if (before->credentials[kind] != NULL)
            domain->credentials[kind] = credential_share(before->credentials[kind]);
    warn_no_credential(loader, host, domain->credentials_stale, at);
}

/* Adds the domain to the site with whatever is to be served for it. Takes the policy. */
static bool add_domain(struct loader *loader, struct site_domain *domain, struct position at)
{
    const struct site *previous = loader->request->previous;
    const struct site_domain *before =
        previous == NULL ? NULL
                         : site_find_domain(previous, (struct span){domain->name, domain->name_len});
    if (domain->policy == NULL && before != NULL && before->policy != NULL) {
        domain->policy = policy_share(before->policy);
        domain->state = SITE_STALE;
        if (domain->tls_rpt == NULL)
            domain->tls_rpt = before->tls_rpt;
    }
    find_credentials(loader, before, at, domain);
    bool good = site_add(loader->configuration->site, domain) || out_of_memory(loader);
    policy_free(domain->policy);
    for (int kind = 0; kind < CREDENTIAL_KINDS; kind++)
        credential_free(domain->credentials[kind]);
    return good;
}

static bool add_drafted(struct loader *loader)
{
    for (size_t i = 0; i < draft_count(loader->draft); i++) {
        struct draft_domain *draft = draft_at(loader->draft, i);
        struct policy *policy = draft_policy(loader->draft, draft);
        struct site_domain domain = {
            .name = draft->name,
            .name_len = draft->name_len,
            .state = policy == NULL ? SITE_REFUSED : SITE_SERVED,
            .policy = policy,
            .file = draft->at.file,
            .tls_rpt = draft->tls_rpt,
        };
        if (!add_domain(loader, &domain, draft->at))
            return false;
    }
    draft_judge_unused(loader->draft);
    return true;
}

static bool is_broken(const struct loader *loader, const char *file)
{
    for (size_t i = 0; i < loader->source_count; i++)
        if (loader->sources[i].broken && strcmp(loader->sources[i].file, file) == 0)
            return true;
    return false;
}

/* Domains that are served now and are missing only because their file is broken. */
static bool keep_lost(struct loader *loader)
{
    const struct site *previous = loader->request->previous;
    for (size_t i = 0; previous != NULL && i < site_count(previous); i++) {
        const struct site_domain *before = site_at(previous, i);
        struct span name = {before->name, before->name_len};
        if (!is_broken(loader, before->file) || draft_has(loader->draft, name))
            continue;
        struct site_domain domain = {
            .name = before->name,
            .name_len = before->name_len,
            .state = SITE_REFUSED,
            .file = before->file,
        };
        struct position at = {.file = diag_intern(loader->diag, span_of(before->file))};
        if (!add_domain(loader, &domain, at))
            return false;
    }
    return true;
}

static bool build(struct loader *loader)
{
    const struct load_request *request = loader->request;
    struct configuration *configuration = loader->configuration;
    struct diag *diag = loader->diag;

    loader->scratch = arena_new();
    loader->draft = loader->scratch == NULL ? NULL : draft_new(loader->scratch, diag);
    configuration->arena = arena_new();
    configuration->site = site_new();
    if (loader->draft == NULL || configuration->arena == NULL || configuration->site == NULL)
        return out_of_memory(loader);
    read_files(loader);
    if (!add_drafted(loader) || !keep_lost(loader))
        return false;
    if (loader->store != NULL)
        certificates_report_unused(loader->store);
    if (!site_seal(configuration->site))
        return out_of_memory(loader);
    if (request->listen != NULL) {
        configuration->settings.listeners = arena_take(configuration->arena, sizeof(struct address));
        if (configuration->settings.listeners == NULL)
            return out_of_memory(loader);
        configuration->settings.listeners[0] = *request->listen;
        configuration->settings.listener_count = 1;
    }
    return diag_count(diag, DIAG_FATAL) == 0 &&
           !(configuration->settings.strict && diag_count(diag, DIAG_ERROR) > 0);
}

struct configuration *configuration_load(const struct load_request *request, struct diag *diag)
{
    struct loader loader = {.request = request, .diag = diag};
    loader.configuration = calloc(1, sizeof(*loader.configuration));
    if (loader.configuration == NULL) {
        (void)out_of_memory(&loader); /* reported; NULL tells our caller */
        return NULL;
    }
    if (!build(&loader)) {
        configuration_free(loader.configuration);
        loader.configuration = NULL;
    }
    certificates_free(loader.store);
    draft_free(loader.draft);
    arena_free(loader.scratch);
    free(loader.sources);
    return loader.configuration;
}

void configuration_free(struct configuration *configuration)
{
    if (configuration == NULL)
        return;
    site_free(configuration->site);
    arena_free(configuration->arena);
    free(configuration);
}
