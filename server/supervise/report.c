#include "supervise/loader.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"

enum {
    /* A reload of a large broken configuration must not flood the log. Beyond, only the first of a file. */
    DIAGNOSTICS = 100,
    DIAGNOSTICS_MOST = 2 * DIAGNOSTICS,
    /* Of an included file, so that no customer's hides what is said of another. */
    DIAGNOSTICS_OF_A_FILE = 10,
    /* Of those that differ only in names and numbers: so many in one file, and in so many files. */
    DIAGNOSTICS_OF_A_KIND = 5,
    KINDS = 64,
    /* Named of the files that have more of a kind, where none is told of them. */
    FILES_NAMED = 10,
};

struct kind {
    const char *kind, *message; /* borrowed */
    const char *file;           /* borrowed; the one that had it last */
    size_t in_file, files;      /* told */
    size_t left_out;
    const char *others[FILES_NAMED]; /* borrowed; the first of the files of which none was told */
    size_t other_count;
};

struct reporter {
    struct span known; /* borrowed; numbers, sorted */
    struct text now;   /* owned; numbers */
    struct kind kinds[KINDS];
    size_t kind_count;
    size_t told, left_out;
    const char *file;                      /* borrowed; the one of the diagnostic before */
    size_t told_of_file, left_out_of_file; /* because of the limit of a file */
};

static int compare_numbers(const void *left, const void *right)
{
    const uint64_t *one = left, *other = right;
    return *one < *other ? -1 : *one > *other;
}

static bool is_same_file(const char *one, const char *other)
{
    return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
}

/* NULL for one that has no place, which stands for itself. */
static struct kind *find_kind(struct reporter *reporter, const struct diag_entry *entry)
{
    size_t i = 0;
    while (i < reporter->kind_count && strcmp(reporter->kinds[i].kind, entry->kind) != 0)
        i++;
    if (i == KINDS)
        return NULL;
    struct kind *kind = &reporter->kinds[i];
    if (i == reporter->kind_count) {
        *kind = (struct kind){.kind = entry->kind, .message = entry->message};
        reporter->kind_count++;
    }
    if (kind->files == 0 || !is_same_file(kind->file, entry->at.file))
        kind->in_file = 0;
    kind->file = entry->at.file;
    return kind;
}

static void end_file(struct reporter *reporter)
{
    if (reporter->left_out_of_file > 0) {
        struct text name = {0};
        text_escape(&name, span_of(reporter->file), LIMIT_LOG_REQUEST);
        log_line(LOG_LEVEL_WARNING,
                 "%zu more errors and warnings of %s: \"mta-sts-httpd check\" shows them",
                 reporter->left_out_of_file, name.failed ? "this file" : name.data);
        text_free(&name);
    }
    reporter->told_of_file = reporter->left_out_of_file = 0;
}

static void leave_out(struct kind *kind, const struct diag_entry *entry)
{
    kind->left_out++;
    if (kind->in_file > 0 || entry->at.file == NULL)
        return;
    size_t last = kind->other_count < FILES_NAMED ? kind->other_count : FILES_NAMED;
    if (last > 0 && is_same_file(kind->others[last - 1], entry->at.file))
        return;
    if (last < FILES_NAMED)
        kind->others[last] = entry->at.file;
    kind->other_count++;
}

/* Whether there is room for it in the log; what is left out is counted. */
static bool take_room(struct reporter *reporter, const struct diag_entry *entry)
{
    struct kind *kind = find_kind(reporter, entry);
    if (kind != NULL && (kind->in_file == DIAGNOSTICS_OF_A_KIND ||
                         (kind->in_file == 0 && kind->files == DIAGNOSTICS_OF_A_KIND)))
        leave_out(kind, entry);
    else if (entry->is_limited && reporter->told_of_file == DIAGNOSTICS_OF_A_FILE)
        reporter->left_out_of_file++;
    else if (reporter->told >= (reporter->told_of_file > 0 ? DIAGNOSTICS : DIAGNOSTICS_MOST))
        reporter->left_out++;
    else {
        if (kind != NULL && kind->in_file++ == 0)
            kind->files++;
        reporter->told++;
        reporter->told_of_file++;
        return true;
    }
    return false;
}

/* Whether it was not there before. */
static bool is_new(void *context, const struct diag_entry *entry)
{
    struct reporter *reporter = context;
    const char *file = entry->at.file == NULL ? "" : entry->at.file;
    if (entry->level > DIAG_WARNING)
        return true; /* is not told anyway */
    /* Lines move while a file is edited, so that they do not count. The last bit is the part of the load. */
    uint64_t hash = span_hash(span_of(entry->message)) ^ (span_hash(span_of(file)) * 31);
    const uint64_t number = (hash & ~UINT64_C(1)) | (entry->part == DIAG_CERTIFICATES ? 1 : 0);
    text_append(&reporter->now, SPAN_OF(number));
    return reporter->known.len == 0 ||
           bsearch(&number, reporter->known.data, reporter->known.len / sizeof(number),
                   sizeof(number), compare_numbers) == NULL;
}

static void report_entry(void *context, const struct diag_entry *entry, struct span text)
{
    struct reporter *reporter = context;
    if (!is_same_file(reporter->file, entry->at.file))
        end_file(reporter);
    reporter->file = entry->at.file;
    if (!take_room(reporter, entry))
        return;
    struct text members = {0};
    if (text.len == 0) /* Out of memory, at least the message is logged. */
        text = span_of(entry->message);
    diag_print_members(entry, &members);
    log_diagnostic(entry->level == DIAG_WARNING ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, text,
                   (struct span){members.data, members.len});
    text_free(&members);
}

static void report_kind(const struct kind *kind)
{
    struct text line = {0};
    text_printf(&line, "%zu more like this: %s", kind->left_out, kind->message);
    for (size_t i = 0; i < kind->other_count && i < FILES_NAMED; i++) {
        text_append(&line, span_of(i == 0 ? "; in " : ", "));
        text_escape(&line, span_of(kind->others[i]), LIMIT_LOG_REQUEST);
    }
    if (kind->other_count > FILES_NAMED)
        text_append(&line, span_of(" and others"));
    log_line(LOG_LEVEL_WARNING, "%s",
             line.failed || line.data == NULL ? "more like this" : line.data);
    text_free(&line);
}

static void report_left_out(const struct reporter *reporter)
{
    for (size_t i = 0; i < reporter->kind_count; i++)
        if (reporter->kinds[i].left_out > 0)
            report_kind(&reporter->kinds[i]);
    if (reporter->left_out > 0)
        log_line(LOG_LEVEL_WARNING,
                 "%zu more errors and warnings: \"mta-sts-httpd check\" shows them all",
                 reporter->left_out);
}

void report_diagnostics(struct diag *diag, bool is_refused, struct span known, bool has_files,
                        struct text *ret_told)
{
    const struct span nothing = {0};
    struct reporter reporter = {.known = is_refused ? nothing : known};
    diag_choose(diag, is_new, &reporter);
    diag_each(diag, DIAG_WARNING, report_entry, &reporter);
    end_file(&reporter);
    report_left_out(&reporter);
    /* What was told of the configuration files stays known when only certificates are loaded. */
    const uint64_t *numbers = (const void *)known.data;
    for (size_t i = 0; !has_files && i < known.len / sizeof(*numbers); i++)
        if ((numbers[i] & 1) == 0)
            text_append(&reporter.now, SPAN_OF(numbers[i]));
    if (reporter.now.len > 0)
        qsort(reporter.now.data, reporter.now.len / sizeof(uint64_t), sizeof(uint64_t),
              compare_numbers);
    *ret_told = reporter.now;
}
