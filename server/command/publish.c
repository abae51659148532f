#include "command/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "command/command.h"
#include "command/records_before.h"
#include "files/file.h"

/* Beside the file: what is locked, what may have been sent, and what is being written. */
static const char LOCK[] = ".lock", PENDING[] = ".pending", NEW[] = ".new";

/* Owned; NULL when memory is short. */
static char *beside(const char *path, const char *suffix)
{
    char *joined = NULL;
    return asprintf(&joined, "%s%s", path, suffix) < 0 ? NULL : joined;
}

static void report(struct diag *diag, const char *path, const char *problem)
{
    struct position at = {.file = diag_intern(diag, span_of(path))};
    diag_add(diag, DIAG_FATAL, at, "%s", problem);
}

/* Locks by a file of its own, because the other one is replaced. */
static bool lock(struct publication *publication, struct diag *diag)
{
    char *path = beside(publication->path, LOCK);
    if (path == NULL) {
        diag_shortage(diag);
        return false;
    }
    publication->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    bool good = publication->lock >= 0 && flock(publication->lock, LOCK_EX | LOCK_NB) == 0;
    if (!good && publication->lock >= 0 && errno == EWOULDBLOCK) {
        report(diag, publication->path, "another process is publishing");
        diag_hint(diag, "wait until it has ended, and try again");
    } else if (!good) {
        report(diag, path, strerror(errno));
        diag_hint(diag, "the folder must be there, and this user must be allowed to write in it");
    }
    free(path);
    return good;
}

/* Reads a list that need not be there. */
static bool read_list(struct records *list, const char *path, bool *ret_is_there, struct diag *diag)
{
    *ret_is_there = access(path, F_OK) == 0 || errno != ENOENT;
    return records_begin(list) && (!*ret_is_there || records_read(list, path, diag));
}

bool publication_open(const char *path, bool is_committing, struct diag *diag,
                      struct publication *ret_publication)
{
    bool is_there = false, good = false;
    struct records pending = {0};
    /* A link leads to the file that is replaced. */
    char *resolved = realpath(path, NULL);
    *ret_publication =
        (struct publication){.path = resolved != NULL ? resolved : strdup(path), .lock = -1};
    char *pending_path =
        ret_publication->path == NULL ? NULL : beside(ret_publication->path, PENDING);
    if (pending_path == NULL) {
        diag_shortage(diag);
        goto done;
    }
    if (is_committing && !lock(ret_publication, diag))
        goto done;
    if (!read_list(&ret_publication->before, ret_publication->path, &is_there, diag)) {
        diag_hint(diag, "restore it; without it, all records are sent again and none is removed");
        goto done;
    }
    ret_publication->is_new = !is_there;
    if (!read_list(&pending, pending_path, &is_there, diag)) {
        diag_hint(diag, "remove it together with %s, and all records are sent again", path);
        goto done;
    }
    records_doubt(&ret_publication->before, &pending);
    good = true;
done:
    records_free(&pending);
    free(pending_path);
    return good;
}

void publication_close(struct publication *publication)
{
    if (publication->lock >= 0)
        (void)close(publication->lock); /* which ends the lock */
    records_free(&publication->before);
    free(publication->path);
    *publication = (struct publication){.lock = -1};
}

static bool is_sent(const struct dns_record *record)
{
    return record->withheld == NULL && (record->news == DNS_NEW || record->news == DNS_CHANGED);
}

void publication_count(const struct publication *publication, const struct records *now,
                       struct publication_counts *ret_counts)
{
    const struct records *before = &publication->before;
    *ret_counts = (struct publication_counts){0};
    for (size_t i = 0; i < now->count; i++) {
        bool is_sent = now->items[i].withheld == NULL;
        ret_counts->added += is_sent && now->items[i].news == DNS_NEW ? 1 : 0;
        ret_counts->changed += is_sent && now->items[i].news == DNS_CHANGED ? 1 : 0;
    }
    bool is_going = true;
    for (size_t i = 0; i < before->count; i++) {
        enum dns_news news = before->items[i].news;
        bool is_last = i + 1 == before->count ||
                       strcmp(before->items[i].domain, before->items[i + 1].domain) != 0;
        ret_counts->removed += news == DNS_GONE ? 1 : 0;
        ret_counts->kept += news == DNS_KEPT ? 1 : 0;
        is_going = is_going && news == DNS_GONE;
        ret_counts->domains += is_last ? 1 : 0;
        ret_counts->removed_domains += is_last && is_going ? 1 : 0;
        is_going = is_going || is_last;
    }
}

