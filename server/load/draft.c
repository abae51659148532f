#include "load/draft.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/limits.h"
#include "base/suggest.h"
#include "base/table.h"
#include "load/settings.h"
#include "policy/name.h"

struct named_policy {
    const struct node *key;
    struct policy_nodes nodes;
    struct position at; /* where its value begins */
    bool unreadable;    /* a fault of its keys was reported */
    bool twice;         /* named twice in one file: nobody knows which is meant */
    bool used;
    bool judged;
    struct policy *policy; /* owned; NULL until judged, or refused */
};

struct draft {
    struct arena *arena;           /* borrowed */
    struct diag *diag;             /* borrowed */
    struct named_policy *policies; /* owned */
    size_t policy_count;
    size_t policy_capacity;
    struct table policy_table;
    struct draft_domain *domains; /* owned */
    size_t domain_count;
    size_t domain_capacity;
    struct table domain_table;
    struct policy **pool; /* owned, and so is each: policies by body */
    size_t pool_count;
    size_t pool_capacity;
    struct table pool_table;
};

struct draft *draft_new(struct arena *arena, struct diag *diag)
{
    struct draft *draft = calloc(1, sizeof(*draft));
    if (draft != NULL) {
        draft->arena = arena;
        draft->diag = diag;
    }
    return draft;
}

void draft_free(struct draft *draft)
{
    if (draft == NULL)
        return;
    for (size_t i = 0; i < draft->policy_count; i++)
        policy_free(draft->policies[i].policy);
    for (size_t i = 0; i < draft->pool_count; i++)
        policy_free(draft->pool[i]);
    table_free(&draft->policy_table);
    table_free(&draft->domain_table);
    table_free(&draft->pool_table);
    free(draft->policies);
    free(draft->domains);
    free(draft->pool);
    free(draft);
}

static struct span named_policy_key(const void *items, size_t index)
{
    const struct named_policy *policies = items;
    return policies[index].key->text;
}

static struct span domain_key(const void *items, size_t index)
{
    const struct draft_domain *domains = items;
    return (struct span){domains[index].name, domains[index].name_len};
}

static struct span pool_key(const void *items, size_t index)
{
    struct policy *const *pool = items;
    return policy_body(pool[index]);
}

static void report_twice(struct draft *draft, const struct node *key, struct position first,
                         const char *what)
{
    diag_add(draft->diag, DIAG_ERROR, key->at, "%s \"%s\" is there twice", what, key->text.data);
    if (first.file == key->at.file)
        diag_reason(draft->diag, "nobody can tell which of them is meant, so neither is used");
    else
        diag_reason(draft->diag, "the one in the file that was read first stays");
    diag_hint(draft->diag, "delete one of them");
    diag_related(draft->diag, first, "the first one is here");
}

static void add_policy(struct draft *draft, const struct node_pair *pair)
{
    size_t known =
        table_find(&draft->policy_table, pair->key->text, named_policy_key, draft->policies);
    if (known != TABLE_NONE) {
        struct named_policy *first = &draft->policies[known];
        report_twice(draft, pair->key, first->key->at, "policy");
        first->twice = first->twice || first->key->at.file == pair->key->at.file;
        return;
    }
    struct named_policy policy = {.key = pair->key, .at = pair->key->at};
    if (pair->value->kind == NODE_MAPPING) {
        policy.unreadable =
            !schema_read(&schema_policy, pair->value, &policy.nodes, DIAG_ERROR, draft->diag);
    } else {
        diag_add(draft->diag, DIAG_ERROR, pair->key->at,
                 "policy \"%s\" must be a mapping with mode, max_age and mx", pair->key->text.data);
        policy.unreadable = true;
    }
    void *items =
        array_room(draft->policies, draft->policy_count, &draft->policy_capacity, sizeof(policy));
    draft->policies = items == NULL ? draft->policies : items;
    if (items == NULL || !table_add(&draft->policy_table, pair->key->text, draft->policy_count)) {
        diag_shortage(draft->diag);
        return;
    }
    draft->policies[draft->policy_count++] = policy;
}

void draft_add_policies(struct draft *draft, const struct node *policies)
{
    if (policies == NULL || policies->null)
        return;
    for (size_t i = 0; i < policies->count; i++)
        add_policy(draft, &policies->pairs[i]);
}

static bool judge_domain_name(struct draft *draft, const struct node *key, struct name *ret_name)
{
    enum name_fault fault = name_parse(key->text, NAME_HOST, ret_name);
    if (fault == NAME_OK && ret_name->len + strlen("mta-sts.") > LIMIT_NAME)
        fault = NAME_LONG;
    if (fault != NAME_OK) {
        diag_add(draft->diag, DIAG_ERROR, key->at, "domain \"%s\" %s", key->text.data,
                 name_fault_text(fault));
        if (fault == NAME_LONG)
            diag_reason(draft->diag, "\"mta-sts.\" is put in front of it");
        else if (name_suggest(key->text, NAME_HOST, ret_name))
            diag_hint(draft->diag, "write %s", ret_name->text);
        return false;
    }
    if (span_begins_fold(key->text, span_of("mta-sts."))) {
        diag_add(draft->diag, DIAG_WARNING, key->at, "domain \"%s\" begins with \"mta-sts.\"",
                 key->text.data);
        diag_reason(draft->diag, "its policy would be served at mta-sts.%s", ret_name->text);
        diag_hint(draft->diag, "write %s, the domain of the mail addresses",
                  ret_name->text + strlen("mta-sts."));
    }
    return true;
}

