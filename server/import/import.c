#include "import/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/heap.h"
#include "base/limits.h"
#include "files/file.h"
#include "policy/name.h"

static const char PREFIX[] = "mta-sts.";

/* Where web servers have their configuration. */
static const char *const folders[] = {
    "/etc/apache2",  "/etc/httpd",   "/etc/nginx",   "/etc/caddy",
    "/etc/lighttpd", "/etc/haproxy", "/etc/traefik",
};
enum { FOLDERS = sizeof(folders) / sizeof(folders[0]) };

void import_free(struct import *import)
{
    for (size_t i = 0; i < import->count; i++) {
        inspection_free(import->hosts[i].inspection);
        policy_free(import->hosts[i].policy);
    }
    free(import->hosts);
    table_free(&import->by_domain);
    import_free_paths(&import->searched);
    import_free_paths(&import->certificates);
    certificates_free(import->store);
    diag_free(import->certificate_diag);
    arena_free(import->arena);
    diag_free(import->diag);
}

const char *import_shown(struct import *import, struct span bytes)
{
    struct text shown = {0};
    text_escape(&shown, bytes, 100);
    const char *copy = arena_copy(import->arena, heap_text(&shown));
    text_free(&shown);
    return copy;
}

static struct span path_key(const void *items, size_t index)
{
    const char *const *paths = items;
    return span_of(paths[index]);
}

void import_add_path(struct import *import, struct import_paths *paths, const char *path)
{
    struct span key = span_of(path);
    if (table_find(&paths->by_text, key, path_key, paths->items) != TABLE_NONE)
        return;
    array_room(&paths->items, paths->count, &paths->capacity, sizeof(*paths->items));
    table_add(&paths->by_text, key, paths->count);
    paths->items[paths->count++] = arena_copy(import->arena, key);
}

void import_free_paths(struct import_paths *paths)
{
    free(paths->items);
    table_free(&paths->by_text);
}

static struct span domain_key(const void *items, size_t index)
{
    const struct import_host *hosts = items;
    return span_of(hosts[index].domain);
}

struct import_host *import_add_host(struct import *import, struct span domain, struct position at,
                                    enum import_sure sure)
{
    struct name name, meant;
    if (span_begins_fold(domain, span_of(PREFIX)))
        domain = span_skip(domain, strlen(PREFIX));
    enum name_fault fault = name_parse(domain, NAME_HOST, &name);
    if (fault == NAME_TRAILING_DOT && name_suggest(domain, NAME_HOST, &name))
        fault = NAME_OK; /* in a configuration it does no harm */
    if (fault == NAME_OK && name.len + strlen(PREFIX) > LIMIT_NAME)
        fault = NAME_LONG;
    if (fault != NAME_OK && sure == IMPORT_NAMED) {
        diag_add(import->diag, DIAG_ERROR, at, "domain \"%s\" %s", import_shown(import, domain),
                 name_fault_text(fault));
        if (name_suggest(domain, NAME_HOST, &meant))
            diag_hint(import->diag, "write %s", meant.text);
    }
    if (fault != NAME_OK)
        return NULL;
    struct span key = {name.text, name.len};
    size_t known = table_find(&import->by_domain, key, domain_key, import->hosts);
    if (known != TABLE_NONE) {
        struct import_host *host = &import->hosts[known];
        if (sure > host->sure)
            host->at = at;
        host->sure = sure > host->sure ? sure : host->sure;
        return host;
    }
    array_room(&import->hosts, import->count, &import->capacity, sizeof(*import->hosts));
    table_add(&import->by_domain, key, import->count);
    import->hosts[import->count] =
        (struct import_host){.domain = arena_copy(import->arena, key), .at = at, .sure = sure};
    return &import->hosts[import->count++];
}

void import_inspect(struct import *import, struct import_host *host, const char *from)
{
    const char *file = diag_intern(import->diag, span_of(from));
    host->inspection = inspection_new(host->bytes, file);
    inspection_report(host->inspection, true, import->diag);
    if (host->inspection->needs_decision) {
        host->problem = "what it means has to be decided";
        return;
    }
    /* The inspection has told everything, and better, for it knows the bytes. */
    struct diag *told = diag_new();
    host->policy = policy_new(&host->inspection->fields, told);
    diag_free(told);
}

