#include "supervise/status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/log.h"

static const char FOLDER[] = "/run/mta-sts";
static const char USUAL_CONFIGURATION[] = "/etc/mta-sts/mta-sts.yaml";

/* Of the same length for all contents: their version, length and checksum. */
#define FIRST_LINE "mta-sts-httpd status 1 %020zu %016" PRIx64 "\n"
enum { FIRST_LEN = 23 + 20 + 1 + 16 + 1, OPENINGS = 3 };

/* The same text for one file, however it is written; links of the file itself may be changed while the
 * server runs. Owned; NULL when memory is short. */
static char *whole_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    char *resolved = folder == NULL ? NULL : realpath(folder, NULL);
    char *whole = NULL;
    if (folder != NULL && asprintf(&whole, "%s/%s", resolved == NULL ? folder : resolved,
                                   slash == NULL ? path : slash + 1) < 0)
        whole = NULL;
    free(resolved);
    free(folder);
    return whole;
}

char *status_path(const char *option, const char *configuration)
{
    if (option != NULL)
        return strdup(option);
    const char *folder = getenv("RUNTIME_DIRECTORY");
    /* systemd.exec(5): several are separated by colons. */
    size_t len = folder == NULL ? 0 : strcspn(folder, ":");
    if (len == 0)
        folder = FOLDER;
    if (len == 0)
        len = strlen(FOLDER);
    char *path = NULL, *whole = whole_path(configuration);
    if (whole == NULL)
        return NULL;
    int printed = strcmp(configuration, USUAL_CONFIGURATION) == 0
                      ? asprintf(&path, "%.*s/status", (int)len, folder)
                      : asprintf(&path, "%.*s/status-%016" PRIx64, (int)len, folder,
                                 span_hash(span_of(whole)));
    free(whole);
    return printed < 0 ? NULL : path;
}

/* An earlier server removes its file at its end, and must not remove ours. A file that has another name,
 * too, or is somebody else's was put there by the folder's owner, and may be anything. */
static bool is_at(const char *path, int fd)
{
    struct stat one, other;
    return fstat(fd, &one) == 0 && S_ISREG(one.st_mode) && one.st_nlink == 1 &&
           one.st_uid == geteuid() && lstat(path, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* The descriptor, or -1 with the reason in errno: EAGAIN when another server has it. */
static int open_locked(const char *path)
{
    for (int i = 0; i < OPENINGS; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd =
            open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
        if (fd < 0)
            return -1;
        int reason = 0;
        if (fcntl(fd, F_SETLK, &lock) != 0)
            reason = errno == EACCES ? EAGAIN : errno;
        else if (is_at(path, fd))
            return fd;
        (void)close(fd); /* nothing was written */
        errno = reason == 0 ? EEXIST : reason;
        if (reason != 0)
            return -1;
    }
    return -1;
}

void status_open(char *path, bool is_chosen, struct status *ret_status)
{
    *ret_status = STATUS_NONE;
    if (path == NULL)
        return;
    /* The folder is made where no service manager has done it; it may be there. */
    if (!is_chosen && span_begins_fold(span_of(path), span_of(FOLDER)))
        (void)mkdir(FOLDER, 0755);
    int fd = open_locked(path);
    if (fd < 0) {
        if (is_chosen)
            log_line(
                LOG_LEVEL_WARNING,
                "cannot write the status file %s, so that \"reload\" cannot report the result of a load: %s",
                path, errno == EAGAIN ? "another server has it" : strerror(errno));
        free(path);
        return;
    }
    if (ftruncate(fd, 0) != 0)
        log_line(LOG_LEVEL_WARNING, "cannot empty %s: %s", path, strerror(errno));
    ret_status->fd = fd;
    ret_status->path = path;
}

void status_close(struct status *status)
{
    if (status->fd >= 0) {
        (void)unlink(status->path); /* without the lock it means nothing */
        (void)close(status->fd);    /* nothing is left to be written */
    }
    free(status->path);
    *status = STATUS_NONE;
}

static void print(const struct status_load *load, const char *configuration, unsigned generation,
                  const struct settings_image *image, struct text *out)
{
    text_printf(out, "pid: %d\nversion: " MTA_STS_HTTPD_VERSION "\nconfiguration: ", (int)getpid());
    text_escape(out, span_of(configuration), 4096);
    text_printf(out,
                "\nload: %u\nbegun_us: %" PRId64 "\nended: %s\nresult: %s\nerrors: %zu\n"
                "warnings: %zu\ngeneration: %u\ndomains: %" PRId64 "\n\n",
                load->number, load->begun_us, calendar_iso_time(load->ended).text,
                load->is_refused ? "refused" : "served", load->errors, load->warnings, generation,
                settings_image_domains(image));
    for (struct span rest = {load->faults.data, load->faults.len}; rest.len > 0;) {
        struct span line = span_take_line(&rest);
        text_append(out, span_of("> "));
        text_append(out, line);
        text_append(out, span_of("\n"));
    }
    text_append(out, (struct span){load->summary.data, load->summary.len});
    text_append(out, span_of("\n"));
    text_append(out, image->domain_lines);
}

/* False with the reason in errno. */
static bool write_whole(int fd, const char *first, const struct text *rest)
{
    size_t done = 0;
    if (rest->failed) {
        errno = ENOMEM;
        return false;
    }
    while (done < rest->len) {
        ssize_t count = pwrite(fd, rest->data + done, rest->len - done, FIRST_LEN + (off_t)done);
        if (count < 0 && errno != EINTR)
            return false;
        done += count > 0 ? (size_t)count : 0;
    }
    return pwrite(fd, first, FIRST_LEN, 0) == FIRST_LEN &&
           ftruncate(fd, FIRST_LEN + (off_t)rest->len) == 0;
}

void status_write(struct status *status, const struct status_load *load, const char *configuration,
                  unsigned generation, const struct settings_image *image)
{
    char first[FIRST_LEN + 1];
    struct text rest = {0};
    if (status->fd < 0)
        return;
    print(load, configuration, generation, image, &rest);
    if (!rest.failed)
        (void)snprintf(first, sizeof(first), FIRST_LINE, rest.len,
                       span_hash((struct span){rest.data, rest.len})); /* it fits */
    bool good = write_whole(status->fd, first, &rest);
    if (!good && !status->is_failing)
        log_line(LOG_LEVEL_ERROR, "cannot write the status in %s: %s", status->path,
                 strerror(errno));
    status->is_failing = !good;
    text_free(&rest);
}

void status_load_free(struct status_load *load)
{
    text_free(&load->faults);
    text_free(&load->summary);
    *load = (struct status_load){0};
}

bool status_reading_open(const char *path, struct status_reading *ret_reading)
{
    struct stat status;
    *ret_reading = (struct status_reading){
        .fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)};
    if (ret_reading->fd < 0)
        return false;
    if (fstat(ret_reading->fd, &status) == 0 && S_ISREG(status.st_mode))
        return true;
    status_reading_free(ret_reading);
    errno = EINVAL;
    return false;
}

bool status_reading_look(struct status_reading *reading)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(reading->fd, F_GETLK, &lock) != 0)
        return false;
    reading->pid = lock.l_type == F_UNLCK ? 0 : lock.l_pid <= 0 ? -1 : lock.l_pid;
    return true;
}

