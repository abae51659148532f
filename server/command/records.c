#include "command/records.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "configuration/document.h"
#include "files/file.h"
#include "policy/record.h"
#include "site/site.h"

void records_free(struct records *records)
{
    table_free(&records->by_name);
    free(records->items);
    *records = (struct records){0};
}

void records_add(struct records *records, const struct dns_record *record)
{
    *ARRAY_ADD(records->items, records->count) = *record;
}

size_t records_set_end(const struct records *records, size_t begin)
{
    const struct dns_record *first = &records->items[begin];
    size_t end = begin + 1;
    while (end < records->count && strcmp(records->items[end].name, first->name) == 0 &&
           strcmp(records->items[end].type, first->type) == 0)
        end++;
    return end;
}

/* Why senders could not fetch the policy, or NULL. */
static const char *judge_certificates(const struct records *records,
                                      const struct site_domain *domain)
{
    const struct credential *credential;
    enum credential_fault fault = verdict_certificate(domain, records->now, &credential);
    if (fault == CREDENTIAL_SOUND)
        return NULL;
    if (fault == CREDENTIAL_MISSING)
        return "no certificate with its key covers its policy host";
    if (fault != CREDENTIAL_EXPIRED && fault != CREDENTIAL_NOT_YET)
        return arena_printf(records->arena, "its certificate cannot be verified: %s",
                            credential_fault_names[fault].text);
    return fault == CREDENTIAL_EXPIRED
               ? arena_printf(records->arena, "its certificate expired on %s",
                              calendar_day(credential_fields(credential).not_after).text)
               : arena_printf(records->arena, "its certificate is not valid before %s",
                              calendar_day(credential_fields(credential).not_before).text);
}

TABLE_KEY(name_key, struct dns_record, span_of(item->name));

static struct dns_record *find(const struct records *records, const char *name)
{
    size_t index = table_find(&records->by_name, span_of(name), name_key, records->items);
    assert(index == TABLE_NONE || records->items != NULL);
    return index == TABLE_NONE ? NULL : &records->items[index];
}

/* Adds a record that is found by its name; where several have one name, the first of them. */
static void add_named(struct records *records, const struct dns_record *record)
{
    if (find(records, record->name) == NULL)
        table_add(&records->by_name, span_of(record->name), records->count);
    records_add(records, record);
}

/* Of a name with its final dot. */
static bool is_too_long(const char *name)
{
    return strlen(name) - 1 > LIMIT_NAME;
}

/* Adds a record at PREFIX.DOMAIN, which may be too long a name. */
static void add_below(struct records *records, const char *prefix, struct dns_record record,
                      const char *type, const char *value)
{
    record.name = arena_printf(records->arena, "%s.%s.", prefix, record.domain);
    record.type = type;
    record.value = value;
    if (is_too_long(record.name))
        record.withheld = "the name would be longer than DNS allows";
    add_named(records, &record);
}

struct dns_record *records_find(const struct records *records, const struct site_domain *domain)
{
    return find(records, arena_printf(records->arena, "_mta-sts.%s.", site_name(domain)));
}

/* The bytes that senders agree on: one space behind each semicolon but the last. */
static const char *print_id(struct arena *arena, const struct policy *policy)
{
    return arena_printf(arena, "v=STSv1; id=%s;", policy_id(policy));
}

/* Whose last valid policy is served, though another is configured, does not tell what the record says. */
static bool is_shared(const struct site_domain *domain)
{
    return site_state(domain) == SITE_SERVED && site_label(domain) != NULL;
}

/* The name of the shared record, with its final dot, which may be too long. */
static const char *shared_name(const struct records *records, const struct site_domain *domain)
{
    char name[RECORD_NAME_SIZE];
    record_shared_name(site_label(domain), records->settings->dns_delegate, name);
    return arena_printf(records->arena, "%s.", name);
}

struct dns_record *records_find_shared(const struct records *records,
                                       const struct site_domain *domain)
{
    return site_label(domain) == NULL ? NULL : find(records, shared_name(records, domain));
}

void records_add_shared(struct records *records, const struct site_domain *domain)
{
    const char *name = is_shared(domain) ? shared_name(records, domain) : NULL;
    if (name == NULL || is_too_long(name))
        return;
    const char *withheld = judge_certificates(records, domain);
    struct dns_record *known = find(records, name);
    if (known == NULL)
        add_named(records,
                  &(struct dns_record){
                      .domain = arena_printf(records->arena, "%.*s", (int)strlen(name) - 1, name),
                      .name = name,
                      .type = "TXT",
                      .value = print_id(records->arena, site_policy(domain)),
                      .ttl = records->settings->dns_ttl,
                      .withheld = withheld,
                      .policy = site_policy(domain),
                  });
    else if (withheld == NULL)
        known->withheld = NULL; /* one domain that senders reach is enough */
}

