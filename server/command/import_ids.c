#include "command/import_ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "policy/record.h"
#include "probe/resolve.h"

/* What is published at a name. Only what begins as a record of MTA-STS counts. The texts are borrowed
 * from the arena of the files. */
struct txt {
    struct span name;  /* lower case, without its final dot */
    struct span value; /* of the first record; data NULL when there is none */
    bool is_several;
    bool is_unknown; /* the DNS did not answer */
};

struct zone {
    struct import_files *files;
    struct txt *items; /* owned; one for each name */
    size_t count, capacity;
    struct table by_name;
};

enum { RECORDS = 8 };

/* Takes a character string off the line (RFC 1035 section 5.1), in quotes or not, and appends it.
 * False at the end of the line or at a comment. */
static bool take_string(struct span *line, struct text *out)
{
    while (line->len > 0 && memchr(" \t\r", line->data[0], 3) != NULL)
        *line = span_skip(*line, 1);
    if (line->len == 0 || line->data[0] == ';')
        return false;
    bool quoted = line->data[0] == '"';
    if (quoted)
        *line = span_skip(*line, 1);
    while (line->len > 0 &&
           (quoted ? line->data[0] != '"' : memchr(" \t\r;", line->data[0], 4) == NULL)) {
        char byte = line->data[0];
        size_t taken = 1;
        if (byte == '\\' && line->len > 3 && ascii_is_digit(line->data[1]) &&
            ascii_is_digit(line->data[2]) && ascii_is_digit(line->data[3])) {
            byte = (char)((line->data[1] - '0') * 100 + (line->data[2] - '0') * 10 +
                          (line->data[3] - '0'));
            taken = 4;
        } else if (byte == '\\' && line->len > 1) {
            byte = line->data[1];
            taken = 2;
        }
        text_append(out, (struct span){&byte, 1});
        *line = span_skip(*line, taken);
    }
    if (quoted && line->len > 0)
        *line = span_skip(*line, 1);
    return true;
}

static void note(struct import_files *files, struct txt *txt, struct span value)
{
    if (!span_begins_fold(value, span_of("v=STSv1")))
        return;
    txt->is_several = txt->value.data != NULL;
    txt->value = (struct span){arena_copy(files->arena, value), value.len};
    files->shortage = files->shortage || txt->value.data == NULL;
}

static struct span name_key(const void *items, size_t index)
{
    const struct txt *names = items;
    return names[index].name;
}

static void add_txt(struct zone *zone, struct span name, struct span value)
{
    char *copy = arena_copy(zone->files->arena, name);
    for (size_t i = 0; i < name.len && copy != NULL; i++)
        copy[i] = ascii_lower(copy[i]);
    struct span key = {copy, name.len};
    size_t index =
        copy == NULL ? TABLE_NONE : table_find(&zone->by_name, key, name_key, zone->items);
    if (index == TABLE_NONE && copy != NULL) {
        void *items = array_room(zone->items, zone->count, &zone->capacity, sizeof(*zone->items));
        if (items != NULL)
            zone->items = items;
        if (items != NULL && table_add(&zone->by_name, key, zone->count)) {
            index = zone->count++;
            zone->items[index] = (struct txt){.name = key};
        }
    }
    if (index == TABLE_NONE)
        zone->files->shortage = true;
    else
        note(zone->files, &zone->items[index], value);
}

/* Reads "NAME [TTL] [CLASS] TXT STRINGS"; any other line is passed over. */
static void read_line(struct zone *zone, struct span line)
{
    struct text name = {0}, word = {0}, value = {0};
    bool is_txt = false;
    text_append(&value, span_of(""));
    if (line.len > 0 && memchr(" \t", line.data[0], 2) == NULL && take_string(&line, &name)) {
        for (size_t i = 0; i < 3 && !is_txt; i++) {
            word.len = 0;
            if (!take_string(&line, &word))
                break;
            is_txt = span_equal_fold((struct span){word.data, word.len}, span_of("TXT"));
        }
        if (is_txt) {
            while (take_string(&line, &value))
                continue;
            if (name.len > 0 && name.data[name.len - 1] == '.')
                name.len--;
            add_txt(zone, (struct span){name.data, name.len}, (struct span){value.data, value.len});
        }
    }
    zone->files->shortage = zone->files->shortage || name.failed || word.failed || value.failed;
    text_free(&name);
    text_free(&word);
    text_free(&value);
}

static bool read_zone(struct zone *zone, const char *path)
{
    struct text bytes = {0};
    struct diag *diag = zone->files->diag;
    const char *name = import_files_name(zone->files, path);
    const char *real = name == NULL ? NULL : import_files_real(zone->files, name);
    if (real == NULL)
        return false;
    bool good = import_files_read(zone->files, name, &bytes);
    if (!good)
        diag_add(diag, DIAG_ERROR, (struct position){.file = diag_intern(diag, span_of(real))},
                 "the file cannot be read: %s", strerror(errno));
    struct span rest = {bytes.data, bytes.len};
    while (rest.len > 0) {
        const char *end = memchr(rest.data, '\n', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
        read_line(zone, (struct span){rest.data, len});
        rest = span_skip(rest, end == NULL ? len : len + 1);
    }
    text_free(&bytes);
    return good;
}

static struct txt find_in_zone(const struct zone *zone, struct span name)
{
    size_t index = table_find(&zone->by_name, name, name_key, zone->items);
    const struct txt nothing = {.name = name};
    return index == TABLE_NONE ? nothing : zone->items[index];
}

static struct txt find_in_dns(struct import_files *files, const char *name)
{
    struct txt txt = {0};
    struct text values[RECORDS] = {{0}};
    size_t count = 0;
    enum resolve_result result = resolve_txt(name, values, RECORDS, &count);
    if (result != RESOLVE_DONE)
        count = 0;
    txt.is_unknown = result == RESOLVE_FAILED;
    for (size_t i = 0; i < count; i++) {
        note(files, &txt, (struct span){values[i].data, values[i].len});
        text_free(&values[i]);
    }
    return txt;
}

static void report(struct import_files *files, const struct import_host *host, const char *problem)
{
    diag_add(files->diag, DIAG_WARNING, host->at, "%s: its id is not kept: %s", host->domain,
             problem);
    diag_hint(files->diag, "publish the new one after the change: \"mta-sts-httpd dns\" prints it");
}

static void keep_id(struct import_files *files, struct import_host *host, struct txt txt)
{
    struct record record;
    record_read(txt.value, &record);
    if (txt.is_unknown)
        report(files, host, "the DNS does not answer");
    else if (txt.value.data == NULL)
        report(files, host, "none was found");
    else if (txt.is_several)
        report(files, host, "there are several");
    else if (record.id.data == NULL)
        report(files, host, import_format(files, "the record %s", record_form_text(record.form)));
    else if (inspection_changes_meaning(host->inspection))
        report(files, host, "what is mended makes it another policy");
    else
        host->id = import_format(files, "%.*s", (int)record.id.len, record.id.data);
}

void import_keep_ids(struct import_hosts *hosts, const char *path)
{
    struct import_files *files = hosts->files;
    struct zone zone = {.files = files};
    if (path == NULL || read_zone(&zone, path)) {
        for (size_t i = 0; i < hosts->count; i++) {
            struct import_host *host = &hosts->items[i];
            const char *name = import_format(files, "_mta-sts.%s", host->domain);
            if (host->policy != NULL)
                keep_id(files, host,
                        path == NULL ? find_in_dns(files, name)
                                     : find_in_zone(&zone, span_of(name)));
        }
    }
    table_free(&zone.by_name);
    free(zone.items);
}
