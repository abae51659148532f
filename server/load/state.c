#include "load/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/table.h"
#include "base/text.h"
#include "configuration/document.h"
#include "configuration/draft.h"
#include "load/state_file.h"
#include "policy/name.h"
#include "site/site_builder.h"

const char STATE_POLICIES[] = "last-valid-policies.yaml";
static const char HEADER[] =
    "# mta-sts-httpd: the last valid policy of each domain, written by the "
    "program.\n";

/* Numbers policies as they are first met. Equal ones are one object, so the key is its address:
 * equal bodies may have different ids. */
struct numbering {
    const struct policy **policies; /* owned */
    size_t count;
    struct table table;
};

TABLE_KEY(policy_key, const struct policy *, SPAN_OF(*item));

static void number_policies(const struct site *site, struct numbering *numbering)
{
    numbering->policies = heap_take(site_count(site), sizeof(*numbering->policies));
    for (size_t i = 0; i < site_count(site); i++) {
        const struct policy *policy = site_policy(site_at(site, i));
        struct span key = SPAN_OF(policy);
        if (policy == NULL ||
            table_find(&numbering->table, key, policy_key, numbering->policies) != TABLE_NONE)
            continue;
        table_add(&numbering->table, key, numbering->count);
        numbering->policies[numbering->count++] = policy;
    }
}

static void append_policy(struct text *text, size_t number, const struct policy *policy)
{
    text_printf(text, "  \"%zu\": {mode: %s, max_age: %" PRIu32 ", id: \"%s\", mx: [", number,
                policy_mode_text(policy_mode(policy)), policy_max_age(policy), policy_id(policy));
    for (size_t i = 0; i < policy_mx_count(policy); i++) {
        text_append(text, span_of(i == 0 ? "" : ", "));
        text_json(text, policy_mx(policy, i));
    }
    text_append(text, span_of("]}\n"));
}

/* Each domain with the file that names it and the number of its policy: a list of triples. */
static void append_domains(struct text *text, const struct site *site,
                           const struct numbering *numbering)
{
    for (size_t i = 0; i < site_count(site); i++) {
        const struct site_domain *domain = site_at(site, i);
        const struct policy *policy = site_policy(domain);
        struct span key = SPAN_OF(policy);
        if (policy == NULL)
            continue;
        size_t number = table_find(&numbering->table, key, policy_key, numbering->policies);
        text_printf(text, "  - [%s, \"%zu\", ", site_name(domain), number);
        text_json(text, span_of(site_file(domain)));
        text_append(text, span_of("]\n"));
    }
}

void state_print(const struct site *site, struct text *out)
{
    struct numbering numbering = {0};
    number_policies(site, &numbering);
    text_append(out, span_of(HEADER));
    text_append(out, span_of("policies:\n"));
    for (size_t i = 0; i < numbering.count; i++)
        append_policy(out, i, numbering.policies[i]);
    text_append(out, span_of("domains:\n"));
    append_domains(out, site, &numbering);
    state_file_complete(out);
    table_free(&numbering.table);
    free(numbering.policies);
}

/* As it was written: a domain name, and in its place, so that none is there twice. */
static bool is_next_name(struct span last, struct span text)
{
    struct name name;
    if (name_parse(text, NAME_DOMAIN, &name) != NAME_OK ||
        !span_equal(text, (struct span){name.text, name.len}))
        return false;
    return last.len == 0 || strcmp(last.data, name.text) < 0;
}

/* One domain of the list; what does not fit is a fault of the file. */
static bool add_domain(struct site_builder *site, struct draft *draft, const struct node *entry,
                       struct span *last)
{
    if (entry->kind != NODE_SEQUENCE || entry->count != 3)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (entry->items[i]->kind != NODE_SCALAR)
            return false;
    struct span name = entry->items[0]->text;
    if (!is_next_name(*last, name))
        return false;
    const struct site_fields domain = {
        .name = name,
        .state = SITE_SERVED,
        .policy = draft_named_policy(draft, entry->items[1]->text),
        .at = {.file = entry->items[2]->text.data},
    };
    if (domain.policy == NULL)
        return false;
    site_builder_add(site, &domain);
    *last = name;
    return true;
}

/* The site of a whole file; NULL when it does not make sense after all. */
static struct site *build(struct span bytes, struct arena *arena, struct diag *diag)
{
    struct site_builder *builder = site_builder_new(-1);
    struct draft *draft = draft_new(arena, diag);
    struct site *site = NULL;
    struct span last = {0};
    bool good = false;
    const struct node *root = document_parse(arena, bytes, STATE_POLICIES, DIAG_ERROR, diag);
    const struct node *policies = root == NULL ? NULL : document_member(root, "policies");
    const struct node *domains = root == NULL ? NULL : document_member(root, "domains");
    if (policies == NULL || domains == NULL)
        goto done;
    good = domains->null || domains->kind == NODE_SEQUENCE;
    if (policies->kind == NODE_MAPPING)
        draft_add_policies(draft, policies);
    for (size_t i = 0; good && i < domains->count; i++)
        good = add_domain(builder, draft, domains->items[i], &last);
    if (good) {
        site = site_builder_finish(builder);
        builder = NULL;
    }
done:
    draft_free(draft);
    site_builder_free(builder);
    return site;
}

void state_warn_unread(const char *folder, int error, struct position at, struct diag *diag)
{
    diag_add(diag, DIAG_WARNING, at, "%s/%s cannot be read: %s", folder, STATE_POLICIES,
             state_file_error(error));
}

struct site *state_read(const char *folder, struct position at, struct diag *diag)
{
    struct text bytes = {0};
    struct site *site = NULL;
    struct diag *own = diag_new();
    struct arena *arena = arena_new();
    if (!state_file_read(folder, STATE_POLICIES, &bytes)) {
        if (errno != ENOENT)
            state_warn_unread(folder, errno, at, diag);
    } else {
        struct span span = {bytes.data, bytes.len};
        site = state_file_unwrap(&span, HEADER) ? build(span, arena, own) : NULL;
        if (site == NULL) {
            diag_add(diag, DIAG_WARNING, at,
                     "%s/%s is damaged or of another program, and is ignored", folder,
                     STATE_POLICIES);
            diag_reason(diag, "domains that are broken now have no policy to fall back to");
        }
    }
    arena_free(arena);
    diag_free(own);
    text_free(&bytes);
    return site;
}
