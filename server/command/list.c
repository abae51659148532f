#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/columns.h"
#include "base/heap.h"
#include "base/json.h"
#include "command/command.h"
#include "command/reading.h"
#include "probe/fetch.h"
#include "site/site.h"

/* A domain of the list, and by what it is sorted: the number, then the text, then the name. */
struct listed {
    const struct site_domain *domain;
    int64_t number;
    const char *text;
};

static void add_policy(const struct policy *policy, struct columns *columns)
{
    if (policy == NULL) {
        for (int i = 0; i < 4; i++)
            columns_add(columns, "-");
        return;
    }
    struct span mx = policy_mx(policy, 0);
    size_t more = policy_mx_count(policy) - 1;
    columns_add(columns, "%s", policy_mode_text(policy_mode(policy)));
    columns_add(columns, "%" PRIu32, policy_max_age(policy));
    text_append(&columns->text, mx);
    if (more > 0)
        text_printf(&columns->text, " +%zu", more);
    columns_end_cell(columns, "");
    columns_add(columns, "%s", policy_id(policy));
}

static void add_credential(const struct site_domain *domain, int64_t now, struct columns *columns)
{
    const struct credential *credential = verdict_first_to_end(domain);
    const struct credential *bad; /* the word does not name it */
    bool both = site_credential(domain, CREDENTIAL_ECDSA) != NULL &&
                site_credential(domain, CREDENTIAL_RSA) != NULL;
    if (credential == NULL) {
        columns_add(columns, site_is_proxied(domain) ? "proxy" : "-");
        columns_add(columns, "-");
        columns_add(columns, "-");
        return;
    }
    enum credential_fault fault = verdict_certificate(domain, now, &bad);
    const struct credential_fields fields = credential_fields(credential);
    columns_add(columns, "%s%s%s%s", fields.algorithm, both ? " +1" : "",
                fault == CREDENTIAL_SOUND ? "" : ", ", credential_fault_names[fault].word);
    columns_add(columns, "%s", calendar_day(fields.not_after).text);
    columns_add(columns, "%" PRId64, calendar_days(fields.not_after - now));
}

/* Appends the domains in the order given. now is seconds since 1970 UTC. */
static void print_domains(const struct listed *listed, size_t count, int64_t now, struct text *out)
{
    static const char *const headings[] = {"DOMAIN", "STATE",       "MODE",    "MAX_AGE", "MX",
                                           "ID",     "CERTIFICATE", "EXPIRES", "DAYS"};
    struct columns columns = {.count = sizeof(headings) / sizeof(headings[0])};
    for (size_t i = 0; i < columns.count; i++)
        columns_add(&columns, "%s", headings[i]);
    for (size_t i = 0; i < count; i++) {
        columns_add(&columns, "%s", site_name(listed[i].domain));
        columns_add(&columns, "%s", verdict_state_text(verdict_state(listed[i].domain)));
        add_policy(site_policy(listed[i].domain), &columns);
        add_credential(listed[i].domain, now, &columns);
    }
    columns_print(&columns, (size_t[COLUMNS_MOST]){0}, false, out);
    columns_free(&columns);
}

static void print_credentials_json(const struct site_domain *domain, int64_t now, struct text *out)
{
    json_flag(out, "proxied", site_is_proxied(domain));
    json_open(out, "certificates", '[');
    for (size_t kind = 0; kind < CREDENTIAL_KINDS && !site_is_proxied(domain); kind++) {
        const struct credential *credential = site_credential(domain, kind);
        if (credential == NULL)
            continue;
        const struct credential_fields fields = credential_fields(credential);
        enum credential_fault fault = credential_judge(credential, now);
        json_open(out, NULL, '{');
        json_text(out, "algorithm", fields.algorithm);
        json_text(out, "expires", calendar_day(fields.not_after).text);
        json_number(out, "days_left", calendar_days(fields.not_after - now));
        json_number(out, "line", fields.line);
        json_text(out, "file", fields.file);
        json_text(out, "fault",
                  fault == CREDENTIAL_SOUND ? NULL : credential_fault_names[fault].word);
        json_close(out, '}');
    }
    json_close(out, ']');
}

static void print_domains_json(const struct listed *listed, size_t count, int64_t now,
                               struct text *out)
{
    json_open(out, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        const struct policy *policy = site_policy(listed[i].domain);
        json_new_line(out);
        json_open(out, NULL, '{');
        json_text(out, "domain", site_name(listed[i].domain));
        json_text(out, "state", verdict_state_text(verdict_state(listed[i].domain)));
        json_text(out, "mode", policy == NULL ? NULL : policy_mode_text(policy_mode(policy)));
        json_ordinal(out, "max_age", policy == NULL ? 0 : policy_max_age(policy));
        json_text(out, "id", policy == NULL ? NULL : policy_id(policy));
        json_open(out, "mx", '[');
        for (size_t k = 0; policy != NULL && k < policy_mx_count(policy); k++)
            json_span(out, NULL, policy_mx(policy, k));
        json_close(out, ']');
        print_credentials_json(listed[i].domain, now, out);
        json_text(out, "file", site_file(listed[i].domain));
        json_close(out, '}');
    }
    json_close(out, ']');
    text_append(out, span_of("\n"));
}

