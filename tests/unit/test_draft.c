/* The draft: which of several definitions counts, what a file may cost, and where each fault is reported. */
#include "configuration/draft.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"
#include "configuration/document.h"
#include "site/site_builder.h"
#include "unit.h"

struct fixture {
    struct arena *arena;
    struct diag *diag;
    struct draft draft;
};

static struct fixture begin(void)
{
    struct fixture fixture = {.arena = arena_new(), .diag = diag_new()};
    fixture.draft = (struct draft){.arena = fixture.arena, .diag = fixture.diag};
    return fixture;
}

static void end(struct fixture *fixture)
{
    draft_free(&fixture->draft);
    arena_free(fixture->arena);
    diag_free(fixture->diag);
}

/* Adds what a file holds; the first one is the main file. False when it has a key that is no domain. */
static bool add_part(struct fixture *fixture, const char *file, const char *yaml, bool is_whole)
{
    struct root_nodes nodes = {0};
    const char *name = diag_intern(fixture->diag, span_of(file));
    const struct node *root =
        document_parse(fixture->arena, span_of(yaml), name, DIAG_ERROR, fixture->diag, NULL, NULL);
    assert_non_null(root);
    assert_true(schema_read(&schema_dropin, root, &nodes, DIAG_ERROR, fixture->diag));
    if (strcmp(file, "main") != 0 && fixture->draft.scope_count == 0)
        assert_true(draft_add_file(&fixture->draft, NULL, NULL, NULL, true)); /* an empty one */
    return draft_add_file(&fixture->draft, strcmp(file, "main") == 0 ? NULL : name, nodes.policies,
                          nodes.domains, is_whole);
}

static bool add(struct fixture *fixture, const char *file, const char *yaml)
{
    return add_part(fixture, file, yaml, true);
}

static struct draft_domain *domain_at(struct fixture *fixture, size_t index)
{
    return &fixture->draft.domains[index];
}

/* The domain that counts. */
static struct draft_domain *find(struct fixture *fixture, const char *name)
{
    struct draft_domain *found = NULL;
    for (size_t i = 0; i < fixture->draft.domain_count; i++) {
        struct draft_domain *domain = domain_at(fixture, i);
        if (domain->dropped || strcmp(domain->name, name) != 0)
            continue;
        assert_null(found);
        found = domain;
    }
    assert_true(draft_has(&fixture->draft, span_of(name)));
    if (found == NULL)
        abort(); /* it is a domain that a test knows */
    return found;
}

static const struct policy *policy_of(struct fixture *fixture, const char *name)
{
    return draft_policy(&fixture->draft, find(fixture, name));
}

static void expect(struct fixture *fixture, const char *lines)
{
    struct text text = {0};
    diag_print(fixture->diag, DIAG_NOTE, &text);
    assert_string_equal(text.len == 0 ? "" : text.data, lines);
    text_free(&text);
}

#define POLICY(name, host) name ": {mode: testing, max_age: 2w, mx: " host "}\n"

static void policies_are_seen_where_they_must_be(void **state)
{
    (void)state;
    struct fixture fixture = begin();
    assert_true(add(&fixture, "main",
                    "policies:\n  " POLICY("default", "m.example") "domains:\n"
                                                                   "  a.example:\n"
                                                                   "  b.example: own\n"));
    assert_true(add(&fixture, "f",
                    "policies:\n  " POLICY("own", "f.example") "domains:\n"
                                                               "  c.example:\n"
                                                               "  d.example: own\n"));
    assert_true(add(&fixture, "g", "domains: {e.example: own, f.example: owm}"));
    assert_true(span_equal(policy_mx(policy_of(&fixture, "a.example"), 0), span_of("m.example")));
    assert_null(policy_of(&fixture, "b.example"));
    assert_ptr_equal(policy_of(&fixture, "c.example"),
                     draft_named_policy(&fixture.draft, span_of("default")));
    assert_true(span_equal(policy_mx(policy_of(&fixture, "d.example"), 0), span_of("f.example")));
    assert_null(policy_of(&fixture, "e.example"));
    assert_null(policy_of(&fixture, "f.example"));
    assert_null(draft_named_policy(&fixture.draft, span_of("own")));
    assert_true(find(&fixture, "e.example")->refused);
    static const char missing[] =
        "main:5:14: error: domain \"b.example\" uses the policy \"own\", which is not defined\n"
        "    fix: define it in this file or in the main file\n"
        "f:2:3: note: this one is visible in its own file alone\n"
        "g:1:22: error: domain \"e.example\" uses the policy \"own\", which is not defined\n"
        "    fix: define it in this file or in the main file\n"
        "f:2:3: note: this one is visible in its own file alone\n"
        "g:1:38: error: domain \"f.example\" uses the policy \"owm\", which is not defined\n"
        "    fix: define it under \"policies:\"\n";
    expect(&fixture, missing);
    end(&fixture);
}

