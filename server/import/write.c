#include "import/import.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/json.h"
#include "policy/policy.h"

/* A policy and who has it. */
struct group {
    const struct policy *policy;
    const char *first; /* the first domain that has it */
    const char *name;  /* NULL: it stands with its only domain */
    size_t members;
};

struct writer {
    const struct import *import;
    struct text *out;
    struct group *groups; /* owned */
    size_t group_count;
    struct table by_body;
    size_t *group_of; /* owned; by host */
};

TABLE_KEY(body_key, struct group, policy_body(item->policy));

/* Equal policies come together; the one with most members is the default. */
static void make_groups(struct writer *writer)
{
    const struct import *import = writer->import;
    size_t most = 0;
    writer->groups = heap_take(import->count, sizeof(*writer->groups));
    writer->group_of = heap_take(import->count, sizeof(*writer->group_of));
    for (size_t i = 0; i < import->count; i++) {
        const struct policy *policy = import->hosts[i].policy;
        if (policy == NULL)
            continue;
        struct span body = policy_body(policy);
        size_t index = table_find(&writer->by_body, body, body_key, writer->groups);
        if (index == TABLE_NONE) {
            index = writer->group_count++;
            writer->groups[index].policy = policy;
            writer->groups[index].first = import->hosts[i].domain;
            table_add(&writer->by_body, body, index);
        }
        /* The first domain that has it gives a name that is free: "default" has no dot. */
        if (++writer->groups[index].members == 2)
            writer->groups[index].name = writer->groups[index].first;
        if (writer->groups[index].members > writer->groups[most].members)
            most = index;
        writer->group_of[i] = index;
    }
    if (writer->group_count == 1 || (writer->group_count > 1 && writer->groups[most].members > 1))
        writer->groups[most].name = "default";
}

/* A word or path. What JSON calls a text YAML calls one, too. */
static void write_scalar(struct text *out, struct span value)
{
    if (span_is_word(value, "/._-") && (ascii_is_alpha(value.data[0]) || value.data[0] == '/'))
        text_append(out, value);
    else
        text_json(out, value);
}

