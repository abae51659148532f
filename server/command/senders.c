#include "command/senders.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/text.h"
#include "probe/fetch.h"

/* What says that it is this server that answers (serve/monitor), and the columns of an answer
 * (serve/senders.h). */
static const char TYPE[] = "text/tab-separated-values; header=absent";
enum { LAST, COUNT, ID, NETWORK, AGENT, FIELDS };

static bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool complain(const char *format, ...)
{
    char message[512];
    struct text said = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments); /* what is longer is cut */
    va_end(arguments);
    text_printf(&said, "mta-sts-httpd: %s\n", message);
    (void)text_write(&said, STDERR_FILENO); /* the exit status says it too */
    text_free(&said);
    return false;
}

static const struct endpoint *find_endpoint(const struct settings *settings)
{
    for (size_t i = 0; i < settings->listener_count; i++)
        if (settings->listeners[i].service == ENDPOINT_METRICS)
            return &settings->listeners[i];
    return NULL;
}

static bool ask(const struct endpoint *endpoint, const char *domain, struct fetch *ret_fetch)
{
    char target[LIMIT_NAME + 32];
    const char *where = endpoint->address.text;
    (void)snprintf(target, sizeof(target), "/senders?domain=%s", domain); /* it fits */
    int64_t deadline_us = clock_monotonic_us() + LIMIT_HEALTH_MS * INT64_C(1000);
    for (int attempt = 0; attempt < 2; attempt++) {
        struct address address = fetch_address_of(&endpoint->address, attempt > 0);
        const struct fetch_request request = {
            .address = &address.any,
            .address_len = address.len,
            .host = "localhost",
            .target = target,
            .timeout_ms = (deadline_us - clock_monotonic_us()) / 1000,
            .versions = CLIENT_PLAIN,
        };
        fetch_free(ret_fetch);
        if (!fetch_run(&request, ret_fetch))
            return complain("out of memory");
        if (ret_fetch->step != FETCH_CONNECT)
            break;
    }
    if (ret_fetch->step == FETCH_CONNECT)
        return complain("nobody answers at %s: %s (is the server running?)", where,
                        strerror(ret_fetch->error));
    if (ret_fetch->step != FETCH_DONE || ret_fetch->answer->fault != NULL)
        return complain("what answers at %s is not this server", where);
    if (ret_fetch->answer->status == 404)
        return complain("the running server does not know %s yet: reload?", domain);
    if (ret_fetch->answer->status != 200 ||
        !span_equal(ret_fetch->answer->content_type, span_of(TYPE)))
        return complain("what answers at %s is not this server", where);
    return true;
}

/* Cuts the next line of the rest into its fields. False at the end, and for what is no such line. */
static bool take_line(struct span *rest, struct span ret_fields[static FIELDS])
{
    for (int i = 0; i < FIELDS; i++) {
        const char *end =
            rest->len == 0 ? NULL : memchr(rest->data, "\t\n"[i == AGENT], rest -> len);
        if (end == NULL)
            return false;
        ret_fields[i] = (struct span){rest->data, (size_t)(end - rest->data)};
        *rest = span_skip(*rest, ret_fields[i].len + 1);
    }
    return true;
}

/* What comes from the server is text from clients: nothing of it reaches a terminal as it is. */
static void print_row(const struct span fields[static FIELDS], bool is_current, struct text *out)
{
    text_escape(out, fields[LAST], 32);
    text_append(out, span_of("  "));
    text_append(out, span_of(is_current ? "new " : "old "));
    text_printf(out, " %7.*s  %-18.*s  ", (int)fields[COUNT].len, fields[COUNT].data,
                (int)fields[NETWORK].len, fields[NETWORK].data);
    if (fields[AGENT].len == 0)
        text_append(out, span_of("-"));
    text_append(out, fields[AGENT]);
    if (!is_current) {
        text_append(out, span_of(" (still has "));
        text_append(out, fields[ID]);
        text_append(out, span_of(")"));
    }
    text_append(out, span_of("\n"));
}

