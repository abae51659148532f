#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/json.h"
#include "base/limits.h"
#include "command/command.h"
#include "command/reading.h"
#include "sandbox/identity.h"
#include "site/site.h"

struct counts {
    size_t served; /* stale ones too */
    size_t stale;
    size_t
        no_certificate; /* with a policy; 0 when no certificates are configured, which is said once */
    size_t refused;
    size_t errors;
    size_t warnings;
};

/* What the service unit makes before it starts the server. */
static bool is_made_by_unit(const char *path)
{
    static const char *const folders[] = {"/var/lib/mta-sts", "/run/mta-sts"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        size_t len = strlen(folders[i]);
        if (strncmp(path, folders[i], len) == 0 && (path[len] == '\0' || path[len] == '/'))
            return true;
    }
    return false;
}

static void check_user(const struct settings *settings, struct position at, struct diag *diag)
{
    struct identity identity;
    const char *user = settings->user;
    if (user == NULL)
        return;
    enum identity_fault fault = identity_find(user, &identity);
    if (fault == IDENTITY_ROOT) {
        diag_add(diag, DIAG_WARNING, at, "user \"%s\" is root", user);
        diag_hint(diag, "workers must not run as root: name another user, or leave it out");
    } else if (fault != IDENTITY_OK) {
        diag_add(diag, DIAG_WARNING, at, "user \"%s\" is not in /etc/passwd", user);
        diag_reason(diag, "a server that root starts would refuse to");
        diag_hint(diag, "make it with \"useradd --system %s\", or give a number", user);
    }
}

static void check_state(const struct settings *settings, struct position at, struct diag *diag)
{
    struct stat status;
    const char *folder = settings->state;
    if (folder == NULL)
        return;
    const bool is_there = stat(folder, &status) == 0;
    /* Others' folders cannot be looked into; the service is another user. */
    if (is_there && !S_ISDIR(status.st_mode))
        diag_add(diag, DIAG_WARNING, at, "state \"%s\" is not a folder", folder);
    else if (is_there ? access(folder, W_OK) == 0 || (errno != EROFS && status.st_uid != geteuid())
                      : errno == EACCES || (errno == ENOENT && is_made_by_unit(folder)))
        return;
    else
        diag_add(diag, DIAG_WARNING, at, "state folder %s: %s", folder, strerror(errno));
    diag_reason(diag, "the last valid policies could not be saved there");
    diag_hint(diag, "make a folder that the user of the server may write to, with mode 0700");
}

/* Is the line of /proc/net/tcp or tcp6 a listener on the port? Then its inode. */
static bool is_listener(const char *line, unsigned port, uint64_t *ret_inode)
{
    enum { LISTENS = 0x0a };
    unsigned local = 0, state = 0;
    /* Behind the number and the local address comes the other one, and the inode five fields behind the state. */
    /* NOLINTNEXTLINE(cert-err34-c): the numbers are the kernel's, which fit. */
    return sscanf(line, "%*s %*[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %" SCNu64, &local, &state,
                  ret_inode) == 3 &&
           local == port && state == LISTENS;
}

/* True when the process has the socket open. */
static bool has_socket(const char *process, uint64_t inode)
{
    char path[300], wanted[40], target[64];
    bool found = false;
    (void)snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode); /* these fit */
    (void)snprintf(path, sizeof(path), "/proc/%s/fd", process);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(folder)) != NULL;) {
        ssize_t len = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        target[len < 0 ? 0 : len] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    (void)closedir(folder); /* it was only read */
    return found;
}

/* The name of the program that has the socket: "" when that cannot be seen, or is a service manager, or
 * this program. */
static void find_program(uint64_t inode, char ret_name[static 32], char ret_process[static 32])
{
    DIR *folder = opendir("/proc");
    ret_name[0] = '\0';
    if (folder == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[300], name[32] = "";
        if (!isdigit((unsigned char)entry->d_name[0]) || !has_socket(entry->d_name, inode))
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name); /* it fits */
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            if (fgets(name, sizeof(name), file) != NULL)
                name[strcspn(name, "\n")] = '\0';
            (void)fclose(file); /* it was only read */
        }
        bool is_own = strcmp(name, "systemd") == 0 || strcmp(name, "mta-sts-httpd") == 0;
        (void)snprintf(ret_name, 32, "%s", is_own ? "" : name);
        (void)snprintf(ret_process, 32, "%.31s", entry->d_name);
        if (is_own)
            break;
    }
    (void)closedir(folder); /* it was only read */
}

static void report_program(const struct endpoint *endpoint, struct position at, struct diag *diag)
{
    static const char *const tables[] = {"/proc/self/net/tcp", "/proc/self/net/tcp6"};
    char line[512], name[32], process[32];
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        FILE *file = fopen(tables[i], "re");
        uint64_t inode = 0;
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            if (!is_listener(line, address_port(&endpoint->address), &inode))
                continue;
            find_program(inode, name, process);
            if (name[0] == '\0')
                continue;
            diag_add(diag, DIAG_WARNING, at, "%s \"%s\": %s (process %s) listens there",
                     endpoint_key(endpoint->service), endpoint->address.text, name, process);
            diag_hint(diag, "end it before the server starts, or use another port");
            break;
        }
        if (file != NULL)
            (void)fclose(file); /* it was only read */
    }
}