/* The number behind the key on its line; 0 when there is none. */
static int64_t find_number(struct span text, const char *key)
{
    const char *found = memmem(text.data, text.len, key, strlen(key));
    return found == NULL ? 0 : strtoll(found + strlen(key), NULL, 10);
}

/* Splits what was read. The bytes end with a NUL. */
static bool split(struct status_reading *reading, size_t len)
{
    const char *end = memmem(reading->bytes, len, "\n\n", 2);
    if (end == NULL)
        return false;
    struct span head = {reading->bytes, (size_t)(end - reading->bytes) + 1};
    reading->report = span_skip((struct span){reading->bytes, len}, head.len + 1);
    /* The report ends with an empty line, also when it is empty. */
    const char *rest = reading->report.len > 0 && reading->report.data[0] == '\n'
                           ? reading->report.data - 1
                           : memmem(reading->report.data, reading->report.len, "\n\n", 2);
    if (rest == NULL)
        return false;
    size_t report_len = (size_t)(rest + 1 - reading->report.data);
    reading->domains = span_skip(reading->report, report_len + 1);
    reading->report.len = report_len;
    reading->number = (unsigned)find_number(head, "\nload: ");
    reading->begun_us = find_number(head, "\nbegun_us: ");
    reading->is_refused = memmem(head.data, head.len, "\nresult: refused\n", 17) != NULL;
    return true;
}

bool status_reading_read(struct status_reading *reading)
{
    char first[FIRST_LEN + 1] = {0}, expected[FIRST_LEN + 1];
    unsigned long len = 0;
    free(reading->bytes);
    reading->bytes = NULL;
    if (pread(reading->fd, first, FIRST_LEN, 0) != FIRST_LEN || strncmp(first, FIRST_LINE, 23) != 0)
        return false;
    len = strtoul(first + 23, NULL, 10);
    if (len > LIMIT_STATUS_FILE)
        return false;
    reading->bytes = malloc(len + 1);
    if (reading->bytes == NULL)
        return false;
    size_t done = 0;
    for (ssize_t count = 1; done < len && count > 0; done += count > 0 ? (size_t)count : 0)
        count = pread(reading->fd, reading->bytes + done, len - done, FIRST_LEN + (off_t)done);
    reading->bytes[done] = '\0';
    (void)snprintf(expected, sizeof(expected), FIRST_LINE, done,
                   span_hash((struct span){reading->bytes, done})); /* it fits */
    return memcmp(first, expected, FIRST_LEN) == 0 && split(reading, len);
}

bool status_reading_find(const struct status_reading *reading, struct span domain,
                         struct span *ret_state, struct span *ret_id)
{
    for (struct span rest = reading->domains, name; rest.len > 0;) {
        struct span line = span_take_line(&rest);
        if (!span_take(&line, ' ', &name) || !span_equal_fold(name, domain))
            continue;
        *ret_id = line;
        return span_take(ret_id, ' ', ret_state);
    }
    return false;
}

void status_reading_free(struct status_reading *reading)
{
    descriptor_close(&reading->fd);
    free(reading->bytes);
    *reading = (struct status_reading){.fd = -1};
}
