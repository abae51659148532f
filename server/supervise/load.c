#include "supervise/supervisor_inside.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "files/file.h"
#include "load/configuration.h"
#include "load/history.h"
#include "load/state.h"
#include "sandbox/identity.h"
#include "sandbox/seal.h"
#include "site/site.h"

/* What a load has changed, found by comparing the site before with the one after. */
enum change {
    CHANGE_ADDED,
    CHANGE_REMOVED,
    CHANGE_POLICY,      /* another policy than before, valid and served */
    CHANGE_STALE,       /* the last valid policy from now on */
    CHANGE_REFUSED,     /* no valid policy from now on */
    CHANGE_MENDED,      /* it was stale or refused */
    CHANGE_CERTIFICATE, /* another one than before, or the first one */
};
#define CHANGES 7

_Static_assert((int)STATS_DOMAINS_REFUSED + (int)DOMAIN_SERVED == (int)STATS_DOMAINS_SERVED,
               "the gauges are in the order of the states");

enum { CHANGES_NAMED = 10 }; /* of each kind; the others are counted */

struct changes {
    size_t counts[CHANGES];
    const char *names[CHANGES][CHANGES_NAMED]; /* borrowed from the sites */
};

struct load {
    const struct supervisor *supervisor;
    struct loader *loader;
    const struct settings_image *previous; /* of what is served now; or NULL */
    struct site *before;                   /* owned; the same */
    bool is_root;                          /* the supervisor is, and so was this process */
    int64_t said;                          /* when progress was said last */
};

static void say(void *context, enum progress what)
{
    struct load *load = context;
    int64_t now = clock_monotonic_ms();
    if (what == PROGRESS_GOES_ON && now - load->said < LIMIT_LOAD_PROGRESS_MS)
        return;
    load->said = now;
    loader_say(load->loader, what);
}

/* Fills the file with the text, which is taken. */
static void hold(const struct load *load, size_t file, struct text *text)
{
    if (loader_fill(load->loader, file, heap_text(text))) {
        text_free(text);
        return;
    }
    if (errno == ENOMEM)
        heap_end();
    log_line(LOG_LEVEL_ERROR, "cannot write what was loaded to its memory file: %s",
             strerror(errno));
    _exit(LOADER_FAILED);
}

static void keep_earlier(int64_t *gauge, int64_t instant)
{
    if (*gauge == 0 || instant < *gauge)
        *gauge = instant;
}

static void describe_certificates(struct settings_image *image, const struct site_domain *domain)
{
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        const struct credential *credential = site_credential(domain, kind);
        if (credential == NULL || site_is_proxied(domain))
            continue;
        int64_t not_after = credential_fields(credential).not_after;
        int64_t from = verdict_warning_time(credential_fields(credential).not_before, not_after,
                                            image->settings.certificate_warning);
        keep_earlier(&image->gauges[STATS_NOT_AFTER], not_after);
        keep_earlier(&image->gauges[STATS_WARNING], from);
    }
}

static void describe_domains(const struct site *site, struct settings_image *image,
                             struct text *lines)
{
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        const struct policy *policy = site_policy(domain);
        enum domain_state state = verdict_state(domain);
        image->gauges[STATS_DOMAINS_REFUSED + state]++;
        describe_certificates(image, domain);
        text_printf(lines, "%s %s %s\n", site_name(domain), verdict_state_text(state),
                    policy == NULL ? "-" : policy_id(policy));
    }
}

static void note(struct changes *changes, enum change change, const struct site_domain *domain)
{
    size_t index = changes->counts[change]++;
    if (index < CHANGES_NAMED)
        changes->names[change][index] = site_name(domain);
}

/* A certificate is renewed with other dates. */
static bool has_new_credential(const struct site_domain *before, const struct site_domain *now)
{
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        const struct credential *one = site_credential(before, kind),
                                *other = site_credential(now, kind);
        if (other == NULL || one == other)
            continue;
        if (one == NULL ||
            credential_fields(one).not_before != credential_fields(other).not_before ||
            credential_fields(one).not_after != credential_fields(other).not_after)
            return true;
    }
    return false;
}

static void compare(struct changes *changes, const struct site_domain *before,
                    const struct site_domain *now)
{
    const struct policy *old = site_policy(before), *new = site_policy(now);
    if (site_state(now) == SITE_STALE && site_state(before) != SITE_STALE)
        note(changes, CHANGE_STALE, now);
    else if (site_state(now) == SITE_REFUSED && site_state(before) != SITE_REFUSED)
        note(changes, CHANGE_REFUSED, now);
    else if (site_state(now) == SITE_SERVED && site_state(before) != SITE_SERVED)
        note(changes, CHANGE_MENDED, now);
    else if (site_state(now) == SITE_SERVED && (strcmp(policy_id(old), policy_id(new)) != 0 ||
                                                !span_equal(policy_body(old), policy_body(new))))
        note(changes, CHANGE_POLICY, now);
    if (has_new_credential(before, now))
        note(changes, CHANGE_CERTIFICATE, now);
}

