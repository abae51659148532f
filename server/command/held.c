#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/calendar.h"
#include "base/columns.h"
#include "base/json.h"
#include "command/command.h"
#include "command/reading.h"
#include "load/concern.h"
#include "policy/promise.h"

/* A domain of the list. */
struct row {
    const char *name;
    struct promise_facts facts;
    const struct policy *policy; /* as configured; or NULL */
    struct promise_end free;     /* from when on no enforced policy is held */
    size_t held;
};

struct held {
    const struct command_line *line;
    const struct reading *reading;
    struct history *history; /* owned */
    int64_t now;
    struct row *rows; /* owned */
    size_t count;
};

static void add_row(struct held *held, const char *name, const struct history_domain *known,
                    const struct site_domain *domain)
{
    struct promise_end end;
    struct row row = {
        .name = name,
        .facts = history_facts(held->history, known, held->now),
        .policy = domain == NULL ? NULL : site_policy(domain),
    };
    if (!reading_is_asked(held->line, name))
        return;
    row.facts.ttl = held->reading->configuration->settings.dns_ttl;
    for (size_t i = 0; i < row.facts.count; i++)
        row.held += promise_is_held(&row.facts.promises[i], &row.facts, &end);
    row.free = promise_free(&row.facts, (struct span){0});
    *ARRAY_ADD(held->rows, held->count) = row;
}

/* The domains that are configured and those that are not any more, both in the order of their names. */
static void add_rows(struct held *held)
{
    const struct site *site = held->reading->configuration->site;
    for (size_t i = 0, k = 0; i < site_count(site) || k < held->history->domain_count;) {
        const struct site_domain *domain = i < site_count(site) ? site_at(site, i) : NULL;
        const struct history_domain *known =
            k < held->history->domain_count ? &held->history->domains[k] : NULL;
        if (domain != NULL && known != NULL && strcmp(site_name(domain), known->name) != 0) {
            bool is_first = strcmp(site_name(domain), known->name) < 0;
            domain = is_first ? domain : NULL;
            known = is_first ? NULL : known;
        }
        i += domain != NULL ? 1 : 0;
        k += known != NULL ? 1 : 0;
        const char *name = domain != NULL ? site_name(domain) : known != NULL ? known->name : "";
        add_row(held, name, known, domain);
    }
}

/* Those that are free last come last; what has no end is behind every date. */
static int by_until(const void *left, const void *right)
{
    const struct row *one = left, *other = right;
    if (one->free.kind != other->free.kind)
        return one->free.kind < other->free.kind ? -1 : 1;
    if (one->free.at != other->free.at)
        return one->free.at < other->free.at ? -1 : 1;
    return strcmp(one->name, other->name);
}

/* How an end is told, in a cell and behind "X may be the only MX" or the like: the instant stands for
 * "@", the id that is in the DNS for "#". */
static const struct {
    const char *cell, *sentence;
} ends[] = {
    [PROMISE_NONE] = {"now", " now\n"},
    [PROMISE_DATED] = {"@", " from @ on\n"},
    [PROMISE_UNKNOWN] =
        {"unknown, not before @",
         " from @ on at the earliest; it is not known when which id was in the DNS\n"},
    [PROMISE_SERVED] = {"served (@ if replaced now)",
                        " from @ on if the served policy were replaced now\n"},
    [PROMISE_RENEWED] = {"renewed while id # is in the DNS",
                         " from @ on if the TXT record, still with id #, were changed now\n"},
};

static void print_end(const struct promise_end *end, const char *form, struct text *out)
{
    const struct calendar_text at = calendar_iso_time(end->at);
    for (; *form != '\0'; form++)
        text_append(out, *form == '@'   ? span_of(at.text)
                         : *form == '#' ? end->id
                                        : (struct span){form, 1});
}

static void add_promise(const struct row *row, const struct promise *promise,
                        const struct promise_end *end, struct columns *columns)
{
    struct span rest = promise->mx, mx;
    size_t count = 0;
    columns_add(columns, "%s", row->name);
    columns_add(columns, "%s", policy_mode_text(promise->mode));
    columns_add(columns, "%" PRIu32, promise->max_age);
    columns_add(columns, "%.*s", (int)promise->id.len, promise->id.data);
    columns_add(columns, "%s", calendar_iso_time(promise->from).text);
    columns_add(columns, "%s",
                promise->until == PROMISE_OPEN ? "still" : calendar_iso_time(promise->until).text);
    for (; promise_take_mx(&rest, &mx); count++)
        text_append(&columns->text, count == 0 ? mx : span_of(""));
    if (count > 1)
        text_printf(&columns->text, " +%zu", count - 1);
    columns_end_cell(columns, "");
    print_end(end, ends[end->kind].cell, &columns->text);
    columns_end_cell(columns, "");
}

