#include <stdlib.h>

#include "base/text.h"
#include "command/command.h"
#include "command/listing.h"
#include "command/reading.h"
#include "command/senders.h"
#include "site/verdict.h"

typedef const struct site_domain *const *entry;

static int compare_numbers(int64_t one, int64_t other)
{
    return one < other ? -1 : one > other;
}

static int by_domain(const void *left, const void *right)
{
    return strcmp((*(entry)left)->name, (*(entry)right)->name);
}

/* Equal ones are in the order of their names. */
static int then_by_domain(int order, const void *left, const void *right)
{
    return order == 0 ? by_domain(left, right) : order;
}

static int by_state(const void *left, const void *right)
{
    int order = compare_numbers(verdict_state(*(entry)left), verdict_state(*(entry)right));
    return then_by_domain(order, left, right);
}

/* Domains without a policy come first: they need a look. */
static int64_t mode_of(const void *one)
{
    const struct policy *policy = (*(entry)one)->policy;
    return policy == NULL ? -1 : (int64_t)policy_mode(policy);
}

static int by_mode(const void *left, const void *right)
{
    return then_by_domain(compare_numbers(mode_of(left), mode_of(right)), left, right);
}

static int64_t max_age_of(const void *one)
{
    const struct policy *policy = (*(entry)one)->policy;
    return policy == NULL ? -1 : (int64_t)policy_max_age(policy);
}

static int by_max_age(const void *left, const void *right)
{
    return then_by_domain(compare_numbers(max_age_of(left), max_age_of(right)), left, right);
}

static const char *id_of(const void *one)
{
    const struct policy *policy = (*(entry)one)->policy;
    return policy == NULL ? "" : policy_id(policy);
}

static int by_id(const void *left, const void *right)
{
    return then_by_domain(strcmp(id_of(left), id_of(right)), left, right);
}

/* Domains without a certificate come last: none of theirs will expire. */
static int64_t end_of(const void *one)
{
    const struct credential *credential = verdict_first_to_end(*(entry)one);
    return credential == NULL ? INT64_MAX : credential_not_after(credential);
}

static int by_expires(const void *left, const void *right)
{
    return then_by_domain(compare_numbers(end_of(left), end_of(right)), left, right);
}

typedef int compare(const void *left, const void *right);

static const struct {
    const char *name;
    compare *order;
} columns[] = {
    {"domain", by_domain},   {"state", by_state}, {"mode", by_mode},
    {"max_age", by_max_age}, {"id", by_id},       {"expires", by_expires},
};

static compare *find_order(const char *name)
{
    if (name == NULL)
        return by_domain;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        if (strcmp(columns[i].name, name) == 0)
            return columns[i].order;
    return NULL;
}

/* DOMAIN_STATES when there is no such state. */
static unsigned find_state(const char *name)
{
    unsigned state = 0;
    while (state < DOMAIN_STATES && strcmp(verdict_state_text((enum domain_state)state), name) != 0)
        state++;
    return state;
}

static bool is_listed(const struct command_line *line, const struct site_domain *domain)
{
    if (line->state != NULL && (unsigned)verdict_state(domain) != find_state(line->state))
        return false;
    return reading_is_asked(line, domain);
}

static void print_listed(const struct command_line *line, const struct site *site, compare *order,
                         struct text *out)
{
    size_t count = 0;
    const struct site_domain **domains = calloc(site_count(site) + 1, sizeof(*domains));
    if (domains == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < site_count(site); i++)
        if (is_listed(line, site_at(site, i)))
            domains[count++] = site_at(site, i);
    qsort(domains, count, sizeof(const struct site_domain *), order);
    if (line->json)
        listing_print_json(domains, count, line->now, out);
    else
        listing_print(domains, count, line->now, out);
    free(domains);
}

int command_list(const struct command_line *line)
{
    struct text out = {0};
    int status = STATUS_WRONG;
    compare *order = find_order(line->sort);
    if (order == NULL)
        return command_misused("list", "no list is sorted by", line->sort);
    if (line->state != NULL && find_state(line->state) == DOMAIN_STATES)
        return command_misused("list", "no domain is in the state", line->state);
    if (line->senders && line->operand_count != 1)
        return command_misused("list", "--senders wants one domain", NULL);
    struct reading reading = reading_new(line, line->senders, NULL);
    bool told = reading_tell(line, &reading);
    if (reading.configuration == NULL)
        goto done;
    if (line->senders) {
        status = senders_list(line, &reading) ? STATUS_GOOD : STATUS_WRONG;
        goto done;
    }
    bool good = true;
    for (size_t i = 0; i < line->operand_count; i++)
        good = reading_check(&reading, line->operands[i]) && good;
    print_listed(line, reading.configuration->site, order, &out);
    if (command_write(&out) && told && good && reading_errors(&reading) == 0)
        status = STATUS_GOOD;
done:
    text_free(&out);
    reading_free(&reading);
    return status;
}