/* What says that it is this server that answers (serve/monitor), and the columns of an answer
 * (serve/monitor.c). */
static const char TYPE[] = "text/tab-separated-values; header=absent";
enum { LAST, COUNT, ID, NETWORK, AGENT, FIELDS };

static bool ask(const struct endpoint *endpoint, const char *domain, struct fetch *ret_fetch)
{
    char target[LIMIT_NAME + 32];
    const char *where = endpoint->address.text;
    (void)snprintf(target, sizeof(target), "/senders?domain=%s", domain); /* it fits */
    int64_t deadline_us = clock_monotonic_us() + LIMIT_HEALTH_MS * INT64_C(1000);
    for (int attempt = 0; attempt < 2; attempt++) {
        struct address address = fetch_address_of(&endpoint->address, attempt > 0);
        const struct fetch_request request = {
            .address = &address,
            .host = "localhost",
            .target = target,
            .timeout_ms = (deadline_us - clock_monotonic_us()) / 1000,
            .versions = CLIENT_PLAIN,
        };
        fetch_free(ret_fetch);
        fetch_run(&request, ret_fetch);
        if (ret_fetch->step != FETCH_CONNECT)
            break;
    }
    if (ret_fetch->step == FETCH_CONNECT)
        return command_complain("there is no answer at %s: %s (is the server running?)", where,
                                strerror(ret_fetch->error));
    const struct answer *answer = ret_fetch->answer;
    bool is_whole = ret_fetch->step == FETCH_DONE && answer->fault == NULL;
    if (is_whole && answer->status == 404)
        return command_complain("the running server does not know %s yet: reload?", domain);
    return (is_whole && answer->status == 200 && span_equal(answer->content_type, span_of(TYPE))) ||
           command_complain("what answers at %s is not this server", where);
}

/* Cuts the next line of the rest into its fields. False at the end, and for what is no such line: the server
 * has escaped everything, and a count is a number as JSON has it (RFC 8259 section 6). */
static bool take_line(struct span *rest, struct span ret_fields[static FIELDS])
{
    int64_t last;
    uint64_t count;
    for (int i = 0; i < FIELDS; i++) {
        size_t len = 0;
        char end = "\t\n"[i == AGENT];
        while (len < rest->len && rest->data[len] >= ' ' && rest->data[len] <= '~')
            len++;
        if (len == rest->len || rest->data[len] != end)
            return false;
        ret_fields[i] = (struct span){rest->data, len};
        *rest = span_skip(*rest, len + 1);
    }
    return calendar_parse(ret_fields[LAST], &last) &&
           span_number(ret_fields[COUNT], UINT64_MAX, &count) &&
           (ret_fields[COUNT].data[0] != '0' || ret_fields[COUNT].len == 1) &&
           span_is_word(ret_fields[ID], "") && ret_fields[ID].len <= LIMIT_ID &&
           ret_fields[NETWORK].len > 0;
}

/* False when a line is none of the server's. */
static bool print_all(const struct command_line *line, const struct site_domain *domain,
                      struct span rest, struct text *out)
{
    const char *id = site_policy(domain) == NULL ? "" : policy_id(site_policy(domain));
    struct span fields[FIELDS] = {0};
    size_t count = 0;
    if (line->json) {
        json_open(out, NULL, '{');
        json_text(out, "domain", site_name(domain));
        json_span(out, "id", span_of(id));
        json_open(out, "senders", '[');
    }
    for (; rest.len > 0; count++) {
        if (!take_line(&rest, fields))
            return false;
        const bool is_current = span_equal(fields[ID], span_of(id));
        if (line->json) {
            json_open(out, NULL, '{');
            json_span(out, "last", fields[LAST]);
            json_printf(out, "fetches", "%.*s", (int)fields[COUNT].len, fields[COUNT].data);
            json_span(out, "id", fields[ID]);
            json_span(out, "network", fields[NETWORK]);
            json_span(out, "user_agent", fields[AGENT]);
            json_flag(out, "has_new_policy", is_current);
            json_close(out, '}');
            continue;
        }
        if (count == 0)
            text_append(
                out, span_of("LAST                  HAS   FETCHES  NETWORK             SENDER\n"));
        const struct span agent = fields[AGENT].len == 0 ? span_of("-") : fields[AGENT];
        text_append(out, fields[LAST]);
        text_printf(out, "  %s  %7.*s  %-18.*s  %.*s", is_current ? "new" : "old",
                    (int)fields[COUNT].len, fields[COUNT].data, (int)fields[NETWORK].len,
                    fields[NETWORK].data, (int)agent.len, agent.data);
        if (!is_current)
            text_printf(out, " (still has %.*s)", (int)fields[ID].len, fields[ID].data);
        text_append(out, span_of("\n"));
    }
    if (line->json)
        text_append(out, span_of("]}\n"));
    else if (count == 0)
        text_printf(out, "no sender has fetched the policy of %s since the server was started\n",
                    site_name(domain));
    return true;
}