/* Reads what stands behind the domain's name into the domain. */
static bool read_domain_value(struct draft *draft, const struct node *value,
                              struct draft_domain *domain)
{
    if (value->kind == NODE_SCALAR) {
        domain->policy_name = value->null ? NULL : value;
        return true;
    }
    if (value->kind == NODE_SEQUENCE) {
        diag_add(draft->diag, DIAG_ERROR, value->at,
                 "domain \"%s\" must be followed by a policy's name or a mapping, not a list",
                 domain->name);
        return false;
    }
    struct domain_nodes nodes = {0};
    bool good = schema_read(&schema_domain, value, &nodes, DIAG_ERROR, draft->diag);
    domain->policy_name = nodes.policy;
    domain->changes = nodes.changes;
    domain->changed = nodes.changes.mode != NULL || nodes.changes.max_age != NULL ||
                      nodes.changes.mx != NULL || nodes.changes.id != NULL;
    if (nodes.tls_rpt != NULL) {
        domain->tls_rpt = settings_tls_rpt(nodes.tls_rpt, draft->arena, DIAG_ERROR, draft->diag);
        good = domain->tls_rpt != NULL && good;
    }
    return good;
}

static bool add_domain(struct draft *draft, const struct node_pair *pair)
{
    struct name name;
    if (!judge_domain_name(draft, pair->key, &name))
        return false;
    struct span key = {name.text, name.len};
    size_t known = table_find(&draft->domain_table, key, domain_key, draft->domains);
    if (known != TABLE_NONE) {
        struct draft_domain *first = &draft->domains[known];
        report_twice(draft, pair->key, first->at, "domain");
        first->refused = first->refused || first->at.file == pair->key->at.file;
        return true;
    }
    struct draft_domain domain = {
        .name = arena_copy(draft->arena, key), .name_len = name.len, .at = pair->key->at};
    void *items =
        array_room(draft->domains, draft->domain_count, &draft->domain_capacity, sizeof(domain));
    draft->domains = items == NULL ? draft->domains : items;
    if (items == NULL || domain.name == NULL ||
        !table_add(&draft->domain_table, key, draft->domain_count)) {
        diag_shortage(draft->diag);
        return false;
    }
    domain.refused = !read_domain_value(draft, pair->value, &domain);
    draft->domains[draft->domain_count++] = domain;
    return true;
}

bool draft_add_domains(struct draft *draft, const struct node *domains)
{
    bool good = true;
    if (domains == NULL || domains->null)
        return true;
    for (size_t i = 0; i < domains->count; i++)
        good = add_domain(draft, &domains->pairs[i]) && good;
    return good;
}

size_t draft_count(const struct draft *draft)
{
    return draft->domain_count;
}

struct draft_domain *draft_at(struct draft *draft, size_t index)
{
    assert(index < draft->domain_count);
    return &draft->domains[index];
}

bool draft_has(const struct draft *draft, struct span name)
{
    return table_find(&draft->domain_table, name, domain_key, draft->domains) != TABLE_NONE;
}

static struct field field_of(const struct node *node)
{
    struct field field = {0};
    if (node != NULL)
        field = (struct field){node->text, node->at};
    return field;
}

struct mx_list {
    struct field *fields;
    size_t count;
};

static bool add_mx(void *context, const struct node *item)
{
    struct mx_list *list = context;
    list->fields[list->count++] = field_of(item);
    return true;
}

/* Gives the policy to everyone who has the same body and id. */
static struct policy *pool(struct draft *draft, struct policy *policy)
{
    size_t known = table_find(&draft->pool_table, policy_body(policy), pool_key, draft->pool);
    if (known != TABLE_NONE) {
        struct policy *same = draft->pool[known];
        if (strcmp(policy_id(same), policy_id(policy)) != 0)
            return policy;
        policy_free(policy);
        return policy_share(same);
    }
    void *items = array_room(draft->pool, draft->pool_count, &draft->pool_capacity, sizeof(policy));
    draft->pool = items == NULL ? draft->pool : items;
    if (items != NULL && table_add(&draft->pool_table, policy_body(policy), draft->pool_count))
        draft->pool[draft->pool_count++] = policy_share(policy);
    return policy; /* without room it is only not shared */
}

