#include "command/records.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/calendar.h"
#include "base/limits.h"
#include "base/text.h"
#include "policy/record.h"
#include "site/verdict.h"

bool records_begin(struct records *records)
{
    *records = (struct records){.arena = arena_new()};
    return records->arena != NULL;
}

void records_free(struct records *records)
{
    arena_free(records->arena);
    table_free(&records->by_name);
    free(records->items);
    *records = (struct records){0};
}

static const char *copy(struct records *records, const char *text)
{
    const char *copied = text == NULL ? NULL : arena_copy(records->arena, span_of(text));
    records->shortage = records->shortage || (copied == NULL && text != NULL);
    return copied;
}

void records_add(struct records *records, const struct dns_record *record)
{
    if (!array_room(&records->items, records->count, &records->capacity, sizeof(*records->items))) {
        records->shortage = true;
        return;
    }
    /* A record without all of its words is none. */
    records->items[records->count] = (struct dns_record){
        .domain = copy(records, record->domain),
        .name = copy(records, record->name),
        .type = copy(records, record->type),
        .value = copy(records, record->value),
        .ttl = record->ttl,
        .file = copy(records, record->file),
        .withheld = copy(records, record->withheld),
        .is_uncertain = record->is_uncertain,
        .policy = record->policy,
    };
    records->count += records->shortage ? 0 : 1;
}

