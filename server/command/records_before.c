#include "command/records_before.h"

#include <errno.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "base/limits.h"
#include "configuration/document.h"
#include "files/file.h"

static bool reject(struct diag *diag, const struct node *node)
{
    diag_add(diag, DIAG_FATAL, node->at,
             "this is not what \"mta-sts-httpd dns --format json\" prints");
    return false;
}

/* The text of a member that must be there; NULL where null stands. */
static bool read_text(const struct node *object, const char *key, const char **ret_text)
{
    const struct node *node = document_member(object, key);
    if (node == NULL || node->kind != NODE_SCALAR)
        return false;
    *ret_text = node->null ? NULL : node->text.data;
    return true;
}

static bool read_record(struct records *before, const struct node *object, const char *withheld,
                        struct diag *diag)
{
    struct dns_record record = {.withheld = withheld};
    const char *ttl = NULL;
    (void)read_text(object, "file", &record.file); /* only a list of what is published has it */
    if (!read_text(object, "domain", &record.domain) || !read_text(object, "name", &record.name) ||
        !read_text(object, "type", &record.type) || !read_text(object, "value", &record.value) ||
        !read_text(object, "ttl", &ttl) || record.domain == NULL || record.name == NULL ||
        record.type == NULL || (ttl != NULL && !calendar_duration(span_of(ttl), &record.ttl)))
        return reject(diag, object);
    if (record.value != NULL)
        records_add(before, &record);
    return true;
}

static bool read_list(struct records *before, const struct node *root, const char *key,
                      const char *withheld, struct diag *diag)
{
    const struct node *list = document_member(root, key);
    if (list == NULL || list->kind != NODE_SEQUENCE)
        return reject(diag, root);
    for (size_t i = 0; i < list->count; i++)
        if (!read_record(before, list->items[i], withheld, diag))
            return false;
    return true;
}

bool records_read(struct records *before, const char *path, struct diag *diag)
{
    bool good = false;
    struct text bytes = {0};
    struct arena *arena = arena_new();
    const char *file = diag_intern(diag, span_of(path));
    if (arena == NULL || !file_read_named(path, LIMIT_YAML_FILE, &bytes, NULL)) {
        diag_add(diag, DIAG_FATAL, (struct position){.file = file}, "cannot be read: %s",
                 file_error(arena == NULL ? ENOMEM : errno));
        goto done;
    }
    /* JSON as we print it is YAML too. */
    const struct node *root =
        document_parse(arena, (struct span){bytes.data, bytes.len}, file, DIAG_FATAL, diag);
    good = root != NULL && read_list(before, root, "records", NULL, diag) &&
           read_list(before, root, "withheld", "it was withheld then", diag);
done:
    text_free(&bytes);
    arena_free(arena);
    return good;
}

/* The order of the earlier list, in which a set and a domain are stretches. An empty type is before
 * every other. */
static int compare_places(const struct dns_record *one, const char *domain, const char *name,
                          const char *type)
{
    int order = strcmp(one->domain, domain);
    if (order == 0)
        order = strcmp(one->name, name);
    return order == 0 ? strcmp(one->type, type) : order;
}

static int compare_records(const void *left, const void *right)
{
    const struct dns_record *one = left, *other = right;
    int order = compare_places(one, other->domain, other->name, other->type);
    return order == 0 ? strcmp(one->value, other->value) : order;
}

void records_sort(struct records *list)
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), compare_records);
}