/* Without an earlier site nothing has changed. */
static struct changes find_changes(const struct site *before, const struct site *now)
{
    struct changes changes = {0};
    for (size_t i = 0; before != NULL && i < site_count(now); i++) {
        const struct site_domain *domain = site_at(now, i);
        const struct site_domain *old = site_find_domain(before, site_name_span(domain));
        if (old != NULL) {
            compare(&changes, old, domain);
            continue;
        }
        note(&changes, CHANGE_ADDED, domain);
        if (site_state(domain) == SITE_REFUSED)
            note(&changes, CHANGE_REFUSED, domain);
    }
    for (size_t i = 0; before != NULL && i < site_count(before); i++)
        if (site_find_domain(now, site_name_span(site_at(before, i))) == NULL)
            note(&changes, CHANGE_REMOVED, site_at(before, i));
    return changes;
}

static const char *const words[CHANGES] = {
    [CHANGE_ADDED] = "added",
    [CHANGE_REMOVED] = "removed",
    [CHANGE_POLICY] = "with another policy",
    [CHANGE_STALE] = "now stale",
    [CHANGE_REFUSED] = "now refused",
    [CHANGE_MENDED] = "valid again",
    [CHANGE_CERTIFICATE] = "with a new certificate",
};

/* Appends "2 domains added (a.example, b.example)" for each kind that there is, the first ten names and
 * how many more, with the separator between them. No name is told beyond bytes_most. */
static void print_changes(const struct changes *changes, const char *separator, size_t bytes_most,
                          struct text *out)
{
    const size_t begin = out->len;
    for (int change = 0; change < CHANGES; change++) {
        size_t count = changes->counts[change], shown = 0;
        if (count == 0)
            continue;
        text_printf(out, "%s%zu domain%s %s (", out->len == begin ? "" : separator, count,
                    count == 1 ? "" : "s", words[change]);
        while (shown < count && shown < CHANGES_NAMED &&
               out->len - begin + strlen(changes->names[change][shown]) < bytes_most) {
            text_printf(out, "%s%s", shown == 0 ? "" : ", ", changes->names[change][shown]);
            shown++;
        }
        if (shown < count)
            text_printf(out, "%s%zu more", shown == 0 ? "" : " and ", count - shown);
        text_append(out, span_of(")"));
    }
}

/* The settings image of what was loaded. */
static void print_settings(const struct load *load, const struct configuration *configuration,
                           const struct identity *identity, const struct text *told)
{
    struct text bytes = {0}, lines = {0};
    struct text changes_lines = {0}, clause = {0}; /* small; the process ends soon */
    const struct changes changes = find_changes(load->before, configuration->site);
    struct settings_image image = {
        .settings = configuration->settings,
        .watch = configuration->watch,
        .uid = identity->keep ? FILE_NOBODY : identity->uid,
        .gid = identity->keep ? FILE_NOBODY : identity->gid,
        .told = heap_text(told),
        .gauges = {[STATS_TESTED_LONG] = (int64_t)configuration->life.tested_long,
                   [STATS_HELD_AGAINST] = (int64_t)configuration->life.findings,
                   [STATS_BLOCKED] =
                       verdict_is_blocked(configuration->site, configuration->denied)},
    };
    if (load->supervisor->loading != LOAD_ALL) /* the policies were not judged again */
        for (size_t i = STATS_TESTED_LONG; i <= STATS_HELD_AGAINST; i++)
            image.gauges[i] = load->previous->gauges[i];
    describe_domains(configuration->site, &image, &lines);
    print_changes(&changes, "\n", SIZE_MAX, &changes_lines);
    print_changes(&changes, ", ", LIMIT_LOG_NAMES, &clause);
    image.domain_lines = heap_text(&lines);
    image.change_lines = heap_text(&changes_lines);
    image.change_clause = heap_text(&clause);
    settings_image_print(&image, &bytes);
    hold(load, LOADER_SETTINGS, &bytes);
    text_free(&lines);
}

/* What is to be in the state folder from now on. What senders may hold: while both sites are served, and when
 * the former is not any more. */
