#include "load/configuration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "certificates/store.h"
#include "configuration/draft.h"
#include "configuration/sources.h"
#include "load/concern.h"
#include "load/state.h"
#include "site/site.h"
#include "site/site_builder.h"

struct loader {
    const struct load_request *request;
    struct diag *diag;                   /* borrowed */
    struct arena *scratch;               /* owned; documents and draft, until the site is built */
    struct draft draft;                  /* owned */
    struct sources sources;              /* owned */
    struct certificates *store;          /* owned; NULL without certificates */
    struct site_builder *builder;        /* owned; NULL once the site is built */
    struct site *remembered;             /* owned; read from the state folder, or NULL */
    const struct site *previous;         /* what to fall back to, or NULL */
    struct configuration *configuration; /* owned until it is returned */
};

/* With a proxy in front of every listener that has policies, the certificates are none of ours. */
static bool needs_certificates(const struct loader *loader)
{
    const struct settings *settings = &loader->configuration->settings;
    return loader->request->listen != NULL ||
           !endpoint_all_plain(settings->listeners, settings->listener_count);
}

/* From the paths that this load, or the one before, has found in the configuration. */
static void load_certificates(struct loader *loader)
{
    struct watch *watch = &loader->configuration->watch;
    const char *file = diag_intern(loader->diag, span_of(watch->file));
    loader->store =
        certificates_new(loader->diag, loader->request->previous, &loader->request->progress);
    diag_set_part(loader->diag, DIAG_CERTIFICATES);
    for (const struct watch_path *path = watch->paths[WATCH_CERTIFICATES]; path != NULL;
         path = path->next)
        certificates_read(loader->store, path->path,
                          (struct position){file, path->line, path->column});
    uint64_t fingerprint = certificates_match(loader->store, loader->request->now);
    if (watch->is_wanted[WATCH_CERTIFICATES])
        watch->read.parts[WATCH_CERTIFICATES] = fingerprint;
    diag_set_part(loader->diag, DIAG_FILES);
}

static void read_certificates(struct loader *loader, const struct node *node)
{
    if (loader->request->without_certificates || (node == NULL && !needs_certificates(loader)))
        return;
    if (node == NULL) {
        diag_add(loader->diag, DIAG_WARNING, loader->sources.begin,
                 "no certificates are configured");
        diag_reason(loader->diag, "no sender can fetch a policy without one");
        diag_hint(loader->diag, "write \"certificates: /etc/letsencrypt/live\", or where they are");
        return;
    }
    for (size_t i = 0; i < schema_count(node); i++) {
        const struct node *item = schema_value(node, i);
        if (item != NULL)
            watch_add(&loader->configuration->watch, WATCH_CERTIFICATES,
                      sources_resolve(&loader->sources, item->at.file, item->text.data), item->at);
    }
    load_certificates(loader);
}

/* The path as this process opens it, which the configuration keeps. */
static const char *resolve(struct loader *loader, struct position at, const char *path)
{
    return arena_copy(loader->configuration->arena,
                      span_of(sources_resolve(&loader->sources, at.file, path)));
}

/* Where there is no running site to fall back to, the state folder may have one. */
static void read_state(struct loader *loader, const struct node *node)
{
    const struct load_request *request = loader->request;
    struct settings *settings = &loader->configuration->settings;
    settings->state = resolve(loader, node->at, node->text.data);
    settings->state_hangs = request->state_hangs;
    if (loader->previous != NULL)
        return;
    if (request->state_hangs)
        state_warn(settings->state, STATE_POLICIES, ETIMEDOUT, node->at, loader->diag);
    else
        loader->remembered =
            state_read(settings->state, node->at, &request->progress, loader->diag);
    loader->previous = loader->remembered;
}