static void read_file(struct import *import, struct import_host *host)
{
    struct text bytes = {0};
    const char *file = diag_intern(import->diag, span_of(host->file));
    if (file_read(host->file, LIMIT_IMPORT_FILE, &bytes, NULL)) {
        host->bytes = (struct span){arena_copy(import->arena, heap_text(&bytes)), bytes.len};
        import_inspect(import, host, host->file);
    } else {
        host->problem = arena_printf(import->arena, "its file cannot be read: %s", strerror(errno));
        diag_add(import->diag, DIAG_ERROR, (struct position){.file = file},
                 "the policy of %s cannot be read: %s", host->domain, strerror(errno));
    }
    text_free(&bytes);
}

/* "DOMAIN" or "DOMAIN=FILE"; with --search also a path, for a shell may have made many of one. */
static int take_operand(struct import *import, const char *operand, struct import_paths *paths)
{
    const char *equals = strchr(operand, '=');
    struct span domain = {operand, equals == NULL ? strlen(operand) : (size_t)(equals - operand)};
    struct name name;
    if (span_begins_fold(domain, span_of(PREFIX)))
        domain = span_skip(domain, strlen(PREFIX));
    if (equals == NULL && paths->count > 0 && strchr(operand, '/') != NULL &&
        strstr(operand, "://") == NULL) {
        import_add_path(import, paths, operand);
        return STATUS_GOOD;
    }
    bool is_domain = name_parse(domain, NAME_HOST, &name) == NAME_OK;
    if (equals == NULL ? !is_domain : domain.len == 0 || equals[1] == '\0')
        return command_misused("import", "not of the form DOMAIN or DOMAIN=FILE:", operand, NULL);
    const char *place =
        equals == NULL
            ? arena_printf(import->arena, "https://mta-sts.%s/.well-known/mta-sts.txt", name.text)
            : equals + 1;
    struct position at = {.file = diag_intern(import->diag, span_of(place))};
    size_t before = import->count;
    struct import_host *host = import_add_host(import, domain, at, IMPORT_NAMED);
    if (host != NULL && import->count == before && equals != NULL)
        diag_add(import->diag, DIAG_WARNING, at, "%s is named twice; the first is used",
                 host->domain);
    else if (host != NULL && import->count > before && equals != NULL)
        host->file = equals + 1;
    return STATUS_GOOD;
}

/* Takes the operands and searches for names. */
static int gather(struct import *import)
{
    const struct command_line *line = import->line;
    struct import_paths paths = {0};
    int status = STATUS_GOOD;
    for (size_t i = 0; i < line->search.count; i++)
        import_add_path(import, &paths, line->search.items[i]);
    for (size_t i = 0; i < line->operand_count && status == STATUS_GOOD; i++)
        status = take_operand(import, line->operands[i], &paths);
    if (status == STATUS_GOOD && line->operand_count == 0 && paths.count == 0)
        import_search(import, folders, FOLDERS, true);
    else if (status == STATUS_GOOD)
        import_search(import, paths.items, paths.count, false);
    import_free_paths(&paths);
    return status;
}

/* What was found and is not asked for. */
static void report_rest(struct import *import)
{
    size_t named = 0;
    for (size_t i = 0; i < import->count; i++) {
        const struct import_host *host = &import->hosts[i];
        named += host->sure > IMPORT_MENTIONED ? 1 : 0;
        if (host->sure == IMPORT_MENTIONED) {
            diag_add(import->diag, DIAG_NOTE, host->at,
                     "mta-sts.%s stands in a comment, and is left out", host->domain);
            diag_hint(import->diag, "name the domain if it has a policy: import %s", host->domain);
        }
    }
    if (named > 0)
        return;
    diag_add(import->diag, DIAG_ERROR, (struct position){.file = "mta-sts-httpd"},
             "no name of a policy host (mta-sts.*) was found");
    diag_hint(import->diag, "name the domains, import DOMAIN..., or what is to be searched: "
                            "--search PATH");
}