/* Says what went wrong with the file, from errno. */
static bool fail(const char *path, const char *what)
{
    return command_complain("%s: %s: %s", path, what, strerror(errno));
}

/* Makes sure that a new name is on the disk. */
static bool sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL   ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    int fd = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0)
        return false;
    bool good = fsync(fd) == 0 || errno == EINVAL; /* some file systems cannot */
    (void)close(fd);                               /* it was only read */
    return good;
}

static bool has_bytes(const char *path, const struct text *bytes)
{
    struct text old = {0};
    bool same =
        !bytes->failed && file_read(path, LIMIT_YAML_FILE, &old, NULL) &&
        span_equal((struct span){old.data, old.len}, (struct span){bytes->data, bytes->len});
    text_free(&old);
    return same;
}

/* Replaces the file by the list, so that at any moment the one or the other is there, whole. */
static bool replace(const char *path, struct records *list)
{
    struct stat old;
    struct text bytes = {0};
    bool good = false;
    records_sort(list);
    list->with_files = true;
    records_print_json(list, NULL, &bytes);
    bytes.failed = bytes.failed || list->shortage;
    if (has_bytes(path, &bytes)) {
        text_free(&bytes);
        return true;
    }
    char *new_path = beside(path, NEW);
    int fd = new_path == NULL
                 ? -1
                 : open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        goto done;
    if (stat(path, &old) == 0)
        (void)fchmod(fd, old.st_mode & 0777); /* without it it is as a new one */
    good = text_write(&bytes, fd) && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    good = good && rename(new_path, path) == 0 && sync_folder(path);
done:
    if (!good)
        (void)fail(path, "cannot be written");
    if (!good && new_path != NULL)
        (void)unlink(new_path); /* what is left of it is overwritten the next time */
    text_free(&bytes);
    free(new_path);
    return good;
}

/* What may be published and is not known to be: what was not sent or was not taken, and with
 * is_before_sending all that is about to be sent. */
static bool list_pending(const struct records *before, const struct records *now,
                         bool is_before_sending, struct records *ret_list)
{
    if (!records_begin(ret_list))
        return false;
    for (size_t i = 0; i < before->count; i++) {
        const struct dns_record *record = &before->items[i];
        if ((record->is_uncertain && record->news == DNS_KEPT) ||
            (is_before_sending && record->news == DNS_GONE))
            records_add(ret_list, record);
    }
    for (size_t i = 0; i < now->count; i++)
        if (now->items[i].is_uncertain || (is_before_sending && is_sent(&now->items[i])))
            records_add(ret_list, &now->items[i]);
    return true;
}

/* What is published after the difference was sent. */
static bool list_published(const struct records *before, const struct records *now,
                           struct records *ret_list)
{
    if (!records_begin(ret_list))
        return false;
    for (size_t i = 0; i < before->count; i++)
        if (before->items[i].news == DNS_KEPT)
            records_add(ret_list, &before->items[i]);
    for (size_t i = 0; i < now->count; i++)
        if (now->items[i].withheld == NULL && now->items[i].news != DNS_KEPT)
            records_add(ret_list, &now->items[i]);
    return true;
}

/* The text as a descriptor to read from, so that it does not matter how much of it the command reads. */
static int open_text(const struct text *text)
{
    int fd = memfd_create("difference", MFD_CLOEXEC);
    if (fd >= 0 && (!text_write(text, fd) || lseek(fd, 0, SEEK_SET) != 0)) {
        (void)close(fd); /* nothing is in it that anybody needs */
        return -1;
    }
    return fd;
}