static void write_max_age(struct text *out, uint32_t seconds)
{
    static const struct {
        uint32_t seconds;
        char letter;
    } units[] = {{7 * 86400, 'w'}, {86400, 'd'}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (seconds % units[i].seconds == 0) {
            text_printf(out, "%" PRIu32 "%c", seconds / units[i].seconds, units[i].letter);
            return;
        }
    text_printf(out, "%" PRIu32, seconds);
}

static void write_policy(struct text *out, const char *indent, const struct policy *policy)
{
    text_printf(out, "%smode: %s\n%smax_age: ", indent, policy_mode_text(policy_mode(policy)),
                indent);
    write_max_age(out, policy_max_age(policy));
    text_printf(out, "\n%smx:\n", indent);
    for (size_t i = 0; i < policy_mx_count(policy); i++) {
        text_printf(out, "%s  - ", indent);
        write_scalar(out, policy_mx(policy, i));
        text_append(out, span_of("\n"));
    }
}

/* Where the name of the host stands, as a comment. */
static void write_place(struct text *out, const struct import_host *host)
{
    if (host->at.line > 0) {
        text_append(out, span_of(" # "));
        text_escape(out, span_of(host->at.file), 1024);
        text_printf(out, ":%" PRIu32, host->at.line);
    }
    text_append(out, span_of("\n"));
}

static void write_domain(struct writer *writer, size_t index)
{
    struct text *out = writer->out;
    const struct import_host *host = &writer->import->hosts[index];
    const struct group *group = &writer->groups[writer->group_of[index]];
    bool is_default = group->name != NULL && strcmp(group->name, "default") == 0;
    text_append(out, span_of("  "));
    write_scalar(out, span_of(host->domain));
    text_append(out, span_of(":"));
    if (group->name != NULL && host->id == NULL && !is_default)
        text_printf(out, " %s", group->name);
    write_place(out, host);
    if (group->name == NULL)
        write_policy(out, "    ", host->policy);
    else if (host->id != NULL)
        text_printf(out, "    policy: %s\n", group->name);
    if (host->id != NULL)
        text_printf(out, "    id: \"%s\"\n", host->id);
}

/* Why a domain is left out, and what was answered, the first lines of it. Every line is a comment. */
static void write_open(struct text *out, const struct import_host *host)
{
    struct span rest = host->bytes;
    text_printf(out, "  # %s:", host->domain);
    write_place(out, host);
    text_printf(out, "  #   left out: %s\n",
                host->problem == NULL ? "its policy was not found" : host->problem);
    for (size_t i = 0; i < 8 && rest.len > 0; i++) {
        struct span line = span_take_line(&rest);
        while (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        text_append(out, span_of("  #   | "));
        text_escape(out, line, 100);
        text_append(out, span_of("\n"));
    }
}

/* A host that a certificate or a comment names, and that has no policy. */
static bool is_nothing(const struct import_host *host)
{
    return host->policy == NULL && host->sure < IMPORT_NAMED;
}

static void write_yaml(struct writer *writer, struct text *said)
{
    size_t named = 0, domains = 0, open = 0;
    struct text *out = writer->out;
    const struct import *import = writer->import;
    text_append(
        out,
        span_of("# Written by \"mta-sts-httpd import\". \"mta-sts-httpd check\" checks it.\n\n"));
    text_append(out, span_of(import->certificates.count > 0
                                 ? "certificates:\n"
                                 : "# The certificates were not found here; say where they are:\n"
                                   "# certificates: /etc/letsencrypt/live\n"));
    for (size_t i = 0; i < import->certificates.count; i++) {
        text_append(out, span_of("  - "));
        write_scalar(out, span_of(import->certificates.items[i]));
        text_append(out, span_of("\n"));
    }
    for (size_t i = 0; i < writer->group_count; i++) {
        if (writer->groups[i].name == NULL)
            continue;
        text_printf(out, "%s  %s:\n", named++ == 0 ? "\npolicies:\n" : "", writer->groups[i].name);
        write_policy(out, "    ", writer->groups[i].policy);
    }
    text_append(out, span_of("\ndomains:\n"));
    for (size_t i = 0; i < import->count; i++) {
        const struct import_host *host = &import->hosts[i];
        if (host->policy != NULL)
            write_domain(writer, i);
        else if (!is_nothing(host))
            write_open(out, host);
        domains += host->policy != NULL ? 1 : 0;
        open += host->policy == NULL && !is_nothing(host) ? 1 : 0;
    }
    text_printf(said, "mta-sts-httpd: %zu domain%s with %zu named polic%s", domains,
                domains == 1 ? "" : "s", named, named == 1 ? "y" : "ies");
    if (open > 0)
        text_printf(said, "; %zu left out, see the comments", open);
    text_append(said, span_of("\n"));
}

static void write_json(const struct import *import, struct text *out)
{
    json_open(out, NULL, '{');
    json_open(out, "domains", '[');
    for (size_t i = 0; i < import->count; i++) {
        const struct import_host *host = &import->hosts[i];
        const struct policy *policy = host->policy;
        if (is_nothing(host))
            continue;
        json_new_line(out);
        json_open(out, NULL, '{');
        json_text(out, "domain", host->domain);
        json_text(out, "named_in", host->at.line > 0 ? host->at.file : host->file);
        json_ordinal(out, "line", host->at.line);
        json_text(out, "address", host->address);
        json_text(out, "problem", policy == NULL ? host->problem : NULL);
        json_text(out, "mode", policy == NULL ? NULL : policy_mode_text(policy_mode(policy)));
        json_ordinal(out, "max_age", policy == NULL ? 0 : policy_max_age(policy));
        if (policy == NULL) {
            json_null(out, "mx");
        } else {
            json_open(out, "mx", '[');
            for (size_t k = 0; k < policy_mx_count(policy); k++)
                json_span(out, NULL, policy_mx(policy, k));
            json_close(out, ']');
        }
        json_text(out, "id", host->id);
        json_text(out, "certificate", host->certificate);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_new_line(out);
    json_open(out, "certificates", '[');
    for (size_t i = 0; i < import->certificates.count; i++)
        json_text(out, NULL, import->certificates.items[i]);
    json_close(out, ']');
    json_new_line(out);
    diag_print_json(import->diag, "diagnostics", DIAG_NOTE, out);
    text_append(out, span_of("}\n"));
}

void import_write(const struct import *import, struct text *ret_out, struct text *ret_said)
{
    struct writer writer = {.import = import, .out = ret_out};
    if (import->line->json) {
        write_json(import, ret_out);
        return;
    }
    diag_print(import->diag, DIAG_NOTE, ret_said);
    make_groups(&writer);
    write_yaml(&writer, ret_said);
    table_free(&writer.by_body);
    free(writer.groups);
    free(writer.group_of);
}