/* Where ACME clients keep certificates, all of which are below the folder. */
static const char *const acme_folders[] = {
    "/etc/letsencrypt/live",
    "/var/lib/dehydrated/certs",
    "/etc/dehydrated/certs",
    "/root/.acme.sh",
    "/root/.lego/certificates",
    "/etc/ssl/uacme",
    "/var/lib/caddy/.local/share/caddy/certificates",
    "/opt/mailcow-dockerized/data/assets/ssl",
};
enum { ACME_FOLDERS = sizeof(acme_folders) / sizeof(acme_folders[0]) };

static void add_certificate_name(void *context, struct span name, struct position at)
{
    struct import *import = context;
    at.file = diag_intern(import->diag, span_of(at.file));
    if (span_begins_fold(name, span_of("mta-sts.")))
        (void)import_add_host(import, name, at, IMPORT_LIKELY);
}

static void read_certificates(struct import *import, bool adds_hosts)
{
    /* The files were not named for this, so that their faults are not reported. */
    import->certificate_diag = diag_new();
    import->store = certificates_new(import->certificate_diag, NULL);
    for (size_t i = 0; i < import->searched.count; i++)
        certificates_read(import->store, import->searched.items[i], (struct position){0});
    for (size_t i = 0; i < ACME_FOLDERS; i++)
        if (access(acme_folders[i], F_OK) == 0)
            certificates_read(import->store, acme_folders[i], (struct position){0});
    certificates_match(import->store, import->line->now);
    if (adds_hosts)
        certificates_names(import->store, add_certificate_name, import);
}

/* The file, or the folder of the ACME client that it is in; absolute. */
static void list_certificate(struct import *import, const char *path)
{
    const char *live = strstr(path, "/live/");
    if (live != NULL)
        path = arena_printf(import->arena, "%.*s", (int)(live - path) + 5, path);
    for (size_t i = 0; i < ACME_FOLDERS; i++)
        if (strncmp(path, acme_folders[i], strlen(acme_folders[i])) == 0 &&
            path[strlen(acme_folders[i])] == '/')
            path = acme_folders[i];
    if (path[0] != '/') {
        char *here = getcwd(NULL, 0);
        while (strncmp(path, "./", 2) == 0)
            path += 2;
        path = arena_printf(import->arena, "%s/%s", here == NULL ? "" : here, path);
        free(here);
    }
    import_add_path(import, &import->certificates, path);
}

static void find_certificates(struct import *import)
{
    for (size_t i = 0; i < import->count; i++) {
        struct certificates_place place;
        struct import_host *host = &import->hosts[i];
        if (host->leaf.data == NULL || host->policy == NULL)
            continue;
        bool found = certificates_locate(import->store, host->leaf, &place);
        for (size_t j = 0; found && j < place.count; j++)
            list_certificate(import, place.files[j]);
        host->certificate = found ? place.files[0] : NULL;
        if (found && place.has_key)
            continue;
        diag_add(import->diag, DIAG_WARNING, host->at,
                 found ? "mta-sts.%s: the key of its certificate is not found"
                       : "mta-sts.%s: the certificate that the server shows is not found here",
                 host->domain);
        diag_hint(import->diag, "add where it is under \"certificates:\"");
    }
}

static int import_all(struct import *import, struct text *out)
{
    struct text said = {0};
    int status = gather(import);
    if (status != STATUS_GOOD)
        return status;
    read_certificates(import, import->line->search.count > 0 || import->line->operand_count == 0);
    for (size_t i = 0; i < import->count; i++)
        if (import->hosts[i].file != NULL)
            read_file(import, &import->hosts[i]);
    import_ask(import);
    find_certificates(import);
    report_rest(import);
    import_write(import, out, &said);
    (void)command_complain_lines(&said); /* the exit status says it too */
    return diag_count(import->diag, DIAG_ERROR) == 0 && diag_count(import->diag, DIAG_FATAL) == 0
               ? STATUS_GOOD
               : STATUS_WRONG;
}

int command_import(const struct command_line *line, struct text *out)
{
    struct import import = {.line = line, .diag = diag_new(), .arena = arena_new()};
    int status = import_all(&import, out);
    import_free(&import);
    return status;
}
