#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "command/records.h"

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

void records_print_published(struct records *list, struct text *out)
{
    records_sort(list);
    json_open(out, NULL, '{');
    print_list(out, "records", list, false, ANY_NEWS, true);
    json_new_line(out);
    print_list(out, "withheld", list, true, ANY_NEWS, true);
    text_append(out, span_of("}\n"));
}