static void equal_names_of_policies_are_of_no_use(void **state)
{
    (void)state;
    struct fixture fixture = begin();
    add(&fixture, "main", "policies:\n  " POLICY("default", "m.example") "domains: {a.example: }");
    add(&fixture, "f",
        "policies:\n  " POLICY("default", "f.example") "  " POLICY("x", "f.example") "  " POLICY(
            "x", "f.example") "domains: {b.example: , c.example: x}");
    add(&fixture, "g", "policies:\n  " POLICY("x", "g.example") "domains: {d.example: x}");
    assert_non_null(
        policy_of(&fixture, "a.example")); /* nobody can take the name from the main file */
    assert_null(policy_of(&fixture, "b.example"));
    assert_null(policy_of(&fixture, "c.example"));
    assert_non_null(policy_of(&fixture, "d.example")); /* each file has names of its own */
    expect(&fixture, "f:2:3: error: the main file has a policy \"default\", too\n"
                     "    why: it is not known which of them a domain of this file means\n"
                     "    fix: give this one another name, or delete it\n"
                     "main:2:3: note: it is here\n"
                     "f:4:3: error: policy \"x\" is defined twice\n"
                     "    why: it is not known which of them is meant, so neither is used\n"
                     "    fix: delete one of them\n"
                     "f:3:3: note: the first one is here\n");
    end(&fixture);
}

static void add_pair(struct fixture *fixture, const char *file, const char *extra)
{
    struct text yaml = {0};
    text_printf(&yaml, "domains:%s\n  a.example: {mode: testing, max_age: 2w, mx: %s.example}\n",
                extra, file[0] == '-' ? "stdin" : file);
    add(fixture, file, yaml.data);
    text_free(&yaml);
}

