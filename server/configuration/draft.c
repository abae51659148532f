#include "configuration/draft.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/suggest.h"
#include "base/table.h"
#include "configuration/settings.h"
#include "policy/name.h"
#include "policy/record.h"

void draft_free(struct draft *draft)
{
    for (size_t i = 0; i < draft->policy_count; i++)
        policy_free(draft->policies[i].policy);
    policy_free(draft->last);
    table_free(&draft->main_table);
    table_free(&draft->file_table);
    table_free(&draft->domain_table);
    free(draft->policies);
    free(draft->domains);
    free(draft->scopes);
}

TABLE_KEY(named_policy_key, struct named_policy, item->key->text);

TABLE_KEY(domain_key, struct draft_domain, ((struct span){item->name, item->name_len}));

/* The number of the policy that the file which is being added means, or TABLE_NONE. */
static size_t find_policy(const struct draft *draft, struct span name)
{
    size_t own = table_find(&draft->file_table, name, named_policy_key, draft->policies);
    return own != TABLE_NONE
               ? own
               : table_find(&draft->main_table, name, named_policy_key, draft->policies);
}

static void report_same_name(struct draft *draft, const struct node *key, const struct node *first,
                             bool is_in_main)
{
    if (is_in_main) {
        diag_add(draft->diag, DIAG_ERROR, key->at, "the main file has a policy \"%s\", too",
                 diag_word(key->text).text);
        diag_reason(draft->diag, "it is not known which of them a domain of this file means");
        diag_hint(draft->diag, "give this one another name, or delete it");
    } else {
        diag_add(draft->diag, DIAG_ERROR, key->at, "policy \"%s\" is defined twice",
                 diag_word(key->text).text);
        diag_reason(draft->diag, "it is not known which of them is meant, so neither is used");
        diag_hint(draft->diag, "delete one of them");
    }
    diag_related(draft->diag, first->at, is_in_main ? "it is here" : "the first one is here");
}

/* Two policies of one name are both of no use; the first one of a file stands for both. No included file makes
 * one of the main file useless. */
static void add_policy(struct draft *draft, const struct node_pair *pair)
{
    const struct node *key = pair->key;
    struct named_policy policy = {.key = key, .at = key->at, .scope = draft->scope_count - 1};
    bool is_main = policy.scope == 0;
    size_t same = find_policy(draft, key->text);
    if (same != TABLE_NONE) {
        struct named_policy *first = &draft->policies[same];
        report_same_name(draft, key, first->key, first->scope != policy.scope);
        if (first->scope == policy.scope) {
            first->ambiguous = true;
            return;
        }
        policy.ambiguous = true;
    }
    if (pair->value->kind == NODE_MAPPING) {
        policy.unreadable =
            !schema_read(&schema_policy, pair->value, &policy.nodes, DIAG_ERROR, draft->diag);
    } else {
        diag_add(draft->diag, DIAG_ERROR, key->at,
                 "policy \"%s\" must be a mapping with mode, max_age and mx",
                 diag_word(key->text).text);
        diag_hint(draft->diag, schema_has_key(&schema_policy, key->text)
                                   ? "indent it below the name of a policy, such as \"default:\""
                                   : "write mode, max_age and mx below it, indented further");
        policy.unreadable = true;
    }
    table_add(is_main ? &draft->main_table : &draft->file_table, key->text, draft->policy_count);
    *ARRAY_ADD(draft->policies, draft->policy_count) = policy;
}