/* Each host that the configured policy or a held one names, once. */
struct hosts {
    struct span *items; /* owned; borrowed texts */
    size_t count;
};

static void add_host(struct hosts *hosts, struct span host)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (span_equal(hosts->items[i], host))
            return;
    *ARRAY_ADD(hosts->items, hosts->count) = host;
}

static struct hosts list_hosts(const struct row *row)
{
    struct hosts hosts = {0};
    struct promise_end end;
    struct span mx;
    for (size_t i = 0; row->policy != NULL && i < policy_mx_count(row->policy); i++)
        add_host(&hosts, policy_mx(row->policy, i));
    for (size_t i = 0; i < row->facts.count; i++)
        if (promise_is_held(&row->facts.promises[i], &row->facts, &end))
            for (struct span rest = row->facts.promises[i].mx; promise_take_mx(&rest, &mx);)
                add_host(&hosts, mx);
    return hosts;
}

/* What follows from the promises of the domain. */
static void print_conclusions(const struct row *row, struct text *out)
{
    struct hosts hosts = list_hosts(row);
    for (size_t i = 0; i < hosts.count; i++) {
        struct promise_end free = promise_free(&row->facts, hosts.items[i]);
        text_printf(out, "%s: %.*s may be the only MX", row->name, (int)hosts.items[i].len,
                    hosts.items[i].data);
        print_end(&free, ends[free.kind].sentence, out);
    }
    text_printf(out, "%s: no enforced policy is held", row->name);
    print_end(&row->free, ends[row->free.kind].sentence, out);
    free(hosts.items);
}

/* Of domains that are named: each policy, and what follows. */
static void print_domains(const struct held *held, struct text *out)
{
    static const char *const headings[] = {"DOMAIN",      "MODE",  "MAX_AGE", "ID",
                                           "SERVED FROM", "UNTIL", "MX",      "HELD UNTIL"};
    struct columns columns = {.count = sizeof(headings) / sizeof(headings[0])};
    struct promise_end end;
    for (size_t i = 0; i < columns.count; i++)
        columns_add(&columns, "%s", headings[i]);
    for (size_t i = 0; i < held->count; i++)
        for (size_t k = 0; k < held->rows[i].facts.count; k++)
            if (promise_is_held(&held->rows[i].facts.promises[k], &held->rows[i].facts, &end))
                add_promise(&held->rows[i], &held->rows[i].facts.promises[k], &end, &columns);
    columns_print(&columns, (size_t[COLUMNS_MOST]){0}, false, out);
    for (size_t i = 0; i < held->count; i++)
        print_conclusions(&held->rows[i], out);
    columns_free(&columns);
}

/* Of all domains: how many policies are held, and until when. */
static void print_overview(const struct held *held, struct text *out)
{
    struct columns columns = {.count = 3};
    columns_add(&columns, "DOMAIN");
    columns_add(&columns, "POLICIES");
    columns_add(&columns, "FREE FROM");
    for (size_t i = 0; i < held->count; i++) {
        columns_add(&columns, "%s", held->rows[i].name);
        columns_add(&columns, "%zu", held->rows[i].held);
        print_end(&held->rows[i].free, ends[held->rows[i].free.kind].cell, &columns.text);
        columns_end_cell(&columns, "");
    }
    columns_print(&columns, (size_t[COLUMNS_MOST]){0}, false, out);
    columns_free(&columns);
}

static void print_end_json(const char *key, const struct promise_end *end, struct text *out)
{
    static const char *const kinds[] = {
        [PROMISE_NONE] = "free",     [PROMISE_DATED] = "date",      [PROMISE_UNKNOWN] = "unknown",
        [PROMISE_SERVED] = "served", [PROMISE_RENEWED] = "renewed",
    };
    const struct calendar_text at = calendar_iso_time(end->at);
    json_open(out, key, '{');
    json_text(out, "kind", kinds[end->kind]);
    /* not_before holds whatever the kind: the instant, or the earliest that is possible. */
    json_text(out, "until", end->kind == PROMISE_DATED ? at.text : NULL);
    json_text(out, "not_before", end->kind == PROMISE_NONE ? NULL : at.text);
    if (end->kind == PROMISE_RENEWED)
        json_span(out, "id", end->id);
    json_close(out, '}');
}

static void print_promise_json(const struct promise *promise, const struct promise_end *end,
                               struct text *out)
{
    struct span mx;
    json_open(out, NULL, '{');
    json_text(out, "mode", policy_mode_text(promise->mode));
    json_number(out, "max_age", promise->max_age);
    json_span(out, "id", promise->id);
    json_open(out, "mx", '[');
    for (struct span rest = promise->mx; promise_take_mx(&rest, &mx);)
        json_span(out, NULL, mx);
    json_close(out, ']');
    json_text(out, "served_from", calendar_iso_time(promise->from).text);
    json_text(out, "served_until",
              promise->until == PROMISE_OPEN ? NULL : calendar_iso_time(promise->until).text);
    print_end_json("held", end, out);
    json_close(out, '}');
}