/* Which file has a.example when several files name it. */
static void the_first_file_keeps_a_domain(void **state)
{
    (void)state;
    static const struct {
        const char *files[3], *before; /* who has it now; NULL: nobody */
        const char *owner;
        size_t errors, notes;
    } rows[] = {
        {{"f", "g"}, NULL, "f", 1, 0},
        {{"f", "g", "h"}, NULL, "f", 2, 0},
        {{"main", "f"}, NULL, "main", 1, 0},
        {{"main", "f"}, "f", "main", 1, 0}, /* the main file is the operator's */
        {{"f", "g"}, "f", "f", 1, 0},
        {{"f", "g"}, "g", "g", 1, 0},
        {{"f", "g"}, "h", "f", 1, 0},
        {{"f", "g", "h"}, "h", "h", 2, 0},
        {{"f", "g", "h"}, "g", "g", 2, 0},
        {{"-", "f"}, NULL, "-", 0, 1}, /* it would take the place of that file */
        {{"-", "f"}, "f", "-", 0, 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture fixture = begin();
        struct site *site = NULL;
        if (rows[i].before != NULL) {
            struct site_builder *builder = site_builder_new(-1);
            site_builder_add(builder, &(struct site_fields){.name = span_of("a.example"),
                                                            .state = SITE_REFUSED,
                                                            .at = {.file = rows[i].before}});
            site = site_builder_finish(builder);
            fixture.draft.previous = site;
        }
        for (size_t k = 0; k < COUNT(rows[i].files) && rows[i].files[k] != NULL; k++)
            add_pair(&fixture, rows[i].files[k], "");
        const struct draft_domain *domain = find(&fixture, "a.example");
        assert_string_equal(domain->at.file, rows[i].owner);
        assert_int_equal(domain->at.line, 2);
        assert_int_equal(domain->at.column, 3);
        assert_non_null(policy_of(&fixture, "a.example"));
        assert_int_equal(diag_count(fixture.diag, DIAG_ERROR), rows[i].errors);
        assert_int_equal(diag_count(fixture.diag, DIAG_NOTE), rows[i].notes);
        end(&fixture);
        site_free(site);
    }
}

static void a_domain_is_once_in_a_file(void **state)
{
    (void)state;
    struct fixture fixture = begin();
    add_pair(&fixture, "f", "\n  A.Example: {mode: testing, max_age: 2w, mx: m.example}");
    assert_null(policy_of(&fixture, "a.example"));
    add_pair(&fixture, "g", "");
    assert_string_equal(find(&fixture, "a.example")->at.file, "f"); /* and no other file takes it */
    assert_null(policy_of(&fixture, "a.example"));
    expect(&fixture, "f:3:3: error: domain \"a.example\" is defined twice\n"
                     "    why: it is not known which of them is meant, so neither is used\n"
                     "    fix: delete one of them\n"
                     "f:2:3: note: the first one is here\n"
                     "g:2:3: error: domain \"a.example\" is defined twice\n"
                     "    why: the file that was read first keeps it\n"
                     "    fix: delete one of them\n"
                     "f:2:3: note: the first one is here\n");
    end(&fixture);
}

static void a_refused_file_is_one_file(void **state)
{
    (void)state;
    struct fixture fixture = begin();
    add(&fixture, "main", "policies:\n  " POLICY("default", "m.example") "domains: {a.example: }");
    add_part(&fixture, "f", "domains: {b.example: , c.example: }", false);
    add(&fixture, "g", "domains: {d.example: }");
    assert_non_null(policy_of(&fixture, "a.example"));
    assert_null(policy_of(&fixture, "b.example"));
    assert_null(policy_of(&fixture, "c.example"));
    assert_non_null(policy_of(&fixture, "d.example"));
    expect(&fixture, ""); /* whoever refused it said why */
    end(&fixture);
}

/* One fault of a value hides none of another key; a domain with one has no policy. */
static void faults_have_their_places(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *lines;
        bool named; /* every key is a domain */
    } rows[] = {
        {"domains: {a_b.example: }", "f:1:11: error: domain \"a_b.example\" ", false},
        {"domains: {mx: }",
         "f:1:11: error: domain \"mx\" has only one label\n"
         "    fix: indent it below the domain that it belongs to\n",
         false},
        {"domains: {a.example: []}",
         "f:1:22: error: domain \"a.example\" must be followed by a policy's name or a mapping, "
         "not a list\n",
         true},
        {"domains: {a.example: {certificate: none, tls_rpt: x, policy: d}}",
         "f:1:36: error: certificate \"none\" is neither own nor proxy\n"
         "    fix: write \"certificate: proxy\" when a proxy that ends TLS has the certificate of "
         "this domain\n"
         "f:1:51: error: tls_rpt \"x\" is neither a mailto: nor an https: address\n",
         true},
        {"domains: {a.example: {mode: testing}}",
         "f:1:11: error: domain \"a.example\" lacks max_age mx\n"
         "    why: without \"policy:\" a domain must write a whole policy\n",
         true},
        {"domains: {a.example: {x: y, policy: d}}",
         "f:1:23: error: unknown key \"x\" in a domain\n", true},
        {"policies: {mode: testing}",
         "f:1:12: error: policy \"mode\" must be a mapping with mode, max_age and mx\n"
         "    fix: indent it below the name of a policy, such as \"default:\"\n",
         true},
        {"policies: {d: {mode: testing, mx: a.example}}",
         "f:1:12: error: the policy has no max_age\n", true},
        {"policies: {d: {mode: testing, mx: [a.example, []]}}",
         "f:1:47: error: mx must be a single value, not a list\n", true},
        {"domains: {a.example: }",
         "f:1:11: error: domain \"a.example\" uses the policy \"default\", which is not defined\n"
         "    fix: define it under \"policies:\", or name another policy for the domain\n",
         true},
        {"domains: {a.example: d}\npolicies:\n  " POLICY("dd", "a.example"),
         "f:1:22: error: domain \"a.example\" uses the policy \"d\", which is not defined\n"
         "    fix: did you mean \"dd\"?\n",
         true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture fixture = begin();
        struct text text = {0};
        assert_int_equal(add(&fixture, "f", rows[i].yaml), rows[i].named);
        for (size_t k = 0; k < fixture.draft.domain_count; k++)
            assert_null(draft_policy(&fixture.draft, domain_at(&fixture, k)));
        draft_judge_unused(&fixture.draft);
        diag_print(fixture.diag, DIAG_NOTE, &text);
        assert_memory_equal(text.data, rows[i].lines, strlen(rows[i].lines));
        text_free(&text);
        end(&fixture);
    }
}

static void changes_go_over_the_named_policy(void **state)
{
    (void)state;
    struct fixture fixture = begin();
    add(&fixture, "main",
        "policies:\n"
        "  d: {mode: enforce, max_age: 3w, mx: m.example, id: '7'}\n"
        "domains:\n"
        "  a.example: {policy: d, mode: testing, id: '8'}\n"
        "  b.example: {policy: d, mx: [x.example, y.example]}\n"
        "  c.example: {policy: d, tls_rpt: 'mailto:a@b', certificate: proxy}\n");
    const struct policy *policy = policy_of(&fixture, "a.example");
    assert_int_equal(policy_mode(policy), POLICY_TESTING);
    assert_int_equal(policy_max_age(policy), 3 * 604800);
    assert_string_equal(policy_id(policy), "8");
    assert_int_equal(policy_mx_count(policy), 1);
    policy = policy_of(&fixture, "b.example");
    assert_int_equal(policy_mode(policy), POLICY_ENFORCE);
    assert_int_equal(policy_mx_count(policy), 2);
    const struct draft_domain *domain = find(&fixture, "c.example");
    assert_true(domain->is_proxied && !domain->changed);
    assert_string_equal(domain->tls_rpt, "mailto:a@b");
    assert_ptr_equal(policy_of(&fixture, "c.example"),
                     draft_named_policy(&fixture.draft, span_of("d")));
    expect(&fixture, "");
    end(&fixture);
}

static void labels_follow_policies(void **state)
{
    (void)state;
    struct fixture fixture = begin();
    add(&fixture, "main",
        "policies:\n  " POLICY("d", "m.example") "domains:\n"
                                                 "  a.example: d\n"
                                                 "  b.example: {policy: d, mode: none}\n"
                                                 "  c.example: none\n");
    add(&fixture, "f",
        "policies:\n  " POLICY("e", "m.example") "domains: {d.example: e, e.example: d}");
    struct draft *draft = &fixture.draft;
    assert_string_equal(draft_label(draft, find(&fixture, "a.example")), "d");
    assert_string_equal(draft_label(draft, find(&fixture, "b.example")), "b.example");
    assert_null(draft_label(draft, find(&fixture, "c.example")));
    assert_memory_equal(draft_label(draft, find(&fixture, "d.example")), "e.f_", 4);
    assert_string_equal(draft_label(draft, find(&fixture, "e.example")), "d");
    end(&fixture);
}

static void unused_policies_are_judged_once(void **state)
{
    (void)state;
    struct fixture fixture = begin();
    add(&fixture, "main",
        "policies:\n"
        "  d: {mode: testing, max_age: 1, mx: m.example}\n"
        "  e: {mode: testing, max_age: 1, mx: m.example}\n"
        "domains: {a.example: d, b.example: d}\n");
    assert_int_equal(fixture.draft.policy_count, 2);
    assert_int_equal(fixture.draft.policies[1].key->at.line, 3);
    assert_null(policy_of(&fixture, "a.example"));
    assert_null(policy_of(&fixture, "b.example"));
    assert_int_equal(diag_count(fixture.diag, DIAG_ERROR), 1);
    draft_judge_unused(&fixture.draft);
    draft_judge_unused(&fixture.draft);
    assert_int_equal(diag_count(fixture.diag, DIAG_ERROR), 2);
    end(&fixture);
}

/* Domains of which each has a policy of its own from a few bytes of YAML. */
static char *dear_file(size_t domains, char first)
{
    struct text yaml = {0};
    text_append(&yaml, span_of("policies:\n"));
    text_printf(&yaml, "  %c: {mode: testing, max_age: 2w, mx: &mx [", first);
    for (int i = 0; i < 500; i++)
        text_printf(&yaml, "mx%03d.example, ", i);
    text_append(&yaml, span_of("]}\ndomains:\n"));
    for (size_t i = 0; i < domains; i++)
        text_printf(&yaml, "  %c%zu.example: {policy: %c, mx: *mx}\n", first, i, first);
    assert_false(yaml.failed);
    return yaml.data;
}

static void a_file_spends_its_own_budget(void **state)
{
    (void)state;
    enum {
        SIZE = 500 * (sizeof("mx: mx000.example\r\n") - 1),
        FIT = LIMIT_INCLUDE_POLICIES / SIZE,
        MORE = 3,
    };
    struct fixture fixture = begin();
    char *main = dear_file(FIT + MORE, 'm'), *one = dear_file(FIT + MORE, 'f');
    add(&fixture, "main", main);
    add(&fixture, "f", one);
    add(&fixture, "g", "domains: {g.example: {mode: testing, max_age: 2w, mx: m.example}}");
    size_t served = 0, in_main = 0;
    for (size_t i = 0; i < fixture.draft.domain_count; i++) {
        struct draft_domain *domain = domain_at(&fixture, i);
        bool good = draft_policy(&fixture.draft, domain) != NULL;
        in_main += good && domain->scope == 0 ? 1 : 0;
        served += good && domain->scope == 1 ? 1 : 0;
    }
    assert_int_equal(in_main, FIT + MORE); /* the operator's own file may cost what it likes */
    assert_int_equal(served, FIT);
    assert_int_equal(diag_count(fixture.diag, DIAG_ERROR), MORE);
    assert_non_null(policy_of(&fixture, "g.example"));
    free(main);
    free(one);
    end(&fixture);
}

static void suggestions_end_where_they_must(void **state)
{
    (void)state;
    struct fixture fixture = begin();
    for (int file = 0; file < LIMIT_SUGGESTIONS / LIMIT_SUGGESTIONS_A_FILE + 2; file++) {
        struct text yaml = {0};
        char name[16];
        (void)snprintf(name, sizeof(name), "f%d", file);
        text_append(&yaml, span_of("policies:\n  " POLICY("plan", "m.example") "domains:\n"));
        for (int i = 0; i < LIMIT_SUGGESTIONS_A_FILE + 2; i++)
            text_printf(&yaml, "  d%d.f%d.example: plan%d\n  e%d.f%d.example: plan%d\n", i, file, i,
                        i, file, i);
        add(&fixture, name, yaml.data);
        text_free(&yaml);
    }
    struct text text = {0};
    for (size_t i = 0; i < fixture.draft.domain_count; i++)
        assert_null(draft_policy(&fixture.draft, domain_at(&fixture, i)));
    diag_print(fixture.diag, DIAG_NOTE, &text);
    size_t count = 0, in_first = 0;
    const char *second = strstr(text.data, "\nf1:");
    for (const char *at = text.data; (at = strstr(at, "did you mean \"plan\"?")) != NULL; at++) {
        count++;
        in_first += at < second ? 1 : 0;
    }
    assert_int_equal(in_first, LIMIT_SUGGESTIONS_A_FILE); /* each name once */
    assert_int_equal(count, LIMIT_SUGGESTIONS);
    text_free(&text);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_seen_where_they_must_be),
        cmocka_unit_test(equal_names_of_policies_are_of_no_use),
        cmocka_unit_test(the_first_file_keeps_a_domain),
        cmocka_unit_test(a_domain_is_once_in_a_file),
        cmocka_unit_test(a_refused_file_is_one_file),
        cmocka_unit_test(faults_have_their_places),
        cmocka_unit_test(changes_go_over_the_named_policy),
        cmocka_unit_test(labels_follow_policies),
        cmocka_unit_test(unused_policies_are_judged_once),
        cmocka_unit_test(a_file_spends_its_own_budget),
        cmocka_unit_test(suggestions_end_where_they_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