static bool judge_domain_name(struct draft *draft, const struct node *key, struct name *ret_name)
{
    enum name_fault fault = name_parse(key->text, NAME_DOMAIN, ret_name);
    if (fault != NAME_OK) {
        diag_add(draft->diag, DIAG_ERROR, key->at, "domain \"%s\" %s", diag_word(key->text).text,
                 name_faults[fault].text);
        if (fault == NAME_LONG)
            diag_reason(draft->diag, "\"mta-sts.\" is put in front of it");
        else if (schema_has_key(&schema_domain, key->text))
            diag_hint(draft->diag, "indent it below the domain that it belongs to");
        else if (diag_is_kept(draft->diag) && name_suggest(key->text, NAME_DOMAIN, ret_name))
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

/* Whether the file may have so many bytes more of policies; if not, says so. The main file may. */
static bool spend(struct draft *draft, size_t scope, size_t size, struct position at)
{
    size_t *spent = &draft->scopes[scope].spent;
    if (scope == 0 || *spent + size <= LIMIT_INCLUDE_POLICIES) {
        *spent += size;
        return true;
    }
    *spent = LIMIT_INCLUDE_POLICIES + 1; /* so that nothing smaller, not even nothing, fits in */
    diag_add(draft->diag, DIAG_ERROR, at, "the policies of this file are more than %d MiB",
             LIMIT_INCLUDE_POLICIES / 1024 / 1024);
    diag_reason(draft->diag, "an included file must not delay the others");
    diag_hint(draft->diag, "name a policy once under \"policies:\", and use it without changes");
    return false;
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
    domain->is_proxied = nodes.is_proxied != 0;
    if (nodes.tls_rpt != NULL && !spend(draft, domain->scope, 0, domain->at)) {
        good = false;
    } else if (nodes.tls_rpt != NULL) {
        domain->tls_rpt = settings_tls_rpt(nodes.tls_rpt, draft->arena, DIAG_ERROR, draft->diag);
        good = domain->tls_rpt != NULL &&
               spend(draft, domain->scope, strlen(domain->tls_rpt), domain->at) && good;
    }
    return good;
}

static struct span policy_name(const struct draft_domain *domain)
{
    return domain->policy_name == NULL ? span_of("default") : domain->policy_name->text;
}

/* Which of two files has the domain that both name: the main one, the one that has it now, or the
 * first. True when the second takes the place of the first. */
static bool yields(const struct draft *draft, const struct draft_domain *first, const char *second)
{
    struct span name = {first->name, first->name_len};
    const struct site_domain *before =
        draft->previous == NULL ? NULL : site_find_domain(draft->previous, name);
    return before != NULL && first->scope > 0 && first->at.file != second &&
           strcmp(site_file(before), first->at.file) != 0 && strcmp(site_file(before), second) == 0;
}

static void report_second(struct draft *draft, struct draft_domain *first, const struct node *key)
{
    bool same_file = first->at.file == key->at.file;
    bool keeps = yields(draft, first, key->at.file);
    struct position at = keeps ? first->at : key->at, other = keeps ? key->at : first->at;
    /* What is on standard input would take the place of a file that is there. */
    if (!same_file && strcmp(first->at.file, "-") == 0) {
        diag_add(draft->diag, DIAG_NOTE, key->at, "domain \"%s\" is in this file now", first->name);
        diag_related(draft->diag, first->at, "and would be here");
        return;
    }
    diag_add(draft->diag, DIAG_ERROR, at, "domain \"%s\" is defined twice", key->text.data);
    if (same_file)
        diag_reason(draft->diag, "it is not known which of them is meant, so neither is used");
    else
        diag_reason(draft->diag, keeps ? "the file that has it now keeps it"
                                       : "the file that was read first keeps it");
    diag_hint(draft->diag, "delete one of them");
    diag_related(draft->diag, other, keeps ? "it is here" : "the first one is here");
    first->refused = first->refused || same_file;
    first->dropped = keeps;
}

static bool add_domain(struct draft *draft, const struct node_pair *pair)
{
    struct name name;
    if (!judge_domain_name(draft, pair->key, &name))
        return false;
    struct span key = {name.text, name.len};
    size_t known = table_find(&draft->domain_table, key, domain_key, draft->domains);
    if (known != TABLE_NONE) {
        report_second(draft, &draft->domains[known], pair->key);
        if (!draft->domains[known].dropped)
            return true;
    }
    struct draft_domain domain = {.name = arena_copy(draft->arena, key),
                                  .name_len = name.len,
                                  .at = pair->key->at,
                                  .scope = draft->scope_count - 1};
    array_room(&draft->domains, draft->domain_count, sizeof(domain));
    if (known != TABLE_NONE)
        table_move(&draft->domain_table, key, known, draft->domain_count);
    else
        table_add(&draft->domain_table, key, draft->domain_count);
    domain.refused = !read_domain_value(draft, pair->value, &domain);
    domain.policy = find_policy(draft, policy_name(&domain));
    draft->domains[draft->domain_count++] = domain;
    return true;
}

bool draft_add_file(struct draft *draft, const char *name, const struct node *policies,
                    const struct node *domains, bool is_whole)
{
    const size_t first = draft->domain_count;
    bool good = true;
    *ARRAY_ADD(draft->scopes, draft->scope_count) = (struct scope){name, draft->policy_count, 0};
    table_free(&draft->file_table);
    for (size_t i = 0; policies != NULL && i < policies->count; i++)
        add_policy(draft, &policies->pairs[i]);
    for (size_t i = 0; domains != NULL && i < domains->count; i++)
        good = add_domain(draft, &domains->pairs[i]) && good;
    for (size_t i = first; i < draft->domain_count; i++)
        draft->domains[i].refused = draft->domains[i].refused || !is_whole;
    return good;
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

/* About the bytes of the mx lines, without a look at each item of a list that fits no body. */
static size_t mx_size(const struct node *mx)
{
    size_t size = mx->text.len;
    for (size_t i = 0; mx->kind == NODE_SEQUENCE && i < mx->count && size <= LIMIT_BODY; i++)
        size += strlen("mx: \r\n") + mx->items[i]->text.len;
    return size > LIMIT_BODY ? size + schema_count(mx) : size;
}

static struct policy *judge(struct draft *draft, const struct policy_nodes *nodes,
                            struct position at, size_t scope, bool unreadable)
{
    const struct node *mx = nodes->mx;
    struct field *list = NULL;
    size_t count = 0;
    if (mx != NULL && !spend(draft, scope, mx_size(mx), at))
        return NULL;
    if (mx != NULL)
        list = heap_take(schema_count(mx), sizeof(*list));
    for (size_t i = 0; mx != NULL && i < schema_count(mx); i++)
        if (schema_value(mx, i) != NULL)
            list[count++] = field_of(schema_value(mx, i));
    const struct policy_fields fields = {
        .at = at,
        .mode = field_of(nodes->mode),
        .max_age = field_of(nodes->max_age),
        .id = field_of(nodes->id),
        .mx_key = field_of(mx),
        .mx = list,
        .mx_count = count,
        .unreadable = unreadable,
    };
    struct policy *policy = policy_new(&fields, draft->diag);
    free(list);
    return policy;
}

static void judge_named(struct draft *draft, struct named_policy *named)
{
    if (named->judged)
        return;
    named->judged = true;
    named->policy =
        judge(draft, &named->nodes, named->at, named->scope, named->unreadable || named->ambiguous);
}

const struct policy *draft_named_policy(struct draft *draft, struct span name)
{
    size_t index = table_find(&draft->main_table, name, named_policy_key, draft->policies);
    if (index == TABLE_NONE)
        return NULL;
    judge_named(draft, &draft->policies[index]);
    return draft->policies[index].policy;
}

/* Whether a suggestion is to be made: once for each name, and only some, because each costs a look
 * at every policy. */
static bool wants_suggestion(struct draft *draft, const struct draft_domain *domain,
                             struct span name)
{
    struct missing *missing = &draft->missing;
    if (missing->scope != domain->scope)
        *missing = (struct missing){.scope = domain->scope};
    for (size_t i = 0; i < missing->count; i++)
        if (span_equal(missing->names[i], name))
            return false;
    if (missing->count == LIMIT_SUGGESTIONS_A_FILE || draft->suggestions == LIMIT_SUGGESTIONS)
        return false;
    missing->names[missing->count++] = name;
    draft->suggestions++;
    return true;
}

/* The nearest name that the domain could have used, or NULL; borrowed. */
static const char *nearest_name(const struct draft *draft, const struct draft_domain *domain,
                                struct span name)
{
    const char *names[LIMIT_SUGGESTION_WORDS];
    size_t count = 0;
    const size_t scopes[] = {domain->scope, 0}; /* the second is the same one for the main file */
    for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
        bool last = scopes[i] + 1 == draft->scope_count;
        size_t end = last ? draft->policy_count : draft->scopes[scopes[i] + 1].policies;
        for (size_t k = draft->scopes[scopes[i]].policies;
             k < end && count < LIMIT_SUGGESTION_WORDS; k++)
            names[count++] = draft->policies[k].key->text.data;
    }
    size_t nearest = suggest_nearest(name, names, count);
    return nearest == count ? NULL : names[nearest];
}

static void report_no_policy(struct draft *draft, const struct draft_domain *domain)
{
    const struct node *node = domain->policy_name;
    struct span name = policy_name(domain);
    diag_add(draft->diag, DIAG_ERROR, node == NULL ? domain->at : node->at,
             "domain \"%s\" uses the policy \"%s\", which is not defined", domain->name,
             diag_word(name).text);
    if (!diag_is_kept(draft->diag) || !wants_suggestion(draft, domain, name))
        return;
    for (size_t i = 0; i < draft->policy_count; i++)
        if (span_equal(draft->policies[i].key->text, name)) {
            diag_hint(draft->diag, "define it in this file or in the main file");
            diag_related(draft->diag, draft->policies[i].key->at,
                         "this one is visible in its own file alone");
            return;
        }
    const char *nearest = nearest_name(draft, domain, name);
    if (nearest != NULL)
        diag_hint(draft->diag, "did you mean \"%s\"?", nearest);
    else if (node == NULL)
        diag_hint(draft->diag,
                  "define it under \"policies:\", or name another policy for the domain");
    else
        diag_hint(draft->diag, "define it under \"policies:\"");
}

static struct policy_nodes merge(const struct policy_nodes *base,
                                 const struct policy_nodes *changes)
{
    return (struct policy_nodes){
        .mode = changes->mode != NULL ? changes->mode : base->mode,
        .max_age = changes->max_age != NULL ? changes->max_age : base->max_age,
        .mx = changes->mx != NULL ? changes->mx : base->mx,
        .id = changes->id != NULL ? changes->id : base->id,
    };
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

/* A policy that this domain alone has, in place of the one that was asked for before. */
static const struct policy *judge_own(struct draft *draft, const struct policy_nodes *nodes,
                                      const struct draft_domain *domain, bool unreadable)
{
    policy_free(draft->last);
    draft->last = judge(draft, nodes, domain->at, domain->scope, unreadable || domain->refused);
    return draft->last;
}

static const struct policy *policy_of(struct draft *draft, const struct draft_domain *domain)
{
    if (domain->changed && domain->policy_name == NULL)
        return judge_own(draft, &domain->changes, domain, !is_whole(draft, domain));
    if (domain->policy == TABLE_NONE) {
        if (!domain->refused)
            report_no_policy(draft, domain);
        return NULL;
    }
    struct named_policy *named = &draft->policies[domain->policy];
    named->used = true;
    if (domain->changed) {
        struct policy_nodes merged = merge(&named->nodes, &domain->changes);
        return judge_own(draft, &merged, domain, named->unreadable || named->ambiguous);
    }
    judge_named(draft, named);
    return named->policy;
}

const struct policy *draft_policy(struct draft *draft, struct draft_domain *domain)
{
    const struct policy *policy = policy_of(draft, domain);
    if (domain->refused)
        policy = NULL;
    domain->refused = policy == NULL;
    return policy;
}

const char *draft_label(struct draft *draft, const struct draft_domain *domain)
{
    char label[RECORD_LABEL_SIZE];
    if (domain->changed)
        return domain->name;
    if (domain->policy == TABLE_NONE)
        return NULL;
    const struct named_policy *named = &draft->policies[domain->policy];
    record_label(named->key->text, draft->scopes[named->scope].name, label);
    return arena_copy(draft->arena, span_of(label));
}

void draft_judge_unused(struct draft *draft)
{
    for (size_t i = 0; i < draft->policy_count; i++)
        if (!draft->policies[i].used)
            judge_named(draft, &draft->policies[i]);
}