static void print_row_json(const struct row *row, struct text *out)
{
    struct hosts hosts = list_hosts(row);
    struct promise_end end;
    json_new_line(out);
    json_open(out, NULL, '{');
    json_text(out, "domain", row->name);
    json_flag(out, "configured", row->policy != NULL);
    json_open(out, "policies", '[');
    for (size_t i = 0; i < row->facts.count; i++)
        if (promise_is_held(&row->facts.promises[i], &row->facts, &end))
            print_promise_json(&row->facts.promises[i], &end, out);
    json_close(out, ']');
    json_open(out, "mx", '[');
    for (size_t i = 0; i < hosts.count; i++) {
        struct promise_end free = promise_free(&row->facts, hosts.items[i]);
        json_open(out, NULL, '{');
        json_span(out, "host", hosts.items[i]);
        print_end_json("alone", &free, out);
        json_close(out, '}');
    }
    json_close(out, ']');
    print_end_json("free", &row->free, out);
    json_close(out, '}');
    free(hosts.items);
}

static void print_json(const struct held *held, struct text *out)
{
    int64_t since = held->history->since;
    json_open(out, NULL, '{');
    json_text(out, "now", calendar_iso_time(held->now).text);
    json_text(out, "since", since == INT64_MAX ? NULL : calendar_iso_time(since).text);
    json_open(out, "domains", '[');
    for (size_t i = 0; i < held->count; i++)
        print_row_json(&held->rows[i], out);
    text_append(out, span_of("]}\n"));
}

/* What the answer does not know, as a line behind it. */
static void print_since(const struct held *held, struct text *out)
{
    int64_t since = held->history->since;
    if (since == INT64_MAX) /* looks at another server have found all that is known */
        since = held->now;
    if (since + LIMIT_MAX_AGE_MOST < held->now)
        return;
    text_printf(out,
                "What was served before %s is unknown; senders hold a policy for a year at most.\n",
                calendar_iso_time(since).text);
}

static int print_held(struct held *held, struct text *out)
{
    bool is_known = held->history->since != INT64_MAX;
    for (size_t i = 0; i < held->count && !is_known; i++)
        is_known = held->rows[i].facts.count > 0;
    if (held->line->sort != NULL && strcmp(held->line->sort, "until") == 0 && held->count > 0)
        qsort(held->rows, held->count, sizeof(*held->rows), by_until);
    if (held->line->json)
        print_json(held, out);
    else if (!is_known)
        text_append(out, span_of("Nothing is known: no server has recorded yet what it served.\n"));
    else if (held->line->operand_count > 0)
        print_domains(held, out);
    else
        print_overview(held, out);
    if (!held->line->json && is_known)
        print_since(held, out);
    return is_known ? STATUS_GOOD : STATUS_PENDING;
}

/* Whether each operand means a domain that is listed; if not, after saying so. */
static bool has_all(const struct held *held)
{
    bool good = true;
    for (size_t i = 0; i < held->line->operand_count; i++) {
        bool is_there = false;
        for (size_t k = 0; k < held->count && !is_there; k++)
            is_there = concern_matches(held->line->operands[i], held->rows[k].name);
        good = (is_there || reading_check(held->reading, held->line->operands[i])) && good;
    }
    return good;
}

int command_list_held(const struct command_line *line, struct text *out)
{
    struct held held = {.line = line};
    int status = STATUS_WRONG;
    if (line->sort != NULL && strcmp(line->sort, "until") != 0 && strcmp(line->sort, "domain") != 0)
        return command_misused("list", "cannot sort by", line->sort,
                               "; with --held use domain or until");
    if (line->senders)
        return command_misused("list", "--held and --senders exclude each other", NULL, NULL);
    struct reading reading = reading_new(line, true);
    bool told = reading_tell(line, &reading);
    if (reading.configuration == NULL)
        goto done;
    if (line->state.count == 0 && reading.configuration->settings.state == NULL) {
        (void)command_complain(
            "the configuration has no \"state:\", so nothing is recorded\n"
            "    fix: write \"state: /var/lib/mta-sts\", or name a folder: --state DIR");
        goto done;
    }
    held.reading = &reading;
    held.history = reading_history(line, &reading, &held.now);
    add_rows(&held);
    bool good = has_all(&held);
    status = print_held(&held, out);
    if (!good || !told)
        status = STATUS_WRONG;
done:
    free(held.rows);
    history_free(held.history);
    reading_free(&reading);
    return status;
}
