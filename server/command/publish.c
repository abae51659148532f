#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/limits.h"
#include "command/command.h"
#include "command/records.h"
#include "load/state.h"

enum {
    CHARACTER_STRING = 255, /* bytes that one holds at most (RFC 1035 section 3.3) */
    DEFAULT_TTL = 3600, /* nsupdate wants one: an hour, so that a new policy is noticed within */
    ANY_NEWS = -1,
};

/* Character strings with their quotes (RFC 1035 section 5.1). */
static void print_strings(struct text *out, struct span value)
{
    size_t done = 0;
    do {
        size_t len = value.len - done < CHARACTER_STRING ? value.len - done : CHARACTER_STRING;
        text_append(out, span_of(done == 0 ? "\"" : " \""));
        for (size_t end = done + len; done < end; done++) {
            unsigned char byte = (unsigned char)value.data[done];
            if (byte == '"' || byte == '\\')
                text_append(out, span_of("\\"));
            if (byte < 0x20 || byte > 0x7e)
                text_printf(out, "\\%03u", byte);
            else
                text_append(out, (struct span){value.data + done, 1});
        }
        text_append(out, span_of("\""));
    } while (done < value.len);
}

static void print_value(struct text *out, const struct dns_record *record)
{
    if (strcmp(record->type, "TXT") == 0)
        print_strings(out, span_of(record->value));
    else
        text_append(out, span_of(record->value));
    text_append(out, span_of("\n"));
}

static void print_line(struct text *out, const char *before, const struct dns_record *record)
{
    text_append(out, span_of(before));
    text_append(out, span_of(record->name));
    if (record->ttl > 0)
        text_printf(out, "\t%" PRIu32, record->ttl);
    text_append(out, span_of("\tIN\t"));
    text_append(out, span_of(record->type));
    text_append(out, span_of("\t"));
    print_value(out, record);
}

/* Not a word of it is taken for a record. */
static void print_withheld(struct text *out, const struct dns_record *record)
{
    text_printf(out, "; %s: publish no %s record at %s yet: %s\n", record->domain, record->type,
                record->name, record->withheld);
    if (record->value != NULL)
        print_line(out, ";   ", record);
}

/* Whether the record is to be published and, where there is a list to compare with, is news. */
static bool is_news(const struct dns_record *record, const struct records *before)
{
    return record->withheld == NULL && (before == NULL || record->news != DNS_SAME);
}

void records_print_zone(const struct records *records, const struct records *before,
                        struct text *out)
{
    for (size_t i = 0; before != NULL && i < before->count; i++)
        if (before->items[i].news == DNS_GONE || before->items[i].news == DNS_CHANGED)
            print_line(
                out, before->items[i].news == DNS_GONE ? "; gone: " : "; was: ", &before->items[i]);
    for (size_t i = 0; i < records->count; i++) {
        const struct dns_record *record = &records->items[i];
        if (record->withheld != NULL)
            print_withheld(out, record);
        else if (is_news(record, before))
            print_line(out, "", record);
    }
}

static void print_delete(struct text *out, const char *name, const char *type)
{
    text_printf(out, "update delete %s %s\n", name, type);
}

/* A CNAME stands alone at its name (RFC 1034 section 3.6.2), so what it takes the place of goes
 * first; and the other way round. */
static void print_replacement(struct text *out, const struct records *records, size_t begin,
                              size_t end)
{
    const struct dns_record *first = &records->items[begin];
    print_delete(out, first->name, first->type);
    if (strcmp(first->type, "CNAME") != 0) {
        print_delete(out, first->name, "CNAME");
    } else if (strncmp(first->name, "_mta-sts.", strlen("_mta-sts.")) == 0) {
        print_delete(out, first->name, "TXT");
    } else {
        print_delete(out, first->name, "A");
        print_delete(out, first->name, "AAAA");
    }
    for (const struct dns_record *record = first; record < &records->items[end]; record++) {
        text_printf(out, "update add %s %" PRIu32 " %s ", record->name,
                    record->ttl > 0 ? record->ttl : DEFAULT_TTL, record->type);
        print_value(out, record);
    }
}

