#include "import/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/heap.h"
#include "base/limits.h"
#include "files/file.h"
#include "files/include.h"
#include "files/tree.h"
#include "policy/name.h"
#include "probe/report.h"

static const char PREFIX[] = "mta-sts.";

/* Where web servers have their configuration. */
static const char *const folders[] = {
    "/etc/apache2",  "/etc/httpd",   "/etc/nginx",   "/etc/caddy",
    "/etc/lighttpd", "/etc/haproxy", "/etc/traefik",
};
enum { FOLDERS = sizeof(folders) / sizeof(folders[0]) };

static void free_paths(struct import_paths *paths)
{
    free(paths->items);
    table_free(&paths->by_text);
}

void import_free(struct import *import)
{
    for (size_t i = 0; i < import->count; i++) {
        inspection_free(import->hosts[i].inspection);
        policy_free(import->hosts[i].policy);
    }
    free(import->hosts);
    table_free(&import->by_domain);
    free_paths(&import->searched);
    free_paths(&import->certificates);
    certificates_free(import->store);
    diag_free(import->certificate_diag);
    arena_free(import->arena);
    diag_free(import->diag);
}

/* Foreign bytes for a message: escaped, and cut when they are many. */
static struct report_words shown(struct span bytes)
{
    return report_show(bytes, 100);
}

TABLE_KEY(path_key, const char *, span_of(*item));

void import_add_path(struct import *import, struct import_paths *paths, const char *path)
{
    struct span key = span_of(path);
    if (table_find(&paths->by_text, key, path_key, paths->items) != TABLE_NONE)
        return;
    table_add(&paths->by_text, key, paths->count);
    *ARRAY_ADD(paths->items, paths->count) = arena_copy(import->arena, key);
}

TABLE_KEY(domain_key, struct import_host, span_of(item->domain));