/* Asks the kernel, which forgets the socket at once: nobody could connect to it. */
static void check_endpoint(const struct endpoint *endpoint, struct position at, struct diag *diag)
{
    const struct address *address = &endpoint->address;
    const int on = 1, only = endpoint->v6_only ? 1 : 0;
    if (address->any.sa_family != AF_INET && address->any.sa_family != AF_INET6)
        return;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!address_is_v6_wildcard(address) ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0) &&
        bind(fd, &address->any, address->len) != 0) {
        if (errno == EADDRINUSE) {
            report_program(endpoint, at, diag);
        } else if (errno == EADDRNOTAVAIL && !endpoint->freebind) {
            diag_add(diag, DIAG_WARNING, at, "%s \"%s\": no network interface has this address",
                     endpoint_key(endpoint->service), address->text);
            diag_hint(diag, "if it comes up later, write {address: \"%s\", freebind: true}",
                      address->text);
        }
    }
    (void)close(fd); /* nothing was sent through it */
}

/* The operand that means standard input. */
static bool is_input(const struct command_line *line)
{
    return line->operand_count == 1 && strcmp(line->operands[0], "-") == 0;
}

static struct counts count(const struct command_line *line, const struct reading *reading)
{
    struct counts counts = {
        .errors = reading_errors(reading),
        .warnings = diag_shown(reading->diag, DIAG_WARNING),
    };
    const struct configuration *configuration = reading->configuration;
    for (size_t i = 0; configuration != NULL && i < site_count(configuration->site); i++) {
        const struct site_domain *domain = site_at(configuration->site, i);
        if (is_input(line) ? strcmp(site_file(domain), "-") != 0
                           : !reading_is_asked(line, site_name(domain)))
            continue;
        enum domain_state state = verdict_state(domain);
        if (state == DOMAIN_NO_CERTIFICATE && !configuration->has_certificates)
            state = DOMAIN_SERVED;
        counts.served += state == DOMAIN_SERVED || state == DOMAIN_STALE;
        counts.stale += state == DOMAIN_STALE;
        counts.no_certificate += state == DOMAIN_NO_CERTIFICATE;
        counts.refused += state == DOMAIN_REFUSED;
    }
    return counts;
}

static const char *plural(size_t number)
{
    return number == 1 ? "" : "s";
}

static void print_summary(const struct command_line *line, const struct reading *reading,
                          struct counts counts, struct text *out)
{
    const char *path = is_input(line) ? "-" : line->path;
    text_printf(out, "%s: ", reading->is_earlier_refused ? line->since : path);
    if (reading->is_earlier_refused)
        text_append(out, span_of("refused, so nothing was compared with it; "));
    else if (reading->configuration == NULL)
        text_append(out, span_of("refused, nothing would be served; "));
    else
        text_printf(out, "%zu domain%s served, ", counts.served, plural(counts.served));
    if (counts.no_certificate > 0)
        text_printf(out, "%zu without a certificate, ", counts.no_certificate);
    if (reading->configuration != NULL)
        text_printf(out, "%zu refused; ", counts.refused);
    if (counts.stale > 0)
        text_printf(out, "%zu of them stale; ", counts.stale);
    text_printf(out, "%zu error%s, %zu warning%s\n", counts.errors, plural(counts.errors),
                counts.warnings, plural(counts.warnings));
}

static void print_json(const struct command_line *line, const struct reading *reading,
                       struct counts counts, struct text *out)
{
    json_open(out, NULL, '{');
    json_text(out, "file", is_input(line) ? "-" : line->path);
    json_flag(out, "usable", reading->configuration != NULL);
    json_number(out, "served", (int64_t)counts.served);
    json_number(out, "stale", (int64_t)counts.stale);
    json_number(out, "no_certificate", (int64_t)counts.no_certificate);
    json_number(out, "refused", (int64_t)counts.refused);
    json_number(out, "errors", (int64_t)counts.errors);
    json_number(out, "warnings", (int64_t)counts.warnings);
    diag_print_json(reading->diag, "diagnostics", DIAG_NOTE, out);
    text_append(out, span_of("}\n"));
}

/* Reads standard input to its end. False after saying why that is not possible. */
static bool read_input(struct text *ret_bytes)
{
    char buffer[16384];
    ssize_t count;
    while ((count = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0) {
        text_append(ret_bytes, (struct span){buffer, (size_t)count});
        if (heap_text(ret_bytes).len > LIMIT_INCLUDE_FILE)
            return command_complain("standard input: %s", strerror(EFBIG));
    }
    return count == 0 || command_complain("standard input: %s", strerror(errno));
}

int command_check(const struct command_line *line, struct text *out)
{
    struct text input = {0};
    if (is_input(line) && !read_input(&input)) {
        text_free(&input);
        return STATUS_WRONG;
    }
    struct reading reading = reading_new_by_life(line, is_input(line) ? &input : NULL);
    bool told = true;
    /* What this machine would refuse at the start although the configuration is sound: a user that does not
     * exist, a state folder that cannot be written to, an address that no interface has, a port that another
     * program has. They are warnings, because it may be different where and when the server starts. Nothing
     * is open for longer than the question takes. */
    if (reading.configuration != NULL && line->operand_count == 0) {
        const struct settings *settings = &reading.configuration->settings;
        const struct position at = {.file = diag_intern(reading.diag, span_of(line->path))};
        check_user(settings, at, reading.diag);
        check_state(settings, at, reading.diag);
        for (size_t i = 0; i < settings->listener_count; i++)
            check_endpoint(&settings->listeners[i], at, reading.diag);
    }
    const struct counts counts = count(line, &reading);
    if (line->json) {
        print_json(line, &reading, counts, out);
    } else {
        told = reading_print(reading.diag, DIAG_NOTE);
        print_summary(line, &reading, counts, out);
    }
    bool good = told && counts.errors == 0;
    if (reading.configuration != NULL && !is_input(line))
        good = reading_check_all(line, &reading) && good;
    else if (good && counts.served + counts.no_certificate + counts.refused == 0)
        good = command_complain("standard input names no domain");
    text_free(&input);
    reading_free(&reading);
    return good ? STATUS_GOOD : STATUS_WRONG;
}