void records_add_domain(struct records *records, const struct site_domain *domain)
{
    const struct settings *settings = records->settings;
    const bool has_delegate = settings->dns_delegate != NULL;
    const struct dns_record record = {
        .domain = site_name(domain), .file = site_file(domain), .ttl = settings->dns_ttl};
    struct dns_record own = record, alias = record;
    if (has_delegate)
        records_add_shared(records, domain);
    if (site_policy(domain) == NULL || (has_delegate && !is_shared(domain))) {
        own.withheld = "it is refused, and \"mta-sts-httpd check\" says why";
        add_below(records, "_mta-sts", own, has_delegate ? "CNAME" : "TXT", NULL);
        return;
    }
    if (settings->dns_target != NULL) {
        const char *target = arena_printf(records->arena, "%s.", settings->dns_target);
        if (strcmp(target, arena_printf(records->arena, "mta-sts.%s.", record.domain)) == 0)
            alias.withheld = "it is the target itself, which needs address records";
        add_below(records, "mta-sts", alias, "CNAME", target);
    }
    for (int is_v6 = 0; is_v6 < 2; is_v6++) /* those of one type follow each other */
        for (size_t i = 0; i < settings->dns_address_count; i++)
            if ((strchr(settings->dns_addresses[i], ':') != NULL) == (is_v6 == 1))
                add_below(records, "mta-sts", record, is_v6 ? "AAAA" : "A",
                          settings->dns_addresses[i]);
    /* The record that leads to the policy: of its own, or an alias of the shared one. */
    own.withheld = judge_certificates(records, domain);
    const char *target = has_delegate ? shared_name(records, domain) : NULL;
    if (has_delegate && is_too_long(target))
        own.withheld = "the name that it leads to would be longer than DNS allows";
    add_below(records, "_mta-sts", own, has_delegate ? "CNAME" : "TXT",
              has_delegate ? target : print_id(records->arena, site_policy(domain)));
    const char *rua = site_tls_rpt(domain) != NULL ? site_tls_rpt(domain) : settings->tls_rpt;
    if (rua != NULL)
        add_below(records, "_smtp._tls", record, "TXT",
                  arena_printf(records->arena, "v=TLSRPTv1; rua=%s", rua));
}

/* A record as records_print_json prints it. False when it is none. */
static bool read_record(const struct node *object, const char *withheld,
                        struct dns_record *ret_record)
{
    const struct {
        const char *key;
        const char **text;
        bool is_given; /* a text, and neither null nor left out */
    } members[] = {
        {"domain", &ret_record->domain, true}, {"name", &ret_record->name, true},
        {"type", &ret_record->type, true},     {"value", &ret_record->value, false},
        {"file", &ret_record->file, false}, /* only a list of what is published has it */
    };
    const struct node *ttl = document_member(object, "ttl");
    *ret_record = (struct dns_record){.withheld = withheld};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const struct node *node = document_member(object, members[i].key);
        bool is_text = node != NULL && node->kind == NODE_SCALAR;
        if (is_text && !node->null)
            *members[i].text = node->text.data;
        else if (members[i].is_given || (!is_text && members[i].text == &ret_record->value))
            return false;
    }
    return ttl != NULL && ttl->kind == NODE_SCALAR &&
           (ttl->null || calendar_duration(ttl->text, &ret_record->ttl));
}

static bool read_list(struct records *before, const struct node *root, const char *key,
                      const char *withheld, struct diag *diag)
{
    struct dns_record record;
    const struct node *list = document_member(root, key), *wrong = root;
    bool good = list != NULL && list->kind == NODE_SEQUENCE;
    for (size_t i = 0; good && i < list->count; i++) {
        wrong = list->items[i];
        good = read_record(list->items[i], withheld, &record);
        if (good && record.value != NULL)
            records_add(before, &record);
    }
    if (!good)
        diag_add(diag, DIAG_FATAL, wrong->at,
                 "this is not what \"mta-sts-httpd dns --format json\" prints");
    return good;
}

bool records_read(struct records *before, const char *path, struct diag *diag)
{
    bool good = false;
    struct text bytes = {0};
    const char *file = diag_intern(diag, span_of(path));
    if (file_read_named(path, LIMIT_YAML_FILE, &bytes)) {
        /* JSON as we print it is YAML too. */
        const struct node *root =
            document_parse(before->arena, heap_text(&bytes), file, DIAG_FATAL, diag, NULL, NULL);
        good = root != NULL && read_list(before, root, "records", NULL, diag) &&
               read_list(before, root, "withheld", "it was withheld then", diag);
    } else {
        diag_add(diag, DIAG_FATAL, (struct position){.file = file}, "cannot be read: %s",
                 file_error(errno));
    }
    text_free(&bytes);
    return good;
}