/* The index of the first record that is not before this place. */
static size_t find_place(const struct records *before, const char *domain, const char *name,
                         const char *type)
{
    size_t low = 0, high = before->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_places(&before->items[middle], domain, name, type) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_equal(const struct records *records, size_t begin, size_t end,
                      const struct dns_record *wanted)
{
    for (size_t i = begin; i < end; i++)
        if (strcmp(records->items[i].value, wanted->value) == 0 &&
            records->items[i].ttl == wanted->ttl)
            return true;
    return false;
}

/* Sets the news of a set of the new list and of the same one in the earlier list. */
static void compare_set(struct records *before, struct records *now, size_t begin, size_t end)
{
    const struct dns_record *first = &now->items[begin];
    size_t from = find_place(before, first->domain, first->name, first->type);
    if (from == before->count ||
        compare_places(&before->items[from], first->domain, first->name, first->type) != 0)
        return;
    size_t to = records_set_end(before, from);
    bool known = before->items[from].withheld == NULL;
    bool same = known && to - from == end - begin;
    for (size_t i = from; i < to && same; i++)
        same = !before->items[i].is_uncertain && has_equal(now, begin, end, &before->items[i]);
    for (size_t i = begin; i < end; i++)
        now->items[i].news = !known ? DNS_NEW : same ? DNS_SAME : DNS_CHANGED;
    for (size_t i = from; i < to; i++)
        before->items[i].news = first->withheld != NULL ? DNS_KEPT
                                : !known || same        ? DNS_SAME
                                                        : DNS_CHANGED;
}

/* Where a TXT record is withheld, an alias in its place stays; and the other way round. */
static void keep_place(struct records *before, const struct dns_record *withheld)
{
    for (size_t i = find_place(before, withheld->domain, withheld->name, "");
         i < before->count && strcmp(before->items[i].name, withheld->name) == 0; i++)
        before->items[i].news = DNS_KEPT;
}

/* Whether the record of a policy is one in the zone. */
static bool is_in_zone(const struct dns_record *record, const char *zone)
{
    const char *end = zone == NULL ? NULL : strstr(record->name, "._mta-sts.");
    size_t len = zone == NULL ? 0 : strlen(zone);
    return end != NULL && strncmp(end + strlen("._mta-sts."), zone, len) == 0 &&
           strcmp(end + strlen("._mta-sts.") + len, ".") == 0;
}

static void keep_targets(struct records *before)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct dns_record *alias = &before->items[i];
        char domain[LIMIT_NAME + 1] = "";
        size_t len = strlen(alias->value);
        if (alias->news != DNS_KEPT || strcmp(alias->type, "CNAME") != 0 || len == 0 ||
            len > sizeof(domain))
            continue;
        memcpy(domain, alias->value, len - 1); /* a shared record belongs to its name */
        size_t place = find_place(before, domain, alias->value, "TXT");
        if (place < before->count && before->items[place].news == DNS_GONE &&
            compare_places(&before->items[place], domain, alias->value, "TXT") == 0)
            before->items[place].news = DNS_KEPT;
    }
}

static void set_domain(struct records *before, const char *domain, enum dns_news news)
{
    for (size_t i = find_place(before, domain, "", "");
         i < before->count && strcmp(before->items[i].domain, domain) == 0; i++)
        before->items[i].news = news;
}

void records_doubt(struct records *before, struct records *pending)
{
    records_sort(before);
    records_sort(pending);
    const size_t count = before->count; /* the new ones come behind */
    for (size_t i = 0, end; i < pending->count; i = end) {
        const struct dns_record *first = &pending->items[i];
        end = records_set_end(pending, i);
        const struct records known = {.items = before->items, .count = count};
        size_t from = find_place(&known, first->domain, first->name, first->type);
        bool is_there = from < known.count && compare_places(&before->items[from], first->domain,
                                                             first->name, first->type) == 0;
        for (size_t j = from, to = is_there ? records_set_end(&known, from) : from; j < to; j++)
            before->items[j].is_uncertain = true;
        for (size_t j = i; j < end && !is_there; j++) {
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
    for (size_t i = 0; i < before->count; i++)
        before->items[i].news =
            keep_missing && !is_in_zone(&before->items[i], zone) ? DNS_KEPT : DNS_GONE;
    for (size_t i = 0, end; i < now->count; i = end) {
        const struct dns_record *first = &now->items[i];
        end = records_set_end(now, i);
        /* A mistake in a file must not take away what a refused domain has published. */
        if (first->value == NULL)
            set_domain(before, first->domain, DNS_KEPT);
        else if (i == 0 || strcmp(first->domain, now->items[i - 1].domain) != 0)
            set_domain(before, first->domain, DNS_GONE);
        if (first->value != NULL)
            compare_set(before, now, i, end);
        if (first->withheld != NULL && first->value != NULL)
            keep_place(before, first);
    }
    keep_targets(before);
}