/* The command's status as waitpid(2) has it, 0 when it has succeeded; -1 with the reason in errno. */
static int run(const char *command, const struct text *input)
{
    int status = 0, fd = open_text(input);
    pid_t pid = fd < 0 ? -1 : fork();
    if (pid == 0) {
        if (dup2(fd, STDIN_FILENO) >= 0)
            (void)execl("/bin/sh", "sh", "-c", command,
                        (char *)NULL); /* it returns when it fails */
        _exit(127);
    }
    if (fd >= 0)
        (void)close(fd); /* the command has its own */
    if (pid < 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* The domains of which something is sent, and what became of it. */
struct sending {
    struct records *before, *now; /* borrowed */
    records_print *print;
    const char *command; /* borrowed */
    const char **names;  /* owned; sorted, each once; borrowed texts */
    bool *failed;        /* owned */
    size_t count;
    size_t failures; /* of the command */
    bool any_success;
    int last_status, last_errno; /* of a run that has failed */
};

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The number of the domain from the first to before the last; the last when it is not there. */
static size_t find_name(const struct sending *sending, size_t first, size_t last, const char *name)
{
    const char **found = bsearch(&name, sending->names + first, last - first,
                                 sizeof(*sending->names), compare_names);
    return found == NULL ? last : (size_t)(found - sending->names);
}

static bool list_names(struct sending *sending)
{
    const struct records *const lists[] = {sending->before, sending->now};
    size_t most = sending->before->count + sending->now->count, count = 0;
    sending->names = calloc(most + 1, sizeof(*sending->names));
    sending->failed = calloc(most + 1, sizeof(*sending->failed));
    if (sending->names == NULL || sending->failed == NULL)
        return false;
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++)
            if (l == 0 ? lists[l]->items[i].news == DNS_GONE : is_sent(&lists[l]->items[i]))
                sending->names[count++] = lists[l]->items[i].domain;
    qsort(sending->names, count, sizeof(*sending->names), compare_names);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(sending->names[i], sending->names[i - 1]) != 0)
            sending->names[sending->count++] = sending->names[i];
    return true;
}

/* The records of the domains, with their news. */
static bool select_records(const struct sending *sending, const struct records *list, size_t first,
                           size_t last, struct records *ret_list)
{
    if (!records_begin(ret_list))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (find_name(sending, first, last, list->items[i].domain) == last)
            continue;
        records_add(ret_list, &list->items[i]);
        if (!ret_list->shortage)
            ret_list->items[ret_list->count - 1].news = list->items[i].news;
    }
    return !ret_list->shortage;
}

/* Sends what concerns the domains, in one run of the command. */
static bool send_part(struct sending *sending, size_t first, size_t last)
{
    struct records before = {0}, now = {0};
    struct text difference = {0};
    int status = -1;
    errno = ENOMEM;
    if (select_records(sending, sending->before, first, last, &before) &&
        select_records(sending, sending->now, first, last, &now)) {
        sending->print(&now, &before, &difference);
        status = run(sending->command, &difference);
    }
    if (status != 0) {
        sending->failures++;
        sending->last_errno = errno;
        sending->last_status = status;
    }
    sending->any_success = sending->any_success || status == 0;
    text_free(&difference);
    records_free(&before);
    records_free(&now);
    return status == 0;
}

/* nsupdate ends at the first zone that is not there. So a part that fails is halved, until those that
 * fail stand alone and the others are sent. Where nothing succeeds that ends soon. */
static void send_all(struct sending *sending, size_t first, size_t last)
{
    size_t most = sending->any_success ? LIMIT_COMMIT_FAILURES : LIMIT_COMMIT_FAILURES_AT_FIRST;
    if (first == last || (sending->failures < most && send_part(sending, first, last)))
        return;
    size_t middle = first + (last - first) / 2;
    if (last - first == 1 || sending->failures >= most) {
        for (size_t i = first; i < last; i++)
            sending->failed[i] = true;
        return;
    }
    send_all(sending, first, middle); /* no deeper than the number of domains has binary digits */
    send_all(sending, middle, last);
}