static int compare_records(const void *left, const void *right)
{
    const struct dns_record *one = left, *other = right;
    int order = strcmp(one->domain, other->domain);
    if (order == 0)
        order = strcmp(one->name, other->name);
    if (order == 0)
        order = strcmp(one->type, other->type);
    return order == 0 ? strcmp(one->value, other->value) : order;
}

void records_sort(struct records *list)
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), compare_records);
    table_free(&list->by_name);
    for (size_t i = 0; i < list->count; i++)
        if (find(list, list->items[i].name) == NULL)
            table_add(&list->by_name, span_of(list->items[i].name), i);
}

/* Records of one name and type. */
struct set {
    struct dns_record *begin, *end;
};

/* That of the name and type of the place; empty when it is not there. */
static struct set find_set(const struct records *list, const struct dns_record *place)
{
    struct dns_record *first = find(list, place->name), *last = list->items + list->count;
    for (struct set set = {first, first}; first != NULL; set.begin = set.end) {
        if (set.begin == last || strcmp(set.begin->name, place->name) != 0)
            break;
        set.end = list->items + records_set_end(list, (size_t)(set.begin - list->items));
        if (strcmp(set.begin->type, place->type) == 0)
            return set;
    }
    return (struct set){NULL, NULL};
}

static void set_news(struct set set, enum dns_news news)
{
    for (struct dns_record *record = set.begin; record < set.end; record++)
        record->news = news;
}

static bool has_equal(struct set set, const struct dns_record *wanted)
{
    for (const struct dns_record *record = set.begin; record < set.end; record++)
        if (strcmp(record->value, wanted->value) == 0 && record->ttl == wanted->ttl)
            return true;
    return false;
}

/* Returns the news of a set of the earlier list, and sets those of the same one in the new list. One that is
 * missing stays where its domain is missing as well and keep_missing is set. */
static enum dns_news compare_set(struct set then, const struct records *now, bool keep_missing)
{
    char name[LIMIT_NAME + sizeof("_mta-sts..")]; /* of a longer domain nothing is there */
    const struct set set = find_set(now, then.begin);
    (void)snprintf(name, sizeof(name), "_mta-sts.%s.", then.begin->domain);
    const struct dns_record *own = find(now, name), *last = now->items + now->count;
    /* A mistake in a file must not take away what a refused domain has published. */
    if (own != NULL && own->value == NULL)
        return DNS_KEPT;
    bool known = then.begin->withheld == NULL;
    bool same = known && then.end - then.begin == set.end - set.begin;
    for (const struct dns_record *record = then.begin; record < then.end && same; record++)
        same = !record->is_uncertain && has_equal(set, record);
    set_news(set, !known ? DNS_NEW : same ? DNS_SAME : DNS_CHANGED);
    if (set.begin != set.end && set.begin->withheld == NULL)
        return !known || same ? DNS_SAME : DNS_CHANGED;
    /* Where a TXT record is withheld, an alias in its place stays; and the other way round. */
    for (const struct dns_record *record = find(now, then.begin->name);
         record != NULL && record < last && strcmp(record->name, then.begin->name) == 0; record++)
        if (record->withheld != NULL)
            return DNS_KEPT;
    return own == NULL && keep_missing ? DNS_KEPT : DNS_GONE;
}

void records_doubt(struct records *before, struct records *pending)
{
    records_sort(before);
    records_sort(pending);
    for (size_t i = 0, end; i < pending->count; i = end) {
        const struct set set = find_set(before, &pending->items[i]);
        end = records_set_end(pending, i);
        for (struct dns_record *record = set.begin; record < set.end; record++)
            record->is_uncertain = true;
        for (size_t j = i; j < end && set.begin == set.end; j++) {
            pending->items[j].is_uncertain = true;
            records_add(before, &pending->items[j]);
        }
    }
    records_sort(before);
}

void records_compare(struct records *before, struct records *now, bool keep_missing,
                     const char *zone)
{
    records_sort(before);
    for (size_t i = 0, end; i < before->count; i = end) {
        const char *in = zone == NULL ? NULL : strstr(before->items[i].name, "._mta-sts.");
        bool is_in_zone = in != NULL && strcmp(in + strlen("._mta-sts."), zone) == 0;
        end = records_set_end(before, i);
        const struct set set = {before->items + i, before->items + end};
        set_news(set, compare_set(set, now, keep_missing && !is_in_zone));
    }
    /* The shared records that aliases lead to which stay. */
    for (size_t i = 0; i < before->count; i++) {
        const struct dns_record *alias = &before->items[i];
        struct dns_record *target = find(before, alias->value);
        if (alias->news == DNS_KEPT && strcmp(alias->type, "CNAME") == 0 && target != NULL &&
            strcmp(target->type, "TXT") == 0 && target->news == DNS_GONE)
            target->news = DNS_KEPT;
    }
}