/* Prints the table, or JSON. False after saying on standard error what is wrong. */
static bool list_senders(const struct command_line *line, const struct reading *reading,
                         struct text *out)
{
    struct fetch fetch = {0};
    const struct settings *settings = &reading->configuration->settings;
    const struct endpoint *endpoint = NULL;
    const struct site_domain *domain = reading_find(reading, line->operands[0]);
    for (size_t i = 0; i < settings->listener_count && endpoint == NULL; i++)
        if (settings->listeners[i].service == ENDPOINT_METRICS)
            endpoint = &settings->listeners[i];
    bool good = domain != NULL;
    if (good && endpoint == NULL)
        good = command_complain("the configuration has no \"metrics:\", from which this is read");
    else if (good && address_is_inherited(&endpoint->address))
        good = command_complain(
            "the address of \"metrics:\" is known to the service manager only: write it "
            "there to use this");
    good = good && ask(endpoint, site_name(domain), &fetch);
    if (good && (fetch.answer->is_cut ||
                 !print_all(line, domain, (struct span){fetch.answer->body, fetch.answer->body_len},
                            out))) {
        out->len = 0; /* of a damaged answer nothing is printed */
        good = command_complain("the answer of %s is damaged", endpoint->address.text);
    }
    fetch_free(&fetch);
    return good;
}

static int compare_listed(const void *left, const void *right)
{
    const struct listed *one = left, *other = right;
    if (one->number != other->number)
        return one->number < other->number ? -1 : 1;
    int order = strcmp(one->text, other->text);
    return order == 0 ? strcmp(site_name(one->domain), site_name(other->domain)) : order;
}

/* By what a list may be sorted; the first without being asked to. */
enum order { BY_DOMAIN, BY_STATE, BY_MODE, BY_MAX_AGE, BY_ID, BY_END, ORDERS };
static const char *const orders[ORDERS] = {"domain", "state", "mode", "max_age", "id", "expires"};

/* ORDERS when there is no such order. */
static enum order find_order(const char *name)
{
    enum order order = BY_DOMAIN;
    while (order < ORDERS && name != NULL && strcmp(orders[order], name) != 0)
        order++;
    return order;
}

/* Domains without a policy come first: they need a look. Those without a certificate come last: none of
 * theirs will expire. */
static struct listed list_one(const struct site_domain *domain, enum order order)
{
    const struct policy *policy = site_policy(domain);
    const struct credential *credential = verdict_first_to_end(domain);
    struct listed listed = {domain, 0, ""};
    if (order == BY_STATE)
        listed.number = verdict_state(domain);
    else if (order == BY_MODE)
        listed.number = policy == NULL ? -1 : (int64_t)policy_mode(policy);
    else if (order == BY_MAX_AGE)
        listed.number = policy == NULL ? -1 : (int64_t)policy_max_age(policy);
    else if (order == BY_ID && policy != NULL)
        listed.text = policy_id(policy);
    else if (order == BY_END)
        listed.number = credential == NULL ? INT64_MAX : credential_fields(credential).not_after;
    return listed;
}

/* states has the bits of those to list; none: all. */
static void print_listed(const struct command_line *line, const struct site *site, enum order order,
                         unsigned states, struct text *out)
{
    size_t count = 0;
    struct listed *listed = heap_take(site_count(site), sizeof(*listed));
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        if ((states == 0 || (states >> verdict_state(domain) & 1) != 0) &&
            reading_is_asked(line, site_name(domain)))
            listed[count++] = list_one(domain, order);
    }
    qsort(listed, count, sizeof(*listed), compare_listed);
    if (line->json)
        print_domains_json(listed, count, line->now, out);
    else
        print_domains(listed, count, line->now, out);
    free(listed);
}

int command_list(const struct command_line *line, struct text *out)
{
    int status = STATUS_WRONG;
    unsigned states = 0;
    if (line->held)
        return command_list_held(line, out);
    enum order order = find_order(line->sort);
    if (order == ORDERS)
        return command_misused("list", "cannot sort by", line->sort,
                               "; use domain, state, mode, max_age, id or expires");
    for (size_t i = 0; i < line->state.count; i++) {
        unsigned state = 0;
        while (state < DOMAIN_STATES &&
               strcmp(verdict_state_text((enum domain_state)state), line->state.items[i]) != 0)
            state++;
        if (state == DOMAIN_STATES)
            return command_misused("list", "unknown state", line->state.items[i],
                                   "; use served, stale, refused or no-certificate");
        states |= 1U << state;
    }
    if (line->senders && line->operand_count != 1)
        return command_misused("list", "--senders needs one domain", NULL, NULL);
    struct reading reading = reading_new(line, line->senders);
    bool told = reading_tell(line, &reading);
    if (reading.configuration != NULL && line->senders) {
        status = list_senders(line, &reading, out) ? STATUS_GOOD : STATUS_WRONG;
    } else if (reading.configuration != NULL) {
        bool good = reading_check_all(line, &reading);
        print_listed(line, reading.configuration->site, order, states, out);
        status = told && good && reading_errors(&reading) == 0 ? STATUS_GOOD : STATUS_WRONG;
    }
    reading_free(&reading);
    return status;
}