void records_withhold(struct records *records, size_t index, const char *reason)
{
    records->items[index].withheld = copy(records, reason);
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

enum { REASON_SIZE = 128 };

/* Why senders could not fetch the policy, or NULL. */
static const char *judge_certificates(const struct site_domain *domain, int64_t now,
                                      char reason[static REASON_SIZE])
{
    char day[CALENDAR_DAY_SIZE];
    const struct credential *credential;
    enum credential_fault fault = verdict_certificate(domain, now, &credential);
    switch (fault) {
    case CREDENTIAL_SOUND:
        return NULL;
    case CREDENTIAL_MISSING:
        return "no certificate with its key covers its policy host";
    case CREDENTIAL_EXPIRED:
        calendar_day(credential_not_after(credential), day);
        (void)snprintf(reason, REASON_SIZE, "its certificate has expired on %s", day);
        break;
    case CREDENTIAL_NOT_YET:
        calendar_day(credential_not_before(credential), day);
        (void)snprintf(reason, REASON_SIZE, "its certificate is not valid before %s", day);
        break;
    case CREDENTIAL_SELF_SIGNED:
    case CREDENTIAL_INCOMPLETE:
    case CREDENTIAL_CHAIN_EXPIRED:
    case CREDENTIAL_MUST_STAPLE:
        (void)snprintf(reason, REASON_SIZE, "its certificate cannot be verified: %s",
                       credential_fault_text(fault)); /* a short clause */
        break;
    }
    return reason;
}

static struct span name_key(const void *items, size_t index)
{
    const struct dns_record *records = items;
    return span_of(records[index].name);
}

static size_t find(const struct records *records, const char *name)
{
    return table_find(&records->by_name, span_of(name), name_key, records->items);
}

/* The name of a record has one place in the table. */
static void add_named(struct records *records, const struct dns_record *record)
{
    size_t index = records->count;
    records_add(records, record);
    if (records->shortage || find(records, record->name) != TABLE_NONE)
        return;
    records->shortage = !table_add(&records->by_name, span_of(record->name), index);
}

/* Adds a record at PREFIX.DOMAIN, which may be too long a name. */
static void add_below(struct records *records, const char *prefix, struct dns_record record)
{
    char name[LIMIT_NAME + 16];
    int len = snprintf(name, sizeof(name), "%s.%s.", prefix, record.domain);
    if (len - 1 > LIMIT_NAME)
        record.withheld = "the name would be longer than DNS allows";
    record.name = name;
    add_named(records, &record);
}

size_t records_find(const struct records *records, const struct site_domain *domain)
{
    char name[LIMIT_NAME + 16];
    (void)snprintf(name, sizeof(name), "_mta-sts.%s.", site_name(domain)); /* it fits */
    return find(records, name);
}

/* The bytes that senders agree on: one space behind each semicolon but the last. */
static void print_id(const struct policy *policy, struct text *out)
{
    text_printf(out, "v=STSv1; id=%s;", policy_id(policy));
}

/* Whose last valid policy is served, though another is configured, does not tell what the record says. */
static bool is_shared(const struct site_domain *domain)
{
    return site_state(domain) == SITE_SERVED && site_label(domain) != NULL;
}

/* The name of the shared record, with its final dot. False when that is too long. */
static bool name_shared(const struct settings *settings, const struct site_domain *domain,
                        char ret_name[static RECORD_NAME_SIZE + 1])
{
    record_shared_name(site_label(domain), settings->dns_delegate, ret_name);
    size_t len = strlen(ret_name);
    (void)snprintf(ret_name + len, 2, ".");
    return len <= LIMIT_NAME;
}

size_t records_find_shared(const struct records *records, const struct settings *settings,
                           const struct site_domain *domain)
{
    char name[RECORD_NAME_SIZE + 1];
    return site_label(domain) == NULL || !name_shared(settings, domain, name) ? TABLE_NONE
                                                                              : find(records, name);
}

void records_add_shared(struct records *records, const struct settings *settings,
                        const struct site_domain *domain, int64_t now)
{
    char name[RECORD_NAME_SIZE + 1], key[LIMIT_NAME + 1], reason[REASON_SIZE];
    struct text value = {0};
    if (!is_shared(domain) || !name_shared(settings, domain, name))
        return;
    const char *withheld = judge_certificates(domain, now, reason);
    size_t known = records_find_shared(records, settings, domain);
    if (known != TABLE_NONE && withheld == NULL)
        records->items[known].withheld = NULL; /* one domain that senders reach is enough */
    if (known != TABLE_NONE)
        return;
    (void)snprintf(key, sizeof(key), "%.*s", (int)strlen(name) - 1, name); /* it fits */
    print_id(site_policy(domain), &value);
    records->shortage = records->shortage || value.failed;
    add_named(records, &(struct dns_record){
                           .domain = key,
                           .name = name,
                           .type = "TXT",
                           .value = value.data,
                           .ttl = settings->dns_ttl,
                           .withheld = withheld,
                           .policy = site_policy(domain),
                       });
    text_free(&value);
}

/* In place of a TXT record of its own. */
static void add_delegation(struct records *records, const struct settings *settings,
                           const struct site_domain *domain, struct dns_record record)
{
    char target[RECORD_NAME_SIZE + 1];
    record.type = "CNAME";
    record.value = target;
    if (!name_shared(settings, domain, target))
        record.withheld = "the name that it leads to would be longer than DNS allows";
    add_below(records, "_mta-sts", record);
}

static void add_alias(struct records *records, const struct settings *settings,
                      const struct site_domain *domain)
{
    char target[LIMIT_NAME + 2], host[LIMIT_NAME + 2];
    (void)snprintf(target, sizeof(target), "%s.", settings->dns_target);  /* was judged */
    (void)snprintf(host, sizeof(host), "mta-sts.%s.", site_name(domain)); /* so was this */
    struct dns_record record = {
        .domain = site_name(domain),
        .file = site_file(domain),
        .type = "CNAME",
        .value = target,
        .ttl = settings->dns_ttl,
    };
    if (strcmp(target, host) == 0)
        record.withheld = "it is the target itself, which needs address records";
    add_below(records, "mta-sts", record);
}

/* Those of one type follow each other. */
static void add_addresses(struct records *records, const struct settings *settings,
                          const struct site_domain *domain)
{
    struct dns_record record = {
        .domain = site_name(domain), .file = site_file(domain), .ttl = settings->dns_ttl};
    for (int family = 0; family < 2; family++)
        for (size_t i = 0; i < settings->dns_address_count; i++) {
            record.type = family == 0 ? "A" : "AAAA";
            record.value = settings->dns_addresses[i];
            if ((strchr(record.value, ':') != NULL) == (family == 1))
                add_below(records, "mta-sts", record);
        }
}

/* A text that is not whole makes no record. */
static void add_text(struct records *records, const char *prefix, struct dns_record record,
                     const struct text *value)
{
    records->shortage = records->shortage || value->failed;
    record.value = value->data;
    add_below(records, prefix, record);
}

void records_add_domain(struct records *records, const struct settings *settings,
                        const struct site_domain *domain, int64_t now)
{
    char reason[REASON_SIZE];
    struct text value = {0};
    struct dns_record record = {.domain = site_name(domain),
                                .file = site_file(domain),
                                .type = "TXT",
                                .ttl = settings->dns_ttl};
    if (settings->dns_delegate != NULL)
        records_add_shared(records, settings, domain, now);
    if (site_policy(domain) == NULL || (settings->dns_delegate != NULL && !is_shared(domain))) {
        record.type = settings->dns_delegate == NULL ? "TXT" : "CNAME";
        record.withheld = "it is refused, and \"mta-sts-httpd check\" says why";
        add_below(records, "_mta-sts", record);
        return;
    }
    if (settings->dns_target != NULL)
        add_alias(records, settings, domain);
    add_addresses(records, settings, domain);
    record.withheld = judge_certificates(domain, now, reason);
    if (settings->dns_delegate != NULL) {
        add_delegation(records, settings, domain, record);
    } else {
        print_id(site_policy(domain), &value);
        add_text(records, "_mta-sts", record, &value);
    }
    const char *rua = site_tls_rpt(domain) != NULL ? site_tls_rpt(domain) : settings->tls_rpt;
    if (rua != NULL) {
        value.len = 0;
        text_printf(&value, "v=TLSRPTv1; rua=%s", rua);
        record.withheld = NULL;
        add_text(records, "_smtp._tls", record, &value);
    }
    text_free(&value);
}
