#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/text.h"
#include "command/command.h"
#include "command/reading.h"

enum { COLUMNS = 7, CELL_SIZE = 256 };

struct row {
    char cells[COLUMNS][CELL_SIZE];
};

static const char *const headings[COLUMNS] = {"DOMAIN", "STATE",       "MODE",   "MAX_AGE",
                                              "ID",     "CERTIFICATE", "EXPIRES"};

/* The credential that stands for the domain: the one that ends first. */
static const struct credential *first_to_end(const struct site_domain *domain)
{
    const struct credential *first = NULL;
    for (int kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        const struct credential *credential = domain->credentials[kind];
        if (credential != NULL &&
            (first == NULL || credential_not_after(credential) < credential_not_after(first)))
            first = credential;
    }
    return first;
}

static const char *state_text(const struct site_domain *domain)
{
    if (domain->state == SITE_REFUSED)
        return "refused";
    if (domain->state == SITE_STALE)
        return "stale";
    return first_to_end(domain) == NULL ? "no-certificate" : "served";
}

static void fill_row(const struct site_domain *domain, struct row *row)
{
    const struct policy *policy = domain->policy;
    const struct credential *credential = first_to_end(domain);
    char day[CALENDAR_DAY_SIZE] = "-";
    if (credential != NULL)
        calendar_day(credential_not_after(credential), day);
    /* Every cell has a bound, and the longest value, a domain, fits. */
    (void)snprintf(row->cells[0], CELL_SIZE, "%s", domain->name);
    (void)snprintf(row->cells[1], CELL_SIZE, "%s", state_text(domain));
    (void)snprintf(row->cells[2], CELL_SIZE, "%s",
                   policy == NULL ? "-" : policy_mode_text(policy_mode(policy)));
    (void)snprintf(row->cells[3], CELL_SIZE, policy == NULL ? "-" : "%" PRIu32,
                   policy == NULL ? 0 : policy_max_age(policy));
    (void)snprintf(row->cells[4], CELL_SIZE, "%s", policy == NULL ? "-" : policy_id(policy));
    (void)snprintf(row->cells[5], CELL_SIZE, "%s%s",
                   credential == NULL ? "-" : credential_algorithm(credential),
                   domain->credentials[CREDENTIAL_ECDSA] != NULL &&
                           domain->credentials[CREDENTIAL_RSA] != NULL
                       ? " +1"
                       : "");
    (void)snprintf(row->cells[6], CELL_SIZE, "%s", day);
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

static void print_table(const struct site *site, struct text *out)
{
    struct row row;
    size_t widths[COLUMNS] = {0};
    for (size_t i = 0; i < COLUMNS; i++)
        widths[i] = strlen(headings[i]);
    for (size_t i = 0; i < site_count(site); i++) {
        fill_row(site_at(site, i), &row);
        widen(widths, &row);
    }
    for (size_t i = 0; i < COLUMNS; i++)
        (void)snprintf(row.cells[i], CELL_SIZE, "%s", headings[i]); /* headings are short */
    print_row(widths, &row, out);
    for (size_t i = 0; i < site_count(site); i++) {
        fill_row(site_at(site, i), &row);
        print_row(widths, &row, out);
    }
}

static void print_credentials_json(const struct site_domain *domain, int64_t now, struct text *out)
{
    const char *separator = "";
    text_append(out, span_of(",\"certificates\":["));
    for (int kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        const struct credential *credential = domain->credentials[kind];
        if (credential == NULL)
            continue;
        int64_t left = credential_not_after(credential) - now;
        char day[CALENDAR_DAY_SIZE];
        calendar_day(credential_not_after(credential), day);
        text_printf(out,
                    "%s{\"algorithm\":\"%s\",\"expires\":\"%s\",\"days_left\":%" PRId64
                    ",\"line\":%" PRIu32 ",\"file\":",
                    separator, credential_algorithm(credential), day,
                    left >= 0 ? left / 86400 : -((-left + 86399) / 86400),
                    credential_line(credential));
        text_json(out, span_of(credential_file(credential)));
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

static void print_json(const struct site *site, int64_t now, struct text *out)
{
    text_append(out, span_of("["));
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        text_printf(out, "%s\n{\"domain\":\"%s\",\"state\":\"%s\"", i == 0 ? "" : ",", domain->name,
                    state_text(domain));
        print_policy_json(domain->policy, out);
        print_credentials_json(domain, now, out);
        text_append(out, span_of(",\"file\":"));
        text_json(out, span_of(domain->file));
        text_append(out, span_of("}"));
    }
    text_append(out, span_of("]\n"));
}

int command_list(const struct command_line *line)
{
    struct text out = {0};
    struct reading reading = reading_new(line, false);
    int status = STATUS_WRONG;
    reading_print(&reading, DIAG_ERROR);
    if (reading.configuration == NULL)
        goto done;
    if (line->json)
        print_json(reading.configuration->site, line->now, &out);
    else
        print_table(reading.configuration->site, &out);
    if (text_write(&out, STDOUT_FILENO) && diag_count(reading.diag, DIAG_ERROR) == 0)
        status = STATUS_GOOD;
done:
    text_free(&out);
    reading_free(&reading);
    return status;
}
