#include "command/import_hosts.h"

#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "policy/name.h"

static const char PREFIX[] = "mta-sts.";

void import_hosts_free(struct import_hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        text_free(&hosts->items[i].bytes);
        inspection_free(hosts->items[i].inspection);
        policy_free(hosts->items[i].policy);
    }
    table_free(&hosts->by_domain);
    free(hosts->items);
    *hosts = (struct import_hosts){0};
}

bool import_is_host(struct span name)
{
    return span_begins_fold(name, span_of(PREFIX)) && name.len > strlen(PREFIX);
}

const char *import_format(struct import_files *files, const char *format, ...)
{
    char *words = NULL;
    va_list arguments;
    va_start(arguments, format);
    int len = vasprintf(&words, format, arguments);
    va_end(arguments);
    const char *copy = len < 0 ? NULL : arena_copy(files->arena, (struct span){words, (size_t)len});
    if (len >= 0)
        free(words);
    files->shortage = files->shortage || copy == NULL;
    return copy == NULL ? "" : copy;
}

struct import_answer import_problem(struct position at, const char *problem, const char *reason,
                                    const char *fix)
{
    return (struct import_answer){
        .kind = IMPORT_PROBLEM, .at = at, .problem = problem, .reason = reason, .fix = fix};
}

struct import_answer import_redirect(struct import_files *files, struct position at,
                                     struct span where)
{
    return import_problem(
        at,
        where.len == 0 ? "the policy is answered with a redirect"
                       : import_format(files, "the policy is answered with a redirect to %.*s",
                                       (int)where.len, where.data),
        "no sender follows one (RFC 8461 section 3.3)",
        "import the policy from where it is: DOMAIN=FILE");
}

struct import_answer import_proxied(struct position at)
{
    return import_problem(at, "the policy is answered by another server behind this one", NULL,
                          "import what it answers: --url HOST, or from a file: DOMAIN=FILE");
}

const struct import_path *import_path_add(struct import_files *files, struct span path,
                                          const struct import_path *list)
{
    struct import_path *one = arena_take(files->arena, sizeof(*one));
    const char *resolved = import_files_resolve(files, path);
    if (one == NULL || resolved == NULL) {
        files->shortage = true;
        return list;
    }
    *one = (struct import_path){list, resolved};
    return one;
}