static struct import_host *add_host(struct import *import, struct span domain, struct position at,
                                    enum import_sure sure)
{
    struct name name, meant;
    if (span_begins_fold(domain, span_of(PREFIX)))
        domain = span_skip(domain, strlen(PREFIX));
    enum name_fault fault = name_parse(domain, NAME_DOMAIN, &name);
    if (fault == NAME_TRAILING_DOT && name_suggest(domain, NAME_DOMAIN, &name))
        fault = NAME_OK; /* in a configuration it does no harm */
    if (fault != NAME_OK && sure == IMPORT_NAMED) {
        diag_add(import->diag, DIAG_ERROR, at, "domain \"%s\" %s", shown(domain).text,
                 name_faults[fault].text);
        if (name_suggest(domain, NAME_DOMAIN, &meant))
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
    array_room(&import->hosts, import->count, sizeof(*import->hosts));
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

struct search {
    struct import *import;
    struct import_paths files; /* to be read; read in this order */
    struct import_paths seen;  /* that were read, each by the name that no link leads to */
    size_t bytes;              /* that were read */
    size_t reports;            /* of names that cannot be listed */
    bool is_optional;
    const char *path; /* of the file that is read now */
    const char *file; /* the same, interned */
};

static const char NAME_THEM[] = "name the domains: import DOMAIN...";

static void report_unsearched(struct search *search, const char *path, const char *why,
                              const char *hint)
{
    struct diag *diag = search->import->diag;
    struct position at = {.file = diag_intern(diag, span_of(path))};
    diag_add(diag, DIAG_ERROR, at, "cannot be searched: %s", why);
    diag_hint(diag, "%s", hint);
}

static void add_file(void *context, const struct tree_file *file)
{
    struct search *search = context;
    import_add_path(search->import, &search->files, file->path);
}

static void report_failure(void *context, const struct tree_failure *failure)
{
    struct search *search = context;
    if (search->is_optional && failure->error == ENOENT)
        return;
    const char *why = failure->trouble == TREE_UNREADABLE ? strerror(failure->error)
                      : failure->trouble == TREE_ODD      ? "it is neither a file nor a folder"
                      : failure->trouble == TREE_DEEP     ? "its folders are nested too deeply"
                                                          : "there are too many files";
    report_unsearched(search, failure->path, why, NAME_THEM);
}

static void walk(struct search *search, const char *path)
{
    struct tree tree = {.visit = add_file, .fail = report_failure, .context = search};
    tree_walk(&tree, path);
    text_free(&tree.path);
}

/* The path that is meant in the file that is read now: relative to its folder, or to one above. NULL
 * when there is none. Of a pattern the folder counts, for it may be empty today. */
static const char *resolve(struct search *search, struct span path)
{
    struct import *import = search->import;
    const char *slash = strrchr(search->path, '/');
    struct span folder = {search->path, slash == NULL ? 0 : (size_t)(slash - search->path) + 1};
    if (path.len > 0 && path.data[0] == '/')
        folder.len = 0;
    for (;;) {
        const char *found = arena_printf(import->arena, "%.*s%.*s", (int)folder.len, folder.data,
                                         (int)path.len, path.data);
        const char *star = strpbrk(found, "*?[");
        const char *end = star == NULL ? NULL : memrchr(found, '/', (size_t)(star - found));
        const char *there =
            end == NULL ? found : arena_printf(import->arena, "%.*s/", (int)(end - found), found);
        if (access(there, F_OK) == 0)
            return found;
        if (folder.len <= (search->path[0] == '/' ? 1 : 0))
            return NULL;
        do
            folder.len--;
        while (folder.len > 0 && folder.data[folder.len - 1] != '/');
    }
}

static void add_included(void *context, const char *path, int error)
{
    if (error == 0)
        walk(context, path);
}

/* More configuration, wherever it is. The import of Caddy may name a part of the same file. */
static void include(struct search *search, const struct import_word *word, struct position at)
{
    uint64_t fingerprint = 0;
    struct diag *diag = search->import->diag;
    const char *pattern = resolve(search, word->text);
    bool is_path = memchr(word->text.data, '/', word->text.len) != NULL ||
                   memchr(word->text.data, '.', word->text.len) != NULL;
    if (pattern != NULL && strpbrk(pattern, "*?[") != NULL)
        (void)include_find(pattern, add_included, search, &fingerprint); /* none is right, too */
    else if (pattern != NULL)
        walk(search, pattern);
    else if (is_path) {
        bool is_variable = memchr(word->text.data, '$', word->text.len) != NULL;
        diag_add(diag, is_variable ? DIAG_ERROR : DIAG_WARNING, at,
                 "the included file is not found, and is not searched: \"%s\"",
                 shown(word->text).text);
        diag_hint(diag, "search it too, if it names hosts: --search PATH");
    }
}

static void report_many(struct search *search, const struct import_word *word, struct position at)
{
    struct diag *diag = search->import->diag;
    enum diag_level level = word->found == IMPORT_MANY ? DIAG_ERROR : DIAG_NOTE;
    if (strstr(search->path, "-available/") != NULL)
        level = DIAG_NOTE; /* it is not enabled: else it was read by its other name */
    if (search->reports++ > LIMIT_IMPORT_REPORTS)
        return;
    if (search->reports > LIMIT_IMPORT_REPORTS) {
        level = DIAG_ERROR;
        diag_add(diag, level, at, "more than %d names stand for hosts that cannot be listed",
                 LIMIT_IMPORT_REPORTS);
    } else if (word->text.len == 0) {
        diag_add(diag, level, at, "this virtual host answers for hosts that cannot be listed");
    } else {
        diag_add(diag, level, at, "the name \"%s\" stands for hosts that cannot be listed",
                 shown(word->text).text);
    }
    diag_hint(diag, level == DIAG_NOTE ? "if policies are among them, %s" : "%s", NAME_THEM);
}

/* What the scan has found, in the file that is read now. */
static void take_word(void *context, const struct import_word *word)
{
    struct search *search = context;
    struct import *import = search->import;
    struct position at = {search->file, word->line, word->column};
    const char *path = NULL;
    struct name name;
    if (word->found == IMPORT_NAME && name_parse(word->text, NAME_HOST, &name) != NAME_OK) {
        diag_add(import->diag, DIAG_NOTE, at, "mta-sts.%s cannot be a host name, and is skipped",
                 shown(word->text).text);
        return;
    }
    switch (word->found) {
    case IMPORT_NAME:
    case IMPORT_HOST_NAME:
    case IMPORT_COVERED:
    case IMPORT_COMMENT:
        (void)add_host(import, word->text, at,
                       word->found == IMPORT_COVERED   ? IMPORT_LIKELY
                       : word->found == IMPORT_COMMENT ? IMPORT_MENTIONED
                                                       : IMPORT_NAMED);
        break;
    case IMPORT_MANY:
    case IMPORT_DEFAULT:
        report_many(search, word, at);
        break;
    case IMPORT_PATH:
        path = resolve(search, word->text);
        if (path != NULL)
            import_add_path(import, &import->searched, path);
        break;
    case IMPORT_INCLUDE:
        include(search, word, at);
        break;
    }
}

/* False when the file was read by another name. */
static bool is_new(struct search *search, const char *path)
{
    size_t before = search->seen.count;
    char *real = realpath(path, NULL);
    import_add_path(search->import, &search->seen, real == NULL ? path : real);
    free(real);
    return search->seen.count > before;
}

static void report_unread(struct search *search, const char *path, int error)
{
    const char *dot = strrchr(path, '.');
    bool is_key = dot != NULL && (strcmp(dot, ".key") == 0 || strcmp(dot, ".pem") == 0);
    if (!is_key || error != EACCES) /* no host is named there */
        report_unsearched(search, path, error == EFBIG ? "it is too large" : file_error(error),
                          error == EACCES ? "run this as root" : NAME_THEM);
}

static void search_file(struct search *search, const char *path)
{
    struct text bytes = {0};
    size_t left = LIMIT_IMPORT_BYTES - search->bytes;
    size_t most = left < LIMIT_IMPORT_FILE ? left : LIMIT_IMPORT_FILE;
    if (!file_read(path, most, &bytes)) {
        if (errno != ENOENT)
            report_unread(search, path, errno);
    } else if (bytes.len > 0 && is_new(search, path)) {
        search->bytes += bytes.len;
        search->path = path;
        search->file = diag_intern(search->import->diag, span_of(path));
        if (memmem(bytes.data, bytes.len, "-----BEGIN ", 11) != NULL)
            import_add_path(search->import, &search->import->searched, path);
        else if (memchr(bytes.data, '\0', bytes.len) == NULL) /* else it is no text */
            import_scan((struct span){bytes.data, bytes.len}, take_word, search);
    }
    text_free(&bytes);
}

void import_search(struct import *import, const char *const *paths, size_t count, bool is_optional)
{
    struct search search = {.import = import, .is_optional = is_optional};
    for (size_t i = 0; i < count; i++)
        walk(&search, paths[i]);
    search.is_optional = false;
    /* What is in sites-available comes last: what is enabled of it was read by another name then. */
    size_t before = SIZE_MAX;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < search.files.count; i++)
            if (i >= before ||
                (strstr(search.files.items[i], "-available/") != NULL) == (pass == 1))
                search_file(&search, search.files.items[i]);
        before = search.files.count;
    }
    free_paths(&search.files);
    free_paths(&search.seen);
}