/* What was not taken may be published or not, and what was published before is so still. */
static void note_failures(struct sending *sending)
{
    for (size_t i = 0; i < sending->before->count; i++) {
        struct dns_record *record = &sending->before->items[i];
        size_t index = find_name(sending, 0, sending->count, record->domain);
        if (index == sending->count || !sending->failed[index])
            continue;
        record->is_uncertain = record->is_uncertain || record->news != DNS_SAME;
        record->news = DNS_KEPT;
    }
    for (size_t i = 0; i < sending->now->count; i++) {
        struct dns_record *record = &sending->now->items[i];
        size_t index = find_name(sending, 0, sending->count, record->domain);
        if (index == sending->count || !sending->failed[index])
            continue;
        record->is_uncertain = is_sent(record);
        record->news = DNS_KEPT;
    }
}

/* Says which domains were not published. True when there is none. */
static bool tell_failures(const struct sending *sending)
{
    enum { SHOWN = 10 };
    struct text out = {0};
    size_t count = 0;
    for (size_t i = 0; i < sending->count; i++)
        if (sending->failed[i] && count++ < SHOWN)
            text_printf(
                &out,
                "mta-sts-httpd: %s is not known to be published, and is sent again the next time\n",
                sending->names[i]);
    if (count == 0)
        return true;
    if (count > SHOWN)
        text_printf(&out, "mta-sts-httpd: and so are %zu more domains\n", count - SHOWN);
    text_printf(&out, "mta-sts-httpd: the command \"%s\" ", sending->command);
    if (sending->last_status == -1)
        text_printf(&out, "could not be run: %s\n", strerror(sending->last_errno));
    else if (WIFEXITED(sending->last_status))
        text_printf(&out, "ended with status %d\n", WEXITSTATUS(sending->last_status));
    else
        text_printf(&out, "ended by signal %d\n", WTERMSIG(sending->last_status));
    (void)command_complain_lines(&out); /* the exit status says it too */
    text_free(&out);
    return false;
}

/* Leaves in the file beside what may be published and is not known to be. */
static bool write_pending(const char *path, struct records *list)
{
    if (list->count > 0 || list->shortage)
        return replace(path, list);
    return unlink(path) == 0 || errno == ENOENT || fail(path, "cannot be removed");
}

/* Writes what is known after sending. */
static bool finish(const struct publication *publication, const struct records *now,
                   const char *pending_path)
{
    struct records published = {0}, left = {0};
    bool good = list_published(&publication->before, now, &published) &&
                list_pending(&publication->before, now, false, &left);
    if (!good) {
        errno = ENOMEM;
        (void)fail(publication->path, "cannot be written");
    }
    good = good && replace(publication->path, &published) && write_pending(pending_path, &left);
    records_free(&published);
    records_free(&left);
    return good;
}

bool publication_commit(struct publication *publication, struct records *now, records_print *print,
                        const char *command)
{
    struct sending sending = {
        .before = &publication->before, .now = now, .print = print, .command = command};
    struct records pending = {0};
    bool good = false;
    char *pending_path = beside(publication->path, PENDING);
    if (pending_path == NULL || !list_names(&sending) ||
        !list_pending(&publication->before, now, true, &pending)) {
        errno = ENOMEM;
        (void)fail(publication->path, "nothing is sent");
        goto done;
    }
    good = sending.count == 0 || write_pending(pending_path, &pending);
    if (!good)
        goto done;
    send_all(&sending, 0, sending.count);
    note_failures(&sending);
    /* Without anything to send the files of domains may be other ones. */
    if (sending.any_success || sending.count == 0)
        good = finish(publication, now, pending_path);
    good = tell_failures(&sending) && good;
done:
    records_free(&pending);
    free(sending.names);
    free(sending.failed);
    free(pending_path);
    return good;
}