bool import_matches(struct import_files *files, const struct word *pattern, bool ignore_case)
{
    regex_t regex;
    int flags = REG_EXTENDED | REG_NOSUB | (ignore_case ? REG_ICASE : 0);
    if (regcomp(&regex, pattern->text.data, flags) != 0) {
        diag_add(files->diag, DIAG_WARNING, pattern->at,
                 "the regular expression \"%s\" is not understood", pattern->text.data);
        diag_hint(files->diag, "see whether it matches " IMPORT_PATH "; it is taken not to");
        return false;
    }
    bool found = regexec(&regex, IMPORT_PATH, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

void import_hosts_report_pattern(struct import_hosts *hosts, const struct word *name)
{
    struct diag *diag = hosts->files->diag;
    diag_add(diag, DIAG_ERROR, name->at, "the name \"%s\" stands for domains that are not named",
             name->text.data);
    diag_hint(diag, "name each of them: import DOMAIN=FILE, or import --url DOMAIN");
}

static struct span domain_key(const void *items, size_t index)
{
    const struct import_host *hosts = items;
    return span_of(hosts[index].domain);
}

/* Where a name has two virtual hosts, the one for TLS is what senders reach; of two such the first,
 * by the rules of nginx and Apache alike. */
static void add_again(struct import_hosts *hosts, struct import_host *first,
                      const struct import_host *host)
{
    struct diag *diag = hosts->files->diag;
    if (host->is_tls && !first->is_tls) {
        *first = *host;
    } else if (host->is_tls == first->is_tls) {
        diag_add(diag, DIAG_WARNING, host->at, "mta-sts.%s is there twice", host->domain);
        diag_reason(diag, "the first one is taken, as the web server does");
        diag_related(diag, first->at, "the first one is here");
    }
}

void import_hosts_add(struct import_hosts *hosts, struct span name, struct import_host host)
{
    struct diag *diag = hosts->files->diag;
    struct name valid;
    struct span domain = import_is_host(name) ? span_skip(name, strlen(PREFIX)) : name;
    enum name_fault fault = name_parse(domain, NAME_HOST, &valid);
    if (fault == NAME_TRAILING_DOT && name_suggest(domain, NAME_HOST, &valid))
        fault = NAME_OK; /* in a configuration it does no harm */
    if (fault == NAME_OK && valid.len + strlen(PREFIX) > LIMIT_NAME)
        fault = NAME_LONG;
    if (fault != NAME_OK) {
        diag_add(diag, DIAG_ERROR, host.at, "domain \"%.*s\" %s",
                 domain.len < 256 ? (int)domain.len : 256, domain.data, name_fault_text(fault));
        if (name_suggest(domain, NAME_HOST, &valid))
            diag_hint(diag, "write %s", valid.text);
        return;
    }
    struct span key = {valid.text, valid.len};
    host.domain = arena_copy(hosts->files->arena, key);
    size_t known = table_find(&hosts->by_domain, key, domain_key, hosts->items);
    if (known != TABLE_NONE && host.domain != NULL) {
        add_again(hosts, &hosts->items[known], &host);
        return;
    }
    void *items = array_room(hosts->items, hosts->count, &hosts->capacity, sizeof(*hosts->items));
    if (items != NULL)
        hosts->items = items;
    if (items == NULL || host.domain == NULL || !table_add(&hosts->by_domain, key, hosts->count)) {
        hosts->files->shortage = true;
        return;
    }
    hosts->items[hosts->count++] = host;
}

static bool read_file(struct import_hosts *hosts, struct import_host *host, const char **ret_file)
{
    struct diag *diag = hosts->files->diag;
    const char *real = import_files_real(hosts->files, host->answer.path);
    if (real == NULL)
        return false;
    *ret_file = diag_intern(diag, span_of(real));
    if (import_files_read(hosts->files, host->answer.path, &host->bytes))
        return true;
    int reason = errno;
    if (host->answer.at.file == NULL)
        diag_add(diag, DIAG_ERROR, (struct position){.file = *ret_file},
                 "the policy of %s cannot be read: %s", host->domain, strerror(reason));
    else
        diag_add(diag, DIAG_ERROR, host->answer.at, "the policy of %s, %s, cannot be read: %s",
                 host->domain, real, strerror(reason));
    if (reason == ENOENT && hosts->files->root == NULL)
        diag_hint(diag,
                  "if the files are a copy from another machine, name its folder: --root DIR");
    return false;
}

static void read_host(struct import_hosts *hosts, struct import_host *host)
{
    struct diag *diag = hosts->files->diag;
    const struct import_answer *answer = &host->answer;
    const char *file = NULL;
    if (answer->kind == IMPORT_PROBLEM) {
        diag_add(diag, DIAG_ERROR, answer->at, "%s: %s", host->domain, answer->problem);
        if (answer->reason != NULL)
            diag_reason(diag, "%s", answer->reason);
        if (answer->fix != NULL)
            diag_hint(diag, "%s", answer->fix);
        return;
    }
    if (answer->kind == IMPORT_FETCHED)
        file = answer->at.file;
    if (answer->kind == IMPORT_TEXT || answer->kind == IMPORT_FETCHED)
        text_append(&host->bytes, answer->text);
    else if (!read_file(hosts, host, &file))
        return;
    host->inspection = inspection_new((struct span){host->bytes.data, host->bytes.len}, file);
    if (host->inspection == NULL || host->bytes.failed) {
        hosts->files->shortage = true;
        return;
    }
    if (answer->kind == IMPORT_TEXT)
        inspection_move(host->inspection, answer->at);
    inspection_report(host->inspection, true, diag);
    const struct policy_fields fields = inspection_fields(host->inspection);
    if (inspection_needs_decision(host->inspection))
        return;
    /* The inspection has told everything, and better, for it knows the bytes. */
    struct diag *told = diag_new();
    if (told != NULL)
        host->policy = policy_new(&fields, told);
    hosts->files->shortage = hosts->files->shortage || host->policy == NULL;
    diag_free(told);
}

void import_hosts_read(struct import_hosts *hosts)
{
    struct diag *diag = hosts->files->diag;
    for (size_t i = 0; i < hosts->count; i++) {
        struct import_host *host = &hosts->items[i];
        read_host(hosts, host);
        if (!host->is_tls) {
            diag_add(diag, DIAG_WARNING, host->at,
                     "mta-sts.%s has only a virtual host that is not for TLS", host->domain);
            diag_reason(diag, "senders fetch a policy over HTTPS alone (RFC 8461 section 3.3)");
            diag_hint(diag, "see where its certificate is, and name that under \"certificates:\"");
        }
    }
}