static struct policy *judge(struct draft *draft, const struct policy_nodes *nodes,
                            struct position at, bool unreadable)
{
    struct policy *policy = NULL;
    struct policy_fields fields = {
        .at = at,
        .mode = field_of(nodes->mode),
        .max_age = field_of(nodes->max_age),
        .id = field_of(nodes->id),
        .mx_key = field_of(nodes->mx),
        .unreadable = unreadable,
    };
    struct mx_list list = {0};
    if (nodes->mx != NULL) {
        size_t count = nodes->mx->kind == NODE_SEQUENCE ? nodes->mx->count : 1;
        list.fields = calloc(count + 1, sizeof(*list.fields));
        if (list.fields == NULL) {
            diag_shortage(draft->diag);
            return NULL;
        }
        if (!schema_each_scalar(nodes->mx, "mx", DIAG_ERROR, draft->diag, add_mx, &list))
            fields.unreadable = true;
    }
    fields.mx = list.fields;
    fields.mx_count = list.count;
    policy = policy_new(&fields, draft->diag);
    free(list.fields);
    return policy == NULL ? NULL : pool(draft, policy);
}

static void judge_named(struct draft *draft, struct named_policy *named)
{
    if (named->judged)
        return;
    named->judged = true;
    named->policy = judge(draft, &named->nodes, named->at, named->unreadable || named->twice);
}

/* The named policy, or NULL; borrowed. */
static struct named_policy *find_named(const struct draft *draft, struct span name)
{
    size_t index = table_find(&draft->policy_table, name, named_policy_key, draft->policies);
    return index == TABLE_NONE ? NULL : &draft->policies[index];
}

struct policy *draft_named_policy(struct draft *draft, struct span name)
{
    struct named_policy *named = find_named(draft, name);
    if (named == NULL)
        return NULL;
    judge_named(draft, named);
    return named->policy == NULL ? NULL : policy_share(named->policy);
}

static void report_no_policy(struct draft *draft, const struct draft_domain *domain,
                             struct span name)
{
    const struct node *node = domain->policy_name;
    diag_add(draft->diag, DIAG_ERROR, node == NULL ? domain->at : node->at,
             "domain \"%s\" uses the policy \"%.*s\", which is not defined", domain->name,
             (int)name.len, name.data);
    const char **names = calloc(draft->policy_count + 1, sizeof(*names));
    if (names == NULL) {
        diag_shortage(draft->diag);
        return;
    }
    assert(draft->policies != NULL || draft->policy_count == 0);
    for (size_t i = 0; i < draft->policy_count; i++)
        names[i] = draft->policies[i].key->text.data;
    size_t nearest = suggest_nearest(name, names, draft->policy_count);
    if (nearest < draft->policy_count)
        diag_hint(draft->diag, "did you mean \"%s\"?", names[nearest]);
    else if (node == NULL)
        diag_hint(draft->diag, "define it under \"policies:\", or name another behind the domain");
    else
        diag_hint(draft->diag, "define it under \"policies:\"");
    free(names);
}

static struct policy_nodes merge(const struct policy_nodes *base,
                                 const struct policy_nodes *changes)
{
    struct policy_nodes merged = *changes;
    if (merged.mode == NULL)
        merged.mode = base->mode;
    if (merged.max_age == NULL)
        merged.max_age = base->max_age;
    if (merged.mx == NULL)
        merged.mx = base->mx;
    if (merged.id == NULL)
        merged.id = base->id;
    return merged;
}

/* A policy without a name must be whole; what it lacks is one mistake, told once. */
static bool is_whole(struct draft *draft, const struct draft_domain *domain)
{
    const struct policy_nodes *nodes = &domain->changes;
    if (nodes->mode != NULL && nodes->max_age != NULL && nodes->mx != NULL)
        return true;
    if (domain->refused)
        return false;
    diag_add(draft->diag, DIAG_ERROR, domain->at, "domain \"%s\" lacks%s%s%s", domain->name,
             nodes->mode == NULL ? " mode" : "", nodes->max_age == NULL ? " max_age" : "",
             nodes->mx == NULL ? " mx" : "");
    diag_reason(draft->diag, "without \"policy:\" a domain must write a whole policy");
    diag_hint(draft->diag, "add \"policy: default\" to take from it what is not written here");
    return false;
}

struct policy *draft_policy(struct draft *draft, struct draft_domain *domain)
{
    struct policy *policy = NULL;
    if (domain->changed && domain->policy_name == NULL) {
        bool whole = is_whole(draft, domain);
        policy = judge(draft, &domain->changes, domain->at, domain->refused || !whole);
        goto done;
    }
    struct span name = domain->policy_name == NULL ? span_of("default") : domain->policy_name->text;
    struct named_policy *named = find_named(draft, name);
    if (named == NULL) {
        if (!domain->refused)
            report_no_policy(draft, domain, name);
        goto done;
    }
    named->used = true;
    if (domain->changed) {
        struct policy_nodes merged = merge(&named->nodes, &domain->changes);
        policy =
            judge(draft, &merged, domain->at, named->unreadable || named->twice || domain->refused);
    } else {
        policy = draft_named_policy(draft, name);
    }
done:
    if (domain->refused) {
        policy_free(policy);
        policy = NULL;
    }
    domain->refused = policy == NULL;
    return policy;
}

void draft_judge_unused(struct draft *draft)
{
    for (size_t i = 0; i < draft->policy_count; i++)
        if (!draft->policies[i].used)
            judge_named(draft, &draft->policies[i]);
}