static void print_state(const struct load *load, const struct configuration *configuration)
{
    struct text bytes = {0};
    struct history *history = configuration->life.history;
    const struct site *sites[] = {configuration->site, load->before};
    size_t count = load->before == NULL ? 1 : 2;
    int64_t now = configuration->life.now;
    if (configuration->settings.state != NULL) {
        state_print(configuration->site, &bytes);
        hold(load, LOADER_STATE + SAVER_POLICIES, &bytes);
    }
    if (history == NULL || history->is_unread)
        return; /* what could not be read must not be replaced */
    history_serve(history, sites, count, now);
    history_print(history, STATE_PROMISES, &bytes);
    hold(load, LOADER_STATE + SAVER_PROMISES, &bytes);
    if (count == 1)
        return;
    history_serve(history, sites, 1, now + LIMIT_SWITCH);
    history_print(history, STATE_PROMISES, &bytes);
    hold(load, LOADER_STATE + SAVER_PROMISES_AFTER, &bytes);
}

/* False, logged, when there is no such user. */
static bool find_workers_user(const struct load *load, const struct configuration *configuration,
                              struct identity *ret_identity)
{
    if (load->supervisor->loading == LOAD_ALL)
        return identity_resolve(configuration->settings.user, load->is_root, ret_identity);
    assert(load->previous != NULL); /* else all is loaded */
    *ret_identity = (struct identity){
        .uid = load->previous->uid,
        .gid = load->previous->gid,
    };
    return true;
}

static struct load_request make_request(struct load *load)
{
    const struct supervisor *supervisor = load->supervisor;
    struct load_request request = {
        .path = supervisor->options->path,
        .listen = supervisor->options->listen,
        .now = time(NULL),
        .judge_life = true,
        .history_now = clock_steady_time(&supervisor->clock),
        .previous = load->before,
        .site_file = &load->loader->loaded.files[LOADER_SITE],
        .progress = {say, load},
        .state_hangs = supervisor->state_hangs,
    };
    if (supervisor->loading != LOAD_ALL) {
        request.kept_settings = &load->previous->settings;
        request.kept_watch = &load->previous->watch;
    }
    return request;
}

static void load_files(struct load *load)
{
    struct loader *loader = load->loader;
    const struct span nothing = {0};
    struct span known = load->previous == NULL ? nothing : load->previous->told;
    struct text told = {0};
    struct identity identity;
    struct load_request request = make_request(load);
    struct diag *diag = diag_new();
    struct configuration *configuration = configuration_load(&request, diag);
    if (configuration != NULL && load->previous == NULL)
        log_set_style(&configuration->settings.log);
    report_diagnostics(diag, configuration == NULL, known, load->supervisor->loading == LOAD_ALL,
                       &told);
    loader->errors = diag_count(diag, DIAG_FATAL) + diag_count(diag, DIAG_ERROR);
    loader->warnings = diag_count(diag, DIAG_WARNING);
    bool good = configuration != NULL && find_workers_user(load, configuration, &identity);
    if (good) {
        print_settings(load, configuration, &identity, &told);
        print_state(load, configuration);
    }
    log_copy(NULL, 0);
    if (!loader_tell(loader, good ? LOADER_DONE : LOADER_REFUSED))
        log_line(LOG_LEVEL_ERROR, "cannot hand over what was loaded: %s", strerror(errno));
}

void load_run(void *context, struct loader *loader)
{
    const struct supervisor *supervisor = context;
    const struct generation *current = supervisor->current;
    struct load load = {.supervisor = supervisor, .loader = loader, .is_root = geteuid() == 0};
    stats_free(supervisor->stats);
    challenges_free(supervisor->watcher.challenger.challenges);
    memory_bound();
    if (!seal_reader(SYSCALLS_LOADER, getppid()))
        return;
    if (current != NULL) {
        const struct watch *watch = &current->loaded.image->watch;
        /* The certificates may have changed while the configuration had a fault. */
        if (supervisor->loading == LOAD_NEW_CERTIFICATES &&
            watch_now(watch).parts[WATCH_CERTIFICATES] == watch->read.parts[WATCH_CERTIFICATES]) {
            (void)loader_tell(loader, LOADER_UNCHANGED); /* else the supervisor is gone */
            _exit(0);
        }
        load.previous = current->loaded.image;
        load.before = site_open(current->loaded.files[LOADER_SITE]);
        if (load.before == NULL) {
            log_line(LOG_LEVEL_ERROR, "cannot open what is served now: %s", strerror(errno));
            return;
        }
    }
    log_copy(&loader->faults, LIMIT_STATUS_FAULTS);
    load_files(&load);
    _exit(0);
}