/* What was served before, from the state folder or as the request says. */
static void read_history(struct loader *loader, const struct node *state)
{
    const struct load_request *request = loader->request;
    const struct settings *settings = &loader->configuration->settings;
    struct life *life = &loader->configuration->life;
    bool has_state =
        request->judge_life && state != NULL && settings->state != NULL && !request->state_hangs;
    if (!has_state && request->earlier == NULL)
        return;
    life->history = history_new();
    life->ttl = settings->dns_ttl;
    if (has_state)
        (void)history_read(life->history, settings->state, state->at, &request->progress,
                           loader->diag); /* what cannot be read is told */
    if (request->earlier != NULL)
        history_assume(life->history, request->earlier, request->now);
    life->now = history_settle(life->history,
                               request->history_now != 0 ? request->history_now : request->now);
}

/* Reads all files; after a fault it goes on, so that the rest is judged too. */
static void read_files(struct loader *loader)
{
    struct root_nodes nodes = {0};
    struct configuration *configuration = loader->configuration;
    struct settings *settings = &configuration->settings;
    if (!sources_read(&loader->sources, loader->request->path, &nodes))
        return;
    (void)settings_read(&nodes, configuration->arena, loader->diag, settings); /* counted in diag */
    configuration->watch.is_wanted[WATCH_CERTIFICATES] = nodes.watch != 1;
    configuration->watch.is_wanted[WATCH_FILES] = nodes.watch == 2;
    if (settings->acme.alpn != NULL)
        settings->acme.alpn = resolve(loader, nodes.acme->at, settings->acme.alpn);
    if (settings->acme.webroot != NULL)
        settings->acme.webroot = resolve(loader, nodes.acme->at, settings->acme.webroot);
    read_certificates(loader, nodes.certificates);
    if (nodes.state != NULL)
        read_state(loader, nodes.state);
    read_history(loader, nodes.state);
    loader->draft.previous = loader->previous;
    sources_read_included(&loader->sources, nodes.include, loader->request->extra);
    if (!configuration->watch.is_wanted[WATCH_FILES])
        configuration->watch.read.parts[WATCH_FILES] = 0;
    if (loader->draft.domain_count == 0 && diag_count(loader->diag, DIAG_FATAL) == 0) {
        diag_add(loader->diag, DIAG_WARNING, loader->sources.begin, "no domain is configured");
        diag_hint(loader->diag, "write \"domains:\" and below it \"example.com:\"");
    }
}

static void warn_expiry(struct loader *loader, const struct credential_fields *credential)
{
    const int64_t day = 86400;
    int64_t left = credential->not_after - loader->request->now;
    if (left > 0 && loader->request->now <=
                        verdict_warning_time(credential->not_before, credential->not_after,
                                             loader->configuration->settings.certificate_warning))
        return;
    const struct calendar_text date = calendar_day(credential->not_after);
    struct position at = {diag_intern(loader->diag, span_of(credential->file)), credential->line,
                          1};
    if (left <= 0) {
        diag_add(loader->diag, DIAG_ERROR, at, "the certificate expired on %s", date.text);
        diag_reason(loader->diag, "every sender refuses it; those that hold an enforced policy go "
                                  "on with it, others find none");
    } else {
        diag_add(loader->diag, DIAG_WARNING, at,
                 "the certificate expires on %s, in %" PRId64 " days", date.text, left / day);
    }
    diag_hint(loader->diag, "renew it, and see why it was not renewed before");
}

static void warn_no_credential(struct loader *loader, const char *host, bool kept,
                               struct position at)
{
    if (loader->store == NULL)
        return; /* one warning said it of all */
    diag_add(loader->diag, DIAG_WARNING, at, "no certificate with its key covers %s", host);
    diag_subject(loader->diag, "%s", host);
    if (kept)
        diag_reason(loader->diag, "the one that was served before stays in use until a restart");
    else
        diag_reason(loader->diag, "senders cannot fetch the policy until there is one");
    diag_hint(loader->diag, "get one that names %s, and put it where \"certificates:\" points",
              host);
}