/* The zone may end where the domain does, and a message is for one zone. */
static void print_end(struct text *out, const struct records *records, size_t end, bool *is_open)
{
    if (*is_open && (end == records->count ||
                     strcmp(records->items[end].domain, records->items[end - 1].domain) != 0)) {
        text_append(out, span_of("send\n"));
        *is_open = false;
    }
}

void records_print_nsupdate(const struct records *records, const struct records *before,
                            struct text *out)
{
    bool is_open = false;
    for (size_t i = 0, end; before != NULL && i < before->count; i = end) {
        end = records_set_end(before, i);
        if (before->items[i].news == DNS_GONE) {
            print_delete(out, before->items[i].name, before->items[i].type);
            is_open = true;
        }
        print_end(out, before, end, &is_open);
    }
    for (size_t i = 0, end; i < records->count; i = end) {
        end = records_set_end(records, i);
        if (records->items[i].withheld != NULL)
            print_withheld(out, &records->items[i]);
        if (is_news(&records->items[i], before)) {
            print_replacement(out, records, i, end);
            is_open = true;
        }
        print_end(out, records, end, &is_open);
    }
}

/* The records of a list that are withheld, or those that are not and have the news, or any. */
static void print_list(struct text *out, const char *key, const struct records *records,
                       bool withheld, int news, bool with_files)
{
    json_open(out, key, '[');
    for (size_t i = 0; i < records->count; i++) {
        const struct dns_record *record = &records->items[i];
        if ((record->withheld != NULL) != withheld ||
            (news != ANY_NEWS && (int)record->news != news))
            continue;
        json_new_line(out);
        json_open(out, NULL, '{');
        json_text(out, "domain", record->domain);
        json_text(out, "name", record->name);
        json_text(out, "type", record->type);
        json_ordinal(out, "ttl", record->ttl);
        json_text(out, "value", record->value);
        if (withheld)
            json_text(out, "reason", record->withheld);
        if (with_files)
            json_text(out, "file", record->file);
        json_close(out, '}');
    }
    json_close(out, ']');
}

void records_print_json(const struct records *records, const struct records *before,
                        struct text *out)
{
    const struct {
        const char *key;
        const struct records *list;
        int news;
    } lists[] = {{"added", records, DNS_NEW},
                 {"changed", records, DNS_CHANGED},
                 {"was", before, DNS_CHANGED},
                 {"removed", before, DNS_GONE}};
    json_open(out, NULL, '{');
    if (before == NULL)
        print_list(out, "records", records, false, ANY_NEWS, false);
    for (size_t i = 0; before != NULL && i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (i > 0)
            json_new_line(out);
        print_list(out, lists[i].key, lists[i].list, false, lists[i].news, false);
    }
    json_new_line(out);
    print_list(out, "withheld", records, true, ANY_NEWS, false);
    text_append(out, span_of("}\n"));
}

/* What may have been sent is in a file beside the other one. */
static const char *pending_path(const struct publication *publication)
{
    return arena_printf(publication->before.arena, "%s.pending", publication->path);
}

static void report(struct diag *diag, const char *path, const char *problem, const char *hint)
{
    struct position at = {.file = diag_intern(diag, span_of(path))};
    diag_add(diag, DIAG_FATAL, at, "%s", problem);
    diag_hint(diag, "%s", hint);
}