static void print_json(const struct span fields[static FIELDS], bool is_current, struct text *out)
{
    static const char *const names[FIELDS] = {"last", "fetches", "id", "network", "user_agent"};
    for (int i = 0; i < FIELDS; i++) {
        text_printf(out, "%s\"%s\":", i == 0 ? "{" : ",", names[i]);
        if (i == COUNT)
            text_append(out, fields[i]);
        else
            text_json(out, fields[i]);
    }
    text_printf(out, ",\"has_new_policy\":%s}", is_current ? "true" : "false");
}

/* A number as JSON has it (RFC 8259 section 6), which 64 bits hold. */
static bool is_count(struct span text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(count, 10U, &count) ||
            __builtin_add_overflow(count, digit, &count))
            return false;
    }
    return text.len > 0 && (text.data[0] != '0' || text.len == 1);
}

static bool is_id(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_digit(text.data[i]) && !ascii_is_alpha(text.data[i]))
            return false;
    return text.len > 0 && text.len <= LIMIT_ID;
}

/* The server has escaped everything. */
static bool is_sound(const struct span fields[static FIELDS])
{
    int64_t last;
    for (int i = 0; i < FIELDS; i++)
        for (size_t k = 0; k < fields[i].len; k++)
            if (fields[i].data[k] < ' ' || fields[i].data[k] > '~')
                return false;
    return calendar_parse(fields[LAST], &last) && is_count(fields[COUNT]) && is_id(fields[ID]) &&
           fields[NETWORK].len > 0;
}

/* Whether every line is one of the server's: of damaged ones none is printed. */
static bool are_sound(struct span rest)
{
    struct span fields[FIELDS];
    while (rest.len > 0)
        if (!take_line(&rest, fields) || !is_sound(fields))
            return false;
    return true;
}

static void print_all(const struct command_line *line, const struct site_domain *domain,
                      struct span rest, struct text *out)
{
    const char *id = domain->policy == NULL ? "" : policy_id(domain->policy);
    struct span fields[FIELDS];
    size_t count = 0;
    if (line->json)
        text_printf(out, "{\"domain\":\"%s\",\"id\":\"%s\",\"senders\":[", domain->name, id);
    while (take_line(&rest, fields)) {
        bool is_current = span_equal(fields[ID], span_of(id));
        if (!line->json && count == 0)
            text_append(
                out, span_of("LAST                  HAS   FETCHES  NETWORK             SENDER\n"));
        if (line->json && count > 0)
            text_append(out, span_of(","));
        if (line->json)
            print_json(fields, is_current, out);
        else
            print_row(fields, is_current, out);
        count++;
    }
    if (line->json)
        text_append(out, span_of("]}\n"));
    else if (count == 0)
        text_printf(out, "nobody has fetched the policy of %s since the server was started\n",
                    domain->name);
}

bool senders_list(const struct command_line *line, const struct reading *reading)
{
    struct fetch fetch = {0};
    struct text out = {0};
    const struct endpoint *endpoint = find_endpoint(&reading->configuration->settings);
    const struct site_domain *domain = reading_find(reading, line->operands[0]);
    bool good = domain != NULL;
    if (good && endpoint == NULL)
        good = complain("the configuration has no \"metrics:\", where the running server tells it");
    else if (good && address_is_inherited(&endpoint->address))
        good =
            complain("the address of \"metrics:\" is known to the service manager only: write it "
                     "there to use this");
    good = good && ask(endpoint, domain->name, &fetch);
    if (good && (fetch.answer->is_cut ||
                 !are_sound((struct span){fetch.answer->body, fetch.answer->body_len})))
        good = complain("the answer of %s is damaged", endpoint->address.text);
    if (good) {
        print_all(line, domain, (struct span){fetch.answer->body, fetch.answer->body_len}, &out);
        good = text_write(&out, STDOUT_FILENO) || complain("cannot write to standard output");
    }
    text_free(&out);
    fetch_free(&fetch);
    return good;
}