/* Fills in the credentials: those of the store or else of the domain as it was. */
static void find_credentials(struct loader *loader, const struct site_domain *before,
                             struct site_fields *domain)
{
    char host[LIMIT_NAME + 1];
    bool any = false, keep = before != NULL && site_has_credential(before);
    int len =
        snprintf(host, sizeof(host), "mta-sts.%.*s", (int)domain->name.len, domain->name.data);
    if (loader->request->without_certificates || domain->is_proxied)
        return;
    diag_set_part(loader->diag, DIAG_CERTIFICATES);
    if (loader->store != NULL)
        certificates_find(loader->store, (struct span){host, (size_t)len}, domain->credentials);
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        if (domain->credentials[kind] == NULL)
            continue;
        any = true;
        warn_expiry(loader, domain->credentials[kind]);
    }
    for (size_t kind = 0; !any && keep && kind < CREDENTIAL_KINDS; kind++) {
        if (site_credential(before, kind) == NULL)
            continue;
        struct credential_fields *kept = arena_take(loader->scratch, sizeof(*kept));
        *kept = credential_fields(site_credential(before, kind));
        domain->credentials[kind] = kept;
    }
    if (!any)
        warn_no_credential(loader, host, keep, domain->at);
    diag_set_part(loader->diag, DIAG_FILES);
}

static const struct site_domain *find_previous(const struct loader *loader, struct span name)
{
    return loader->previous == NULL ? NULL : site_find_domain(loader->previous, name);
}

/* Adds the domain to the site with whatever is to be served for it. */
static void add_domain(struct loader *loader, struct site_fields *domain)
{
    const struct site_domain *before = find_previous(loader, domain->name);
    if (domain->policy == NULL && before != NULL && site_policy(before) != NULL) {
        domain->policy = site_policy(before);
        domain->state = SITE_STALE;
        if (domain->tls_rpt == NULL)
            domain->tls_rpt = site_tls_rpt(before);
    }
    find_credentials(loader, before, domain);
    site_builder_add(loader->builder, domain);
}

/* Whether a domain that the file named may be missing though nobody has removed it. */
static bool may_have_lost(const struct loader *loader, const char *file)
{
    enum source_kind kind = sources_kind(&loader->sources, file);
    return kind != SOURCE_SOUND && kind != SOURCE_GONE;
}

/* A file that has a fault may have lost sight of a domain that is its own: no other included file
 * takes it meanwhile. The file that is to have the domain from now on. */
static const char *keep_owner(struct loader *loader, struct draft_domain *domain)
{
    const struct site_domain *before =
        find_previous(loader, (struct span){domain->name, domain->name_len});
    if (before == NULL || domain->scope == 0 || strcmp(site_file(before), domain->at.file) == 0 ||
        !may_have_lost(loader, site_file(before)))
        return domain->at.file;
    diag_add(loader->diag, DIAG_ERROR, domain->at, "domain \"%s\" belongs to %s", domain->name,
             site_file(before));
    diag_reason(loader->diag,
                "that file has a fault, so it is not known whether it still names it");
    diag_hint(loader->diag, "correct or remove that file first");
    domain->refused = true;
    return site_file(before);
}

/* Domains between two words about progress: some milliseconds. */
enum { PROGRESS_DOMAINS = 1000 };

/* Of a domain whose certificate a proxy has. */
static void warn_no_proxy(struct loader *loader, struct position at)
{
    const struct settings *settings = &loader->configuration->settings;
    for (size_t i = 0; i < settings->listener_count; i++)
        if (settings->listeners[i].service == ENDPOINT_POLICIES && settings->listeners[i].plain)
            return;
    diag_add(loader->diag, DIAG_WARNING, at,
             "a proxy has the certificate, but no listener for policies has \"tls: false\"");
    diag_reason(loader->diag,
                "the proxy could pass nothing on, and with TLS no certificate is shown");
    diag_hint(loader->diag,
              "write a listener such as {address: \"127.0.0.1:8080\", tls: false}, or "
              "delete \"certificate: proxy\"");
}

