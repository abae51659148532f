#include "command/import.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/certificates.h"

/* Where ACME clients keep certificates, all of which are below the folder. */
static const char *const folders[] = {
    "/etc/letsencrypt/live",
    "/var/lib/dehydrated/certs",
    "/etc/dehydrated/certs",
    "/root/.acme.sh",
    "/root/.lego/certificates",
    "/etc/ssl/uacme",
    "/var/lib/caddy/.local/share/caddy/certificates",
    "/opt/mailcow-dockerized/data/assets/ssl",
};
enum { FOLDERS = sizeof(folders) / sizeof(folders[0]) };

static void add_host(void *context, struct span name, struct position at)
{
    struct import *import = context;
    at.file = diag_intern(import->diag, span_of(at.file));
    if (span_begins_fold(name, span_of("mta-sts.")))
        (void)import_add_host(import, name, at, IMPORT_LIKELY);
}

void import_read_certificates(struct import *import, bool adds_hosts)
{
    /* The files were not named for this, so that their faults are not reported. */
    import->certificate_diag = diag_new();
    import->store =
        import->certificate_diag == NULL ? NULL : certificates_new(import->certificate_diag, NULL);
    if (import->store == NULL) {
        import->shortage = true;
        return;
    }
    for (size_t i = 0; i < import->searched.count; i++)
        certificates_read(import->store, import->searched.items[i], (struct position){0});
    for (size_t i = 0; i < FOLDERS; i++)
        if (access(folders[i], F_OK) == 0)
            certificates_read(import->store, folders[i], (struct position){0});
    certificates_match(import->store, import->line->now);
    if (adds_hosts)
        certificates_names(import->store, add_host, import);
}

/* The file, or the folder of the ACME client that it is in; absolute. */
static void list(struct import *import, const char *path)
{
    const char *live = strstr(path, "/live/");
    if (live != NULL)
        path = import_format(import, "%.*s", (int)(live - path) + 5, path);
    for (size_t i = 0; i < FOLDERS; i++)
        if (strncmp(path, folders[i], strlen(folders[i])) == 0 && path[strlen(folders[i])] == '/')
            path = folders[i];
    if (path[0] != '/') {
        char *here = getcwd(NULL, 0);
        import->shortage = import->shortage || here == NULL;
        while (strncmp(path, "./", 2) == 0)
            path += 2;
        path = import_format(import, "%s/%s", here == NULL ? "" : here, path);
        free(here);
    }
    import_add_path(import, &import->certificates, path);
}

void import_find_certificates(struct import *import)
{
    for (size_t i = 0; i < import->count && import->store != NULL; i++) {
        struct certificates_place place;
        struct import_host *host = &import->hosts[i];
        if (host->leaf.data == NULL || host->policy == NULL)
            continue;
        bool found = certificates_locate(import->store, host->leaf, &place);
        for (size_t j = 0; found && j < place.count; j++)
            list(import, place.files[j]);
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
