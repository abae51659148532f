#include "command/import_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A policy and who has it. */
struct group {
    const struct policy *policy;
    const char *first; /* the first domain that has it */
    const char *name;  /* NULL: it stands with its only domain */
    size_t members;
};

struct writer {
    const struct import_hosts *hosts;
    struct text *out;
    struct group *groups; /* owned */
    size_t group_count;
    struct table by_body;
    size_t *group_of; /* owned; by host */
};

static struct span body_key(const void *items, size_t index)
{
    const struct group *groups = items;
    return policy_body(groups[index].policy);
}

/* Equal policies come together; the one with most members is the default. */
static bool make_groups(struct writer *writer)
{
    const struct import_hosts *hosts = writer->hosts;
    size_t most = 0;
    writer->groups = calloc(hosts->count + 1, sizeof(*writer->groups));
    writer->group_of = calloc(hosts->count + 1, sizeof(*writer->group_of));
    if (writer->groups == NULL || writer->group_of == NULL)
        return false;
    for (size_t i = 0; i < hosts->count; i++) {
        const struct policy *policy = hosts->items[i].policy;
        if (policy == NULL)
            continue;
        struct span body = policy_body(policy);
        size_t index = table_find(&writer->by_body, body, body_key, writer->groups);
        if (index == TABLE_NONE) {
            index = writer->group_count;
            writer->groups[index].policy = policy;
            writer->groups[index].first = hosts->items[i].domain;
            if (!table_add(&writer->by_body, body, index))
                return false;
            writer->group_count++;
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
    return true;
}

/* Whether nobody can take it for something else than a text. */
static bool is_plain(struct span value)
{
    bool plain = value.len > 0 && (ascii_is_alpha(value.data[0]) || value.data[0] == '/');
    for (size_t i = 0; i < value.len && plain; i++)
        plain = ascii_is_alpha(value.data[i]) || ascii_is_digit(value.data[i]) ||
                memchr("/._-", value.data[i], 4) != NULL;
    return plain;
}

/* A word of a policy. Everything that could end a line, in any script, is escaped: it may stand in a
 * comment. */
static void write_scalar(struct text *out, struct span value)
{
    text_append(out, span_of(is_plain(value) ? "" : "\""));
    text_escape(out, value, 1024);
    text_append(out, span_of(is_plain(value) ? "" : "\""));
}

/* Appends the character that the text begins with as an escape of YAML, because some characters
 * beyond ASCII end a line or are not allowed at all. Returns its length in bytes. */
static size_t write_character(struct text *out, struct span text)
{
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000}; /* by length; less is overlong */
    unsigned char first = (unsigned char)text.data[0];
    size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    uint32_t point = first < 0x80 ? first : first & (0xffU >> (len + 1));
    bool begins = first < 0x80 || (first >= 0xc2 && first <= 0xf4);
    for (size_t i = 1; i < len; i++) {
        if (!begins || i >= text.len || ((unsigned char)text.data[i] & 0xc0) != 0x80) {
            text_append(out, span_of("\\uFFFD")); /* no character: YAML cannot say it */
            return 1;
        }
        point = point << 6 | ((unsigned char)text.data[i] & 0x3fU);
    }
    bool is_character =
        point >= least[len] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    text_printf(out, "\\U%08" PRIX32, is_character ? point : 0xfffdU);
    return len;
}

static void write_path(struct text *out, struct span path)
{
    if (is_plain(path)) {
        text_append(out, path);
        return;
    }
    text_append(out, span_of("\""));
    while (path.len > 0) {
        char byte = path.data[0];
        bool clear = byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
        if (clear)
            text_append(out, (struct span){path.data, 1});
        path = span_skip(path, clear ? 1 : write_character(out, path));
    }
    text_append(out, span_of("\""));
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

static void write_domain(struct writer *writer, size_t index)
{
    struct text *out = writer->out;
    const struct import_host *host = &writer->hosts->items[index];
    const struct group *group = &writer->groups[writer->group_of[index]];
    bool is_default = group->name != NULL && strcmp(group->name, "default") == 0;
    text_append(out, span_of("  "));
    write_scalar(out, span_of(host->domain));
    text_append(out, span_of(":"));
    if (group->name == NULL) {
        text_append(out, span_of("\n"));
        write_policy(out, "    ", host->policy);
    } else if (host->id != NULL) {
        text_printf(out, "\n    policy: %s\n", group->name);
    } else {
        text_printf(out, "%s%s\n", is_default ? "" : " ", is_default ? "" : group->name);
    }
    if (host->id != NULL)
        text_printf(out, "    id: \"%s\"\n", host->id);
}

static void write_field(struct text *out, const char *key, struct span value)
{
    text_printf(out, "  #   %s: ", key);
    if (value.data == NULL)
        text_append(out, span_of("?"));
    else
        write_scalar(out, value);
    text_append(out, span_of("\n"));
}

/* What is known of a domain that needs a decision. Every line of it is a comment. */
static void write_open(struct text *out, const struct import_host *host)
{
    text_printf(out, "  # %s needs a decision first:\n  # %s:\n", host->domain, host->domain);
    if (host->inspection == NULL) {
        text_append(out, span_of("  #   its policy was not found\n"));
        return;
    }
    const struct policy_fields fields = inspection_fields(host->inspection);
    write_field(out, "mode", fields.mode.text);
    write_field(out, "max_age", fields.max_age.text);
    if (fields.mx_count == 0)
        write_field(out, "mx", (struct span){0});
    else
        text_append(out, span_of("  #   mx:\n"));
    for (size_t i = 0; i < fields.mx_count; i++) {
        text_append(out, span_of("  #     - "));
        write_scalar(out, fields.mx[i].text);
        text_append(out, span_of("\n"));
    }
}

/* certbot keeps a folder for each certificate in this one; all below it is searched. */
static struct span common_folder(struct span path)
{
    const char *live = memmem(path.data, path.len, "/live/", 6);
    return live == NULL ? path : (struct span){path.data, (size_t)(live - path.data) + 5};
}

static struct span path_key(const void *items, size_t index)
{
    const struct span *paths = items;
    return paths[index];
}

static void write_certificates(struct writer *writer)
{
    struct text *out = writer->out;
    struct table known = {0};
    size_t count = 0, all = 0;
    for (size_t i = 0; i < writer->hosts->count; i++)
        for (const struct import_path *one = writer->hosts->items[i].certificates; one != NULL;
             one = one->next)
            all++;
    struct span *paths = calloc(all + 1, sizeof(*paths));
    out->failed = out->failed || paths == NULL;
    text_append(out, span_of(all > 0 ? "certificates:\n"
                                     : "# Where the certificates are is not known from what was "
                                       "imported:\n# certificates: /etc/letsencrypt/live\n"));
    for (size_t i = 0; i < writer->hosts->count && paths != NULL; i++)
        for (const struct import_path *one = writer->hosts->items[i].certificates; one != NULL;
             one = one->next) {
            struct span path = common_folder(span_of(one->path));
            if (table_find(&known, path, path_key, paths) != TABLE_NONE)
                continue;
            paths[count] = path;
            out->failed = out->failed || !table_add(&known, path, count);
            count++;
            text_append(out, span_of("  - "));
            write_path(out, path);
            text_append(out, span_of("\n"));
        }
    table_free(&known);
    free(paths);
}

static struct import_sum write_all(struct writer *writer)
{
    struct import_sum sum = {0};
    struct text *out = writer->out;
    text_append(
        out,
        span_of("# Written by \"mta-sts-httpd import\". \"mta-sts-httpd check\" judges it.\n\n"));
    write_certificates(writer);
    for (size_t i = 0; i < writer->group_count; i++) {
        if (writer->groups[i].name == NULL)
            continue;
        text_printf(out, "%s  %s:\n", sum.policies++ == 0 ? "\npolicies:\n" : "",
                    writer->groups[i].name);
        write_policy(out, "    ", writer->groups[i].policy);
    }
    text_append(out, span_of("\ndomains:\n"));
    for (size_t i = 0; i < writer->hosts->count; i++) {
        const struct import_host *host = &writer->hosts->items[i];
        if (host->policy != NULL)
            write_domain(writer, i);
        else
            write_open(out, host);
        sum.domains += host->policy != NULL ? 1 : 0;
        sum.open += host->policy == NULL ? 1 : 0;
    }
    return sum;
}

struct import_sum import_write(const struct import_hosts *hosts, struct text *out)
{
    struct import_sum sum = {0};
    struct writer writer = {.hosts = hosts, .out = out};
    if (make_groups(&writer))
        sum = write_all(&writer);
    else
        out->failed = true;
    table_free(&writer.by_body);
    free(writer.groups);
    free(writer.group_of);
    return sum;
}
