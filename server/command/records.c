#include "command/records.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/calendar.h"
#include "base/limits.h"
#include "base/text.h"
#include "site/verdict.h"

bool records_begin(struct records *records)
{
    *records = (struct records){.arena = arena_new()};
    return records->arena != NULL;
}

void records_free(struct records *records)
{
    arena_free(records->arena);
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

/* Adds a record at PREFIX.DOMAIN, which may be too long a name. */
static void add_below(struct records *records, const char *prefix, struct dns_record record)
{
    char name[LIMIT_NAME + 16];
    int len = snprintf(name, sizeof(name), "%s.%s.", prefix, record.domain);
    if (len - 1 > LIMIT_NAME)
        record.withheld = "the name would be longer than DNS allows";
    record.name = name;
    records_add(records, &record);
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
    if (site_policy(domain) == NULL) {
        record.withheld = "it is refused, and \"mta-sts-httpd check\" says why";
        add_below(records, "_mta-sts", record);
        return;
    }
    if (settings->dns_target != NULL)
        add_alias(records, settings, domain);
    add_addresses(records, settings, domain);
    /* The bytes that senders agree on: one space behind each semicolon but the last. */
    text_printf(&value, "v=STSv1; id=%s;", policy_id(site_policy(domain)));
    record.withheld = judge_certificates(domain, now, reason);
    add_text(records, "_mta-sts", record, &value);
    const char *rua = site_tls_rpt(domain) != NULL ? site_tls_rpt(domain) : settings->tls_rpt;
    if (rua != NULL) {
        value.len = 0;
        text_printf(&value, "v=TLSRPTv1; rua=%s", rua);
        record.withheld = NULL;
        add_text(records, "_smtp._tls", record, &value);
    }
    text_free(&value);
}