/* Locks by a file of its own, because the other one is replaced. */
static bool lock(struct publication *publication, struct diag *diag)
{
    const char *path = arena_printf(publication->before.arena, "%s.lock", publication->path);
    publication->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (publication->lock >= 0 && flock(publication->lock, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (publication->lock >= 0 && errno == EWOULDBLOCK)
        report(diag, publication->path, "another process is publishing",
               "wait until it has ended, and try again");
    else
        report(diag, path, strerror(errno),
               "the folder must be there, and this user must be allowed to write in it");
    return false;
}

/* Reads a list that need not be there. */
static bool read_list(struct records *list, const char *path, bool *ret_is_there, struct diag *diag)
{
    *ret_is_there = access(path, F_OK) == 0 || errno != ENOENT;
    return !*ret_is_there || records_read(list, path, diag);
}

bool publication_open(const char *path, bool is_committing, struct arena *arena, struct diag *diag,
                      struct publication *ret_publication)
{
    bool is_there = false, good = true;
    struct records pending = {.arena = arena};
    struct publication *publication = ret_publication;
    /* A link leads to the file that is replaced. */
    char *resolved = realpath(path, NULL);
    *publication = (struct publication){.lock = -1, .before.arena = arena};
    publication->path = arena_copy(arena, span_of(resolved == NULL ? path : resolved));
    free(resolved);
    if (is_committing && !lock(publication, diag)) {
        good = false;
    } else if (!read_list(&publication->before, publication->path, &is_there, diag)) {
        diag_hint(diag, "restore it; without it, all records are sent again and none is removed");
        good = false;
    } else {
        publication->is_new = !is_there;
        good = read_list(&pending, pending_path(publication), &is_there, diag);
        if (!good)
            diag_hint(diag, "remove it together with %s, and all records are sent again", path);
    }
    if (good)
        records_doubt(&publication->before, &pending);
    records_free(&pending);
    return good;
}

void publication_close(struct publication *publication)
{
    descriptor_close(&publication->lock); /* which ends the lock */
    records_free(&publication->before);
    *publication = (struct publication){.lock = -1};
}

/* Whether something is sent for a record of the earlier list, or of the new one. */
static bool is_sent(const struct dns_record *record, bool is_earlier)
{
    return is_earlier ? record->news == DNS_GONE
                      : record->withheld == NULL &&
                            (record->news == DNS_NEW || record->news == DNS_CHANGED);
}

/* What a list of records is written down for. */
enum contents {
    BEFORE_SENDING, /* what may be published soon and is not known to be: with all that is sent */
    AFTER_SENDING,  /* the same when it was sent: what was not taken */
    PUBLISHED,
};

static bool is_listed(const struct dns_record *record, bool is_earlier, enum contents contents)
{
    bool is_kept = record->news == DNS_KEPT;
    if (contents == PUBLISHED)
        return is_earlier ? is_kept : record->withheld == NULL && !is_kept;
    return (record->is_uncertain && (is_kept || !is_earlier)) ||
           (contents == BEFORE_SENDING && is_sent(record, is_earlier));
}

/* The command's status as waitpid(2) has it, 0 when it has succeeded; -1 with the reason in errno. It does
 * not matter how much of the input the command reads. */
static int run(const char *command, const struct text *input)
{
    int status = 0, fd = memfd_create("difference", MFD_CLOEXEC);
    bool is_written = fd >= 0 && text_write(input, fd) && lseek(fd, 0, SEEK_SET) == 0;
    pid_t pid = is_written ? fork() : -1;
    if (pid == 0) {
        if (dup2(fd, STDIN_FILENO) >= 0)
            (void)execl("/bin/sh", "sh", "-c", command,
                        (char *)NULL); /* it returns when it fails */
        _exit(127);
    }
    descriptor_close(&fd); /* the command has its own */
    if (pid < 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* A domain of which something is sent. */
struct sent {
    const char *name; /* borrowed */
    bool has_failed;
};

/* All of them, and what became of it. */
struct sending {
    struct records *lists[2]; /* the earlier one and the new one; borrowed */
    records_print *print;
    const char *command;  /* borrowed */
    struct sent *domains; /* owned; sorted, each once */
    size_t count;
    size_t failures; /* of the command */
    bool any_success;
    int last_status, last_errno; /* of a run that has failed */
};

static int compare_sent(const void *left, const void *right)
{
    return strcmp(((const struct sent *)left)->name, ((const struct sent *)right)->name);
}

/* The domain of the record, from the first to before the last; NULL when it is not there. */
static const struct sent *find_sent(const struct sending *sending, size_t first, size_t last,
                                    const struct dns_record *record)
{
    const struct sent wanted = {.name = record->domain};
    return bsearch(&wanted, sending->domains + first, last - first, sizeof(wanted), compare_sent);
}

static void list_domains(struct sending *sending)
{
    struct sent *all = heap_take(sending->lists[0]->count + sending->lists[1]->count, sizeof(*all));
    size_t count = 0;
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < sending->lists[l]->count; i++)
            if (is_sent(&sending->lists[l]->items[i], l == 0))
                all[count++].name = sending->lists[l]->items[i].domain;
    qsort(all, count, sizeof(*all), compare_sent);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(all[i].name, all[i - 1].name) != 0)
            all[sending->count++] = all[i];
    sending->domains = all;
}

/* Sends what concerns the domains, in one run of the command. */
static bool send_part(struct sending *sending, size_t first, size_t last)
{
    struct records parts[2] = {0};
    struct text difference = {0};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < sending->lists[l]->count; i++)
            if (find_sent(sending, first, last, &sending->lists[l]->items[i]) != NULL)
                records_add(&parts[l], &sending->lists[l]->items[i]);
    sending->print(&parts[1], &parts[0], &difference);
    int status = run(sending->command, &difference);
    if (status != 0) {
        sending->failures++;
        sending->last_errno = errno;
        sending->last_status = status;
    }
    sending->any_success = sending->any_success || status == 0;
    text_free(&difference);
    records_free(&parts[0]);
    records_free(&parts[1]);
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
            sending->domains[i].has_failed = true;
        return;
    }
    send_all(sending, first, middle); /* no deeper than the number of domains has binary digits */
    send_all(sending, middle, last);
}