static void add_drafted(struct loader *loader)
{
    struct life *life = &loader->configuration->life;
    for (size_t i = 0; i < loader->draft.domain_count; i++) {
        struct draft_domain *draft = &loader->draft.domains[i];
        if (draft->dropped)
            continue;
        if (i % PROGRESS_DOMAINS == 0)
            progress_make(&loader->request->progress, PROGRESS_GOES_ON);
        const char *file = keep_owner(loader, draft);
        const struct policy *policy = draft_policy(&loader->draft, draft);
        if (policy != NULL && life->history != NULL &&
            !life_judge(life, draft->name, policy, draft->at, loader->diag))
            policy = NULL;
        struct site_fields domain = {
            .name = {draft->name, draft->name_len},
            .state = policy == NULL ? SITE_REFUSED : SITE_SERVED,
            .policy = policy,
            .at = draft->at,
            .tls_rpt = draft->tls_rpt,
            .label = loader->configuration->settings.dns_delegate == NULL
                         ? NULL
                         : draft_label(&loader->draft, draft),
            .is_proxied = draft->is_proxied || !needs_certificates(loader),
        };
        if (draft->is_proxied)
            warn_no_proxy(loader, draft->at);
        if (file != draft->at.file)
            domain.at = (struct position){.file = file};
        add_domain(loader, &domain);
    }
    draft_judge_unused(&loader->draft);
}

/* Domains that are served now and are missing only because their file is broken, or empty: a domain
 * is removed with its file, or from among others. */
static void keep_lost(struct loader *loader)
{
    const struct site *previous = loader->previous;
    for (size_t i = 0; previous != NULL && i < site_count(previous); i++) {
        const struct site_domain *before = site_at(previous, i);
        const char *file = site_file(before);
        if (draft_has(&loader->draft, site_name_span(before)) || !may_have_lost(loader, file))
            continue;
        struct site_fields domain = {
            .name = site_name_span(before),
            .state = SITE_REFUSED,
            .at = {.file = diag_intern(loader->diag, span_of(file))},
            .is_proxied = site_is_proxied(before) || !needs_certificates(loader),
        };
        if (sources_kind(&loader->sources, file) == SOURCE_BARE) {
            diag_add(loader->diag, DIAG_ERROR, domain.at, "the file does not name %s any more",
                     site_name(before));
            diag_hint(loader->diag, "name it again, or remove the file to remove its domains");
        }
        add_domain(loader, &domain);
    }
}

/* The domains as they are, with the certificates that there are now. */
static void keep_domains(struct loader *loader)
{
    const struct site *previous = loader->previous;
    for (size_t i = 0; i < site_count(previous); i++) {
        const struct site_domain *before = site_at(previous, i);
        struct site_fields domain = site_fields(before);
        domain.at.file = diag_intern(loader->diag, span_of(domain.at.file));
        if (i % PROGRESS_DOMAINS == 0)
            progress_make(&loader->request->progress, PROGRESS_GOES_ON);
        add_domain(loader, &domain);
    }
}

static void read_everything(struct loader *loader)
{
    struct configuration *configuration = loader->configuration;
    loader->draft = (struct draft){.arena = loader->scratch, .diag = loader->diag};
    loader->sources = (struct sources){
        .arena = loader->scratch,
        .draft = &loader->draft,
        .diag = loader->diag,
        .watch = &configuration->watch,
        .progress = &loader->request->progress,
    };
    read_files(loader);
    add_drafted(loader);
    keep_lost(loader);
    configuration->files =
        sources_list(&loader->sources, configuration->arena, &configuration->file_count);
}

