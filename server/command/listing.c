#include "command/listing.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/calendar.h"
#include "site/verdict.h"

enum { COLUMNS = 9, CELL_SIZE = 288 };

struct row {
    char cells[COLUMNS][CELL_SIZE];
};

static const char *const headings[COLUMNS] = {"DOMAIN", "STATE",       "MODE",    "MAX_AGE", "MX",
                                              "ID",     "CERTIFICATE", "EXPIRES", "DAYS"};

/* Whole days from now to the end; negative once it has passed. */
static int64_t days_left(const struct credential *credential, int64_t now)
{
    const int64_t day = 86400;
    int64_t left = credential_not_after(credential) - now;
    return left >= 0 ? left / day : -((-left + day - 1) / day);
}

/* Every cell has a bound, and the longest values, a domain and an mx with its count, fit. */
static void fill_policy(const struct policy *policy, struct row *row)
{
    if (policy == NULL) {
        for (size_t i = 2; i < 6; i++)
            (void)snprintf(row->cells[i], CELL_SIZE, "-");
        return;
    }
    struct span mx = policy_mx(policy, 0);
    size_t more = policy_mx_count(policy) - 1;
    (void)snprintf(row->cells[2], CELL_SIZE, "%s", policy_mode_text(policy_mode(policy)));
    (void)snprintf(row->cells[3], CELL_SIZE, "%" PRIu32, policy_max_age(policy));
    int len = snprintf(row->cells[4], CELL_SIZE, "%.*s", (int)mx.len, mx.data);
    if (more > 0)
        (void)snprintf(row->cells[4] + len, CELL_SIZE - (size_t)len, " +%zu", more);
    (void)snprintf(row->cells[5], CELL_SIZE, "%s", policy_id(policy));
}

static void fill_row(const struct site_domain *domain, int64_t now, struct row *row)
{
    const struct credential *credential = verdict_first_to_end(domain);
    bool both = domain->credentials[CREDENTIAL_ECDSA] != NULL &&
                domain->credentials[CREDENTIAL_RSA] != NULL;
    const struct credential *bad; /* the word does not name it */
    enum credential_fault fault;
    char day[CALENDAR_DAY_SIZE];
    (void)snprintf(row->cells[0], CELL_SIZE, "%s", domain->name);
    (void)snprintf(row->cells[1], CELL_SIZE, "%s", verdict_state_text(verdict_state(domain)));
    fill_policy(domain->policy, row);
    if (credential == NULL) {
        for (size_t i = 6; i < COLUMNS; i++)
            (void)snprintf(row->cells[i], CELL_SIZE, i == 6 && domain->is_proxied ? "proxy" : "-");
        return;
    }
    calendar_day(credential_not_after(credential), day);
    fault = verdict_certificate(domain, now, &bad);
    (void)snprintf(row->cells[6], CELL_SIZE, "%s%s%s%s", credential_algorithm(credential),
                   both ? " +1" : "", fault == CREDENTIAL_SOUND ? "" : ", ",
                   credential_fault_word(fault));
    (void)snprintf(row->cells[7], CELL_SIZE, "%s", day);
    (void)snprintf(row->cells[8], CELL_SIZE, "%" PRId64, days_left(credential, now));
}

static void widen(size_t widths[static COLUMNS], const struct row *row)
{
    for (size_t i = 0; i < COLUMNS; i++)
        if (strlen(row->cells[i]) > widths[i])
            widths[i] = strlen(row->cells[i]);
}

static void print_row(const size_t widths[static COLUMNS], const struct row *row, struct text *out)
{
    for (size_t i = 0; i + 1 < COLUMNS; i++)
        text_printf(out, "%-*s  ", (int)widths[i], row->cells[i]);
    text_printf(out, "%s\n", row->cells[COLUMNS - 1]);
}

void listing_print(const struct site_domain *const *domains, size_t count, int64_t now,
                   struct text *out)
{
    struct row row;
    size_t widths[COLUMNS] = {0};
    for (size_t i = 0; i < COLUMNS; i++)
        (void)snprintf(row.cells[i], CELL_SIZE, "%s", headings[i]); /* headings are short */
    widen(widths, &row);
    for (size_t i = 0; i < count; i++) {
        fill_row(domains[i], now, &row);
        widen(widths, &row);
    }
    for (size_t i = 0; i < COLUMNS; i++)
        (void)snprintf(row.cells[i], CELL_SIZE, "%s", headings[i]);
    print_row(widths, &row, out);
    for (size_t i = 0; i < count; i++) {
        fill_row(domains[i], now, &row);
        print_row(widths, &row, out);
    }
}

static void print_credentials_json(const struct site_domain *domain, int64_t now, struct text *out)
{
    const char *separator = "";
    text_printf(out, ",\"proxied\":%s,\"certificates\":[", domain->is_proxied ? "true" : "false");
    for (int kind = 0; kind < CREDENTIAL_KINDS && !domain->is_proxied; kind++) {
        const struct credential *credential = domain->credentials[kind];
        if (credential == NULL)
            continue;
        char day[CALENDAR_DAY_SIZE];
        calendar_day(credential_not_after(credential), day);
        text_printf(out,
                    "%s{\"algorithm\":\"%s\",\"expires\":\"%s\",\"days_left\":%" PRId64
                    ",\"line\":%" PRIu32,
                    separator, credential_algorithm(credential), day, days_left(credential, now),
                    credential_line(credential));
        text_json_member(out, "file", credential_file(credential));
        enum credential_fault fault = credential_judge(credential, now);
        text_json_member(out, "fault",
                         fault == CREDENTIAL_SOUND ? NULL : credential_fault_word(fault));
        text_append(out, span_of("}"));
        separator = ",";
    }
    text_append(out, span_of("]"));
}

static void print_policy_json(const struct policy *policy, struct text *out)
{
    if (policy == NULL) {
        text_append(out, span_of(",\"mode\":null,\"max_age\":null,\"id\":null,\"mx\":[]"));
        return;
    }
    text_printf(out, ",\"mode\":\"%s\",\"max_age\":%" PRIu32 ",\"id\":\"%s\",\"mx\":[",
                policy_mode_text(policy_mode(policy)), policy_max_age(policy), policy_id(policy));
    for (size_t i = 0; i < policy_mx_count(policy); i++) {
        text_append(out, span_of(i == 0 ? "" : ","));
        text_json(out, policy_mx(policy, i));
    }
    text_append(out, span_of("]"));
}

void listing_print_json(const struct site_domain *const *domains, size_t count, int64_t now,
                        struct text *out)
{
    text_append(out, span_of("["));
    for (size_t i = 0; i < count; i++) {
        const struct site_domain *domain = domains[i];
        text_printf(out, "%s\n{\"domain\":\"%s\",\"state\":\"%s\"", i == 0 ? "" : ",", domain->name,
                    verdict_state_text(verdict_state(domain)));
        print_policy_json(domain->policy, out);
        print_credentials_json(domain, now, out);
        text_json_member(out, "file", domain->file);
        text_append(out, span_of("}"));
    }
    text_append(out, span_of("]\n"));
}