/* What was not taken may be published or not, and what was published before is so still. */
static void note_failures(struct sending *sending)
{
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < sending->lists[l]->count; i++) {
            struct dns_record *record = &sending->lists[l]->items[i];
            const struct sent *domain = find_sent(sending, 0, sending->count, record);
            if (domain == NULL || !domain->has_failed)
                continue;
            record->is_uncertain =
                l == 0 ? record->is_uncertain || record->news != DNS_SAME : is_sent(record, false);
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
        if (sending->domains[i].has_failed && count++ < SHOWN)
            text_printf(
                &out,
                "mta-sts-httpd: %s is not known to be published, and is sent again the next time\n",
                sending->domains[i].name);
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
    return false;
}

/* Replaces the file by those of the two lists, sorted and with their files, so that at any moment the one or
 * the other is there, whole; nothing pending needs no file. */
static bool write_list(const char *path, struct records *const lists[static 2],
                       enum contents contents)
{
    struct records listed = {0};
    struct text bytes = {0};
    const char *slash = strrchr(path, '/');
    char *folder =
        heap_copy(slash == NULL ? span_of(".") : (struct span){path, (size_t)(slash - path) + 1});
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++)
            if (is_listed(&lists[l]->items[i], l == 0, contents))
                records_add(&listed, &lists[l]->items[i]);
    records_sort(&listed);
    json_open(&bytes, NULL, '{');
    print_list(&bytes, "records", &listed, false, ANY_NEWS, true);
    json_new_line(&bytes);
    print_list(&bytes, "withheld", &listed, true, ANY_NEWS, true);
    text_append(&bytes, span_of("}\n"));
    bool is_needed = contents == PUBLISHED || listed.count > 0;
    bool good = is_needed ? state_file_write(folder, slash == NULL ? path : slash + 1, &bytes)
                          : unlink(path) == 0 || errno == ENOENT;
    if (!good)
        (void)command_complain("%s: cannot be %s: %s", path, is_needed ? "written" : "removed",
                               strerror(errno));
    records_free(&listed);
    text_free(&bytes);
    free(folder);
    return good;
}

bool publication_commit(struct publication *publication, struct records *now, records_print *print,
                        const char *command)
{
    struct sending sending = {
        .lists = {&publication->before, now}, .print = print, .command = command};
    const char *pending = pending_path(publication);
    list_domains(&sending);
    bool good = sending.count == 0 || write_list(pending, sending.lists, BEFORE_SENDING);
    if (good) {
        send_all(&sending, 0, sending.count);
        note_failures(&sending);
        /* Without anything to send the files of domains may be other ones. */
        if (sending.any_success || sending.count == 0)
            good = write_list(publication->path, sending.lists, PUBLISHED) &&
                   write_list(pending, sending.lists, AFTER_SENDING);
        good = tell_failures(&sending) && good;
    }
    free(sending.domains);
    return good;
}
