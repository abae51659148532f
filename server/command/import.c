#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "command/command.h"
#include "command/import_apache.h"
#include "command/import_ids.h"
#include "command/import_nginx.h"
#include "command/import_url.h"
#include "command/import_write.h"
#include "probe/resolve.h"
#include "probe/trust.h"

/* "DOMAIN=FILE". False when it is not of that form. */
static bool add_file(struct import_hosts *hosts, const char *operand)
{
    const char *equals = strchr(operand, '=');
    if (equals == NULL || equals == operand || equals[1] == '\0')
        return false;
    const char *path = import_files_name(hosts->files, equals + 1);
    struct import_host host = {
        .is_tls = true, /* nothing says that it is not */
        .answer = {.kind = IMPORT_FILE, .path = path},
    };
    if (path != NULL)
        import_hosts_add(hosts, (struct span){operand, (size_t)(equals - operand)}, host);
    return true;
}

/* The folder that paths in the file are relative to, unless it says otherwise. */
static const char *folder_of(struct import_files *files, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL || slash == path ? "/"
                                          : import_format(files, "%.*s", (int)(slash - path), path);
}

static void add_configuration(struct import_hosts *hosts, const char *operand,
                              void (*import)(struct import_hosts *hosts, const char *path))
{
    size_t before = hosts->count;
    struct import_files *files = hosts->files;
    const char *path = import_files_name(files, operand);
    if (path == NULL)
        return;
    size_t errors = diag_count(files->diag, DIAG_ERROR);
    files->base = folder_of(files, path);
    import(hosts, path);
    const char *real = import_files_real(files, path);
    if (hosts->count > before || diag_count(files->diag, DIAG_ERROR) > errors || real == NULL)
        return;
    diag_add(files->diag, DIAG_ERROR,
             (struct position){.file = diag_intern(files->diag, span_of(real))},
             "no virtual host in it is named mta-sts.*");
    diag_hint(files->diag,
              "name the file that has the virtual hosts, or the main one that includes "
              "it");
}

static void fetch_all(const struct command_line *line, struct import_hosts *hosts)
{
    struct diag *told = diag_new();
    struct trust *trust = told == NULL ? NULL : trust_new(NULL, told);
    for (size_t i = 0; i < line->operand_count; i++)
        import_url(hosts, line->operands[i], trust, line->now);
    trust_free(trust);
    diag_free(told); /* without authorities every server is warned of */
}

/* False when an operand is not of the form that is wanted. */
static bool gather(const struct command_line *line, struct import_hosts *hosts)
{
    if (line->url)
        fetch_all(line, hosts);
    for (size_t i = 0; i < line->operand_count && !line->url; i++) {
        if (line->nginx)
            add_configuration(hosts, line->operands[i], import_nginx);
        else if (line->apache)
            add_configuration(hosts, line->operands[i], import_apache);
        else if (!add_file(hosts, line->operands[i]))
            return false;
    }
    return true;
}

static void print_sum(const struct import_sum *sum, struct text *out)
{
    text_printf(out, "mta-sts-httpd: %zu domain%s with %zu named polic%s", sum->domains,
                sum->domains == 1 ? "" : "s", sum->policies, sum->policies == 1 ? "y" : "ies");
    if (sum->open > 0)
        text_printf(out, "; %zu in comments, until you have decided", sum->open);
    text_append(out, span_of("\n"));
}

static int import_all(const struct command_line *line, struct import_hosts *hosts)
{
    struct text out = {0}, said = {0};
    struct diag *diag = hosts->files->diag;
    int status = STATUS_WRONG;
    if (!gather(line, hosts))
        return command_misused("import", "not of the form DOMAIN=FILE:", line->operands[0]);
    import_hosts_read(hosts);
    if (line->keep_id || line->ids != NULL)
        import_keep_ids(hosts, line->ids);
    struct import_sum sum = import_write(hosts, &out);
    if (hosts->files->shortage || out.failed)
        diag_shortage(diag);
    bool good = diag_count(diag, DIAG_ERROR) + diag_count(diag, DIAG_FATAL) == 0;
    diag_print(diag, DIAG_NOTE, &said);
    print_sum(&sum, &said);
    command_complain(&said);
    if (diag_count(diag, DIAG_FATAL) == 0 && command_write(&out) && good)
        status = STATUS_GOOD;
    text_free(&said);
    text_free(&out);
    return status;
}

int command_import(const struct command_line *line)
{
    int status = STATUS_WRONG;
    struct import_files files = {0};
    struct diag *diag = diag_new();
    resolve_begin(LIMIT_IMPORT_FETCH_MS);
    if ((line->apache && line->nginx) || (line->url && (line->apache || line->nginx)))
        status =
            command_misused("import", "only one of --apache, --nginx and --url can be there", NULL);
    else if (diag == NULL || !import_files_begin(&files, line->root, diag))
        (void)fputs("mta-sts-httpd: out of memory\n", stderr); /* nowhere is left to say it */
    else {
        struct import_hosts hosts = {.files = &files};
        status = import_all(line, &hosts);
        import_hosts_free(&hosts);
    }
    import_files_free(&files);
    diag_free(diag);
    return status;
}