static void read_again(struct loader *loader)
{
    loader->configuration->settings = *loader->request->kept_settings;
    loader->configuration->watch = *loader->request->kept_watch;
    if (loader->configuration->watch.paths[WATCH_CERTIFICATES] != NULL &&
        !loader->request->without_certificates)
        load_certificates(loader);
    keep_domains(loader);
}

static void replace_listeners(struct loader *loader)
{
    struct configuration *configuration = loader->configuration;
    struct endpoint *listener = arena_take(configuration->arena, sizeof(*listener));
    *listener = (struct endpoint){.address = *loader->request->listen};
    configuration->settings.listeners = listener;
    configuration->settings.listener_count = 1;
}

/* All hosts have theirs. */
static void finish_certificates(struct loader *loader)
{
    struct configuration *configuration = loader->configuration;
    const char *first = NULL;
    diag_set_part(loader->diag, DIAG_CERTIFICATES);
    certificates_report_unused(loader->store);
    diag_set_part(loader->diag, DIAG_FILES);
    certificates_archive(loader->store, loader->builder);
    configuration->has_certificates = true;
    configuration->denied = certificates_denied(loader->store, &first);
    configuration->first_denied = arena_copy(configuration->arena, span_of(first));
}

/* Why there is no image of what was read. */
static void report_no_site(struct loader *loader, int error)
{
    if (error == EFBIG) {
        diag_add(loader->diag, DIAG_FATAL, (struct position){0},
                 "domains, policies and certificates take more than %d MiB of memory",
                 LIMIT_IMAGE / 1024 / 1024);
        diag_hint(loader->diag, "divide the domains among several servers");
    } else {
        diag_add(loader->diag, DIAG_FATAL, (struct position){0},
                 "cannot write what is to be served to its memory file: %s", strerror(error));
    }
}

static bool build(struct loader *loader)
{
    const struct load_request *request = loader->request;
    struct configuration *configuration = loader->configuration;
    struct diag *diag = loader->diag;

    configuration->arena = configuration->watch.arena = arena_new();
    loader->scratch = arena_new();
    loader->builder = site_builder_new(request->site_file == NULL ? -1 : *request->site_file);
    if (request->kept_settings == NULL)
        read_everything(loader);
    else
        read_again(loader);
    if (loader->store != NULL)
        finish_certificates(loader);
    configuration->site = site_builder_finish(loader->builder);
    loader->builder = NULL;
    if (configuration->site == NULL) {
        report_no_site(loader, errno);
        return false;
    }
    if (request->listen != NULL)
        replace_listeners(loader);
    if (configuration->life.history != NULL)
        life_judge_gone(&configuration->life, configuration->site, loader->sources.begin, diag);
    bool good = diag_count(diag, DIAG_FATAL) == 0 &&
                !(configuration->settings.strict && diag_count(diag, DIAG_ERROR) > 0);
    /* What refuses the whole is told to everybody, and everything to the zone that has all records. */
    if (good && request->concern != NULL &&
        !concern_names(request->concern, configuration->settings.dns_delegate))
        concern_restrict(request->concern, &loader->draft, configuration->site,
                         configuration->files, configuration->file_count, diag);
    return good;
}

struct configuration *configuration_load(const struct load_request *request, struct diag *diag)
{
    struct loader loader = {
        .request = request,
        .diag = diag,
        .previous = request->previous,
    };
    loader.configuration = heap_take(1, sizeof(*loader.configuration));
    bool good = build(&loader);
    if (!good) {
        configuration_free(loader.configuration);
        loader.configuration = NULL;
    }
    certificates_free(loader.store);
    site_builder_free(loader.builder);
    site_free(loader.remembered);
    sources_free(&loader.sources);
    draft_free(&loader.draft);
    arena_free(loader.scratch);
    return loader.configuration;
}

void configuration_free(struct configuration *configuration)
{
    if (configuration == NULL)
        return;
    site_free(configuration->site);
    history_free(configuration->life.history);
    arena_free(configuration->arena);
    free(configuration);
}