static void read_file(struct import *import, struct import_host *host)
{
    struct text bytes = {0};
    const char *file = diag_intern(import->diag, span_of(host->file));
    if (file_read_named(host->file, LIMIT_IMPORT_FILE, &bytes)) {
        host->bytes = (struct span){arena_copy(import->arena, heap_text(&bytes)), bytes.len};
        import_inspect(import, host, host->file);
    } else {
        const char *why = file_error(errno);
        host->problem = arena_printf(import->arena, "its file cannot be read: %s", why);
        diag_add(import->diag, DIAG_ERROR, (struct position){.file = file},
                 "the policy of %s cannot be read: %s", host->domain, why);
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
    struct import_host *host = add_host(import, domain, at, IMPORT_NAMED);
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
    free_paths(&paths);
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
        (void)add_host(import, name, at, IMPORT_LIKELY);
}

static void read_certificates(struct import *import, bool adds_hosts)
{
    /* The files were not named for this, so that their faults are not reported. */
    import->certificate_diag = diag_new();
    import->store = certificates_new(import->certificate_diag, NULL, NULL);
    for (size_t i = 0; i < import->searched.count; i++)
        certificates_read(import->store, import->searched.items[i], (struct position){0});
    for (size_t i = 0; i < ACME_FOLDERS; i++)
        if (access(acme_folders[i], F_OK) == 0)
            certificates_read(import->store, acme_folders[i], (struct position){0});
    (void)certificates_match(import->store, import->line->now); /* nobody looks again */
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
        const char *files[LIMIT_CHAIN + 1];
        bool has_key;
        struct import_host *host = &import->hosts[i];
        if (host->leaf.data == NULL || host->policy == NULL)
            continue;
        size_t count = certificates_locate(import->store, host->leaf, files, &has_key);
        for (size_t j = 0; j < count; j++)
            list_certificate(import, files[j]);
        host->certificate = count > 0 ? files[0] : NULL;
        if (has_key)
            continue;
        diag_add(import->diag, DIAG_WARNING, host->at,
                 count > 0 ? "mta-sts.%s: the key of its certificate is not found"
                           : "mta-sts.%s: the certificate that the server shows is not found here",
                 host->domain);
        diag_hint(import->diag, "add where it is under \"certificates:\"");
    }
}

int command_import(const struct command_line *line, struct text *out)
{
    struct import import = {.line = line, .diag = diag_new(), .arena = arena_new()};
    struct text said = {0};
    int status = gather(&import);
    if (status == STATUS_GOOD) {
        read_certificates(&import, line->search.count > 0 || line->operand_count == 0);
        for (size_t i = 0; i < import.count; i++)
            if (import.hosts[i].file != NULL)
                read_file(&import, &import.hosts[i]);
        import_ask(&import);
        find_certificates(&import);
        report_rest(&import);
        import_write(&import, out, &said);
        (void)command_complain_lines(&said); /* the exit status says it too */
        if (diag_count(import.diag, DIAG_ERROR) + diag_count(import.diag, DIAG_FATAL) > 0)
            status = STATUS_WRONG;
    }
    import_free(&import);
    return status;
}
