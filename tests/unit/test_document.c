/* YAML with positions, and its dangers. */
#include "configuration/document.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/text.h"
#include "unit.h"

struct parsed {
    struct arena *arena;
    struct diag *diag;
    const struct node *root;
};

static struct parsed parse(struct span bytes)
{
    struct parsed parsed = {.arena = arena_new(), .diag = diag_new()};
    struct span guarded = guard_copy(bytes);
    parsed.root = document_parse(parsed.arena, guarded, diag_intern(parsed.diag, span_of("f")),
                                 DIAG_FATAL, parsed.diag, NULL, NULL);
    guard_free(guarded);
    assert_int_equal(parsed.root == NULL, diag_count(parsed.diag, DIAG_FATAL) == 1);
    return parsed;
}

static void drop(struct parsed *parsed)
{
    arena_free(parsed->arena);
    diag_free(parsed->diag);
}

static void builds_a_tree(void **state)
{
    (void)state;
    struct parsed parsed = parse(span_of("a: 1\n"
                                         "b: [x, 'y', ~]\n"
                                         "\xc3\xa9: {c: d}\n"));
    const struct node *root = parsed.root;
    assert_non_null(root);
    assert_int_equal(root->kind, NODE_MAPPING);
    assert_int_equal(root->count, 3);
    const struct node *list = root->pairs[1].value;
    assert_int_equal(list->kind, NODE_SEQUENCE);
    assert_int_equal(list->count, 3);
    assert_true(span_equal(list->items[1]->text, span_of("y")));
    assert_false(list->items[1]->null);
    assert_true(list->items[2]->null);
    assert_int_equal(list->items[1]->at.line, 2);
    assert_int_equal(list->items[1]->at.column, 8);
    /* Columns count characters, not bytes. */
    assert_int_equal(root->pairs[2].value->at.line, 3);
    assert_int_equal(root->pairs[2].value->at.column, 4);
    drop(&parsed);
}

/* YAML 1.2 section 5.2: the mark is no part of the text, so columns do not count it. */
static void skips_a_byte_order_mark(void **state)
{
    (void)state;
    static const char *const good[] = {
        "\xef\xbb\xbf\x61: 1\nb: 2\n", "\xef\xbb\xbf---\na: 1\nb: 2\n",
        "\xef\xbb\xbf# text\n---\na: 1\nb: 2\n...\n", "\xef\xbb\xbf%YAML 1.1\n---\na: 1\nb: 2\n"};
    for (size_t i = 0; i < COUNT(good); i++) {
        struct parsed parsed = parse(span_of(good[i]));
        assert_non_null(parsed.root);
        assert_int_equal(parsed.root->count, 2);
        assert_int_equal(parsed.root->pairs[0].key->at.column, 1);
        drop(&parsed);
    }
    struct parsed only = parse(span_of("\xef\xbb\xbf"));
    assert_true(only.root->null);
    drop(&only);
    struct parsed bad = parse(span_of("\xef\xbb\xbf"
                                      "a: @\n"));
    struct text text = {0};
    diag_print(bad.diag, DIAG_NOTE, &text);
    assert_memory_equal(text.data, "f:1:4: error: ", 14);
    text_free(&text);
    drop(&bad);
}

static void names_another_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *encoding;
    } examples[] = {
        {"\xff\xfe"
         "a\0:\0",
         6, "UTF-16"},
        {"\xfe\xff\0a\0:", 6, "UTF-16"},
        {"a\0:\0", 4, "UTF-16"},
        {"\0a\0:", 4, "UTF-16"},
        {"\xff\xfe\0\0a\0\0\0", 8, "UTF-32"},
        {"\0\0\xfe\xff\0\0\0a", 8, "UTF-32"},
    };
    for (size_t i = 0; i < COUNT(examples); i++) {
        struct text text = {0}, wanted = {0};
        struct parsed parsed = parse((struct span){examples[i].bytes, examples[i].len});
        assert_null(parsed.root);
        diag_print(parsed.diag, DIAG_NOTE, &text);
        text_printf(&wanted,
                    "f:1:1: error: the file is %s, not UTF-8\n"
                    "    fix: save it as UTF-8, or convert it: iconv -f %s -t UTF-8\n",
                    examples[i].encoding, examples[i].encoding);
        assert_string_equal(text.data, wanted.data);
        text_free(&text);
        text_free(&wanted);
        drop(&parsed);
    }
}

static void count_progress(void *context, enum progress what)
{
    assert_int_equal(what, PROGRESS_GOES_ON);
    size_t *count = context;
    (*count)++;
}

/* What an included file may cost. */
static void keeps_to_a_budget(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t nodes, aliases; /* the least that it fits */
    } examples[] = {
        {"a", 1, 0},
        {"[a, b, {c: d}]", 6, 0},
        {"a: &a [x, y]\nb: *a\n", 1 + 4 + 1 + 3, 1},
        {"- &a [x, y]\n- &b [*a, *a]\n- [*b, *b]\n", 1 + 3 + 7 + 15, 4},
        {"- &a x\n- &a [y, z]\n- *a\n", 1 + 1 + 3 + 3, 1}, /* the last anchor of a name counts */
    };
    for (size_t i = 0; i < COUNT(examples); i++)
        for (size_t lack = 0; lack < 3; lack++) {
            struct parsed parsed = {.arena = arena_new(), .diag = diag_new()};
            struct document_budget budget = {.nodes = examples[i].nodes - (lack == 1 ? 1 : 0),
                                             .aliases = examples[i].aliases,
                                             .cpu_ms = INT64_MAX};
            if (lack == 2 && budget.aliases-- == 0)
                budget.aliases = 0;
            bool fits = lack == 0 || (lack == 2 && examples[i].aliases == 0);
            parsed.root = document_parse(parsed.arena, span_of(examples[i].text), "f", DIAG_ERROR,
                                         parsed.diag, &budget, NULL);
            assert_int_equal(parsed.root != NULL, fits);
            assert_int_equal(diag_count(parsed.diag, DIAG_ERROR), fits ? 0 : 1);
            drop(&parsed);
        }
}

static void looks_at_the_clock(void **state)
{
    (void)state;
    struct text text = {0};
    size_t count = 0;
    const struct progress_callback progress = {count_progress, &count};
    for (int i = 0; i < 2 * LIMIT_YAML_EVENTS; i++)
        text_append(&text, span_of("- a\n"));
    for (int late = 0; late < 2; late++) {
        struct parsed parsed = {.arena = arena_new(), .diag = diag_new()};
        const struct document_budget budget = {
            .nodes = SIZE_MAX, .aliases = 0, .cpu_ms = late ? -1 : INT64_MAX};
        parsed.root = document_parse(parsed.arena, (struct span){text.data, text.len}, "f",
                                     DIAG_ERROR, parsed.diag, &budget, &progress);
        assert_int_equal(parsed.root == NULL, late);
        drop(&parsed);
    }
    assert_int_equal(count, 2 + 1);
    text_free(&text);
}

/* libyaml compares each directive with all before it. */
static void refuses_many_directives(void **state)
{
    (void)state;
    static const char *const breaks[] = {"\n",       "\r",           "\r\n",
                                         "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < COUNT(breaks); i++) {
        struct text text = {0};
        for (int k = 0; k <= LIMIT_YAML_DIRECTIVES; k++)
            text_printf(&text, "%%TAG !a%d! x%s", k, breaks[i]);
        text_append(&text, span_of("---\na: b\n"));
        struct parsed parsed = parse((struct span){text.data, text.len});
        assert_null(parsed.root);
        text_free(&text);
        diag_print(parsed.diag, DIAG_NOTE, &text);
        assert_non_null(strstr(text.data, "too many lines that begin with \"%\""));
        text_free(&text);
        drop(&parsed);
    }
    struct parsed inside = parse(span_of("a: 1% %%%%%%%%%%%%%%%%%%%% b\n"));
    assert_non_null(inside.root);
    drop(&inside);
}

static void nothing_is_a_null(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# only a comment\n", "---\n", "~\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct parsed parsed = parse(span_of(texts[i]));
        assert_non_null(parsed.root);
        assert_true(parsed.root->null);
        drop(&parsed);
    }
}

static void marks_duplicates(void **state)
{
    (void)state;
    struct parsed parsed = parse(span_of("a: 1\nb: 2\na: 3\n'a': 4\n"));
    const struct node_pair *pairs = parsed.root->pairs;
    assert_null(pairs[0].first);
    assert_null(pairs[1].first);
    assert_ptr_equal(pairs[2].first, pairs[0].key);
    assert_ptr_equal(pairs[3].first, pairs[0].key);
    drop(&parsed);
}

static void shares_aliases(void **state)
{
    (void)state;
    struct parsed parsed = parse(span_of("a: &x {k: v}\nb: *x\nc: &x 2\nd: *x\n"));
    assert_ptr_equal(parsed.root->pairs[1].value, parsed.root->pairs[0].value);
    assert_ptr_equal(parsed.root->pairs[3].value, parsed.root->pairs[2].value);
    drop(&parsed);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len; /* 0: up to the NUL */
        const char *told;
    } rows[] = {
        {"a: *x\n", 0, "f:1:4: error: an alias to an anchor that is not defined before it\n"},
        {"a: &x [*x]\n", 0, "f:1:8: error: an alias inside the value of its own anchor\n"},
        {"a: 1\n---\nb: 2\n", 0, "f:2:1: error: a second YAML document\n"},
        {"a: \"x\\0y\"\n", 0, "f:1:4: error: a NUL byte in a value\n"},
        {"? [a]\n: b\n", 0, "f:1:3: error: a key must be plain text, not a list or a mapping\n"},
        {"a: !x b\n", 0, "f:1:4: error: an unknown tag\n"},
        {"[[[[[[[[[[[[[[[[[", 0, "f:1:17: error: nested too deeply\n"},
        {"a: b\nc: \xff\n", 0, "f:2:4: error: not valid YAML: invalid leading UTF-8 octet\n"},
        {"a: x\0y\n", 7, "f:1:5: error: not valid YAML: control characters are not allowed\n"},
        {"a: [b\n", 0, "f:2:1: error: not valid YAML: did not find expected ',' or ']'\n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text text = {0};
        size_t len = rows[i].len == 0 ? strlen(rows[i].text) : rows[i].len;
        struct parsed parsed = parse((struct span){rows[i].text, len});
        assert_null(parsed.root);
        diag_print(parsed.diag, DIAG_NOTE, &text);
        text.data[strcspn(text.data, "\n") + 1] = '\0';
        assert_string_equal(text.data, rows[i].told);
        text_free(&text);
        drop(&parsed);
    }
}

/* Nine levels of nine aliases each would be 387 million nodes if they were copied. */
static void a_bomb_does_no_harm(void **state)
{
    (void)state;
    struct text text = {0};
    text_append(&text, span_of("a0: &a0 [x,x,x,x,x,x,x,x,x]\n"));
    for (int i = 1; i < 9; i++) {
        text_printf(&text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            text_printf(&text, "%s*a%d", k == 0 ? "" : ",", i - 1);
        text_append(&text, span_of("]\n"));
    }
    struct parsed parsed = parse((struct span){text.data, text.len});
    assert_non_null(parsed.root);
    assert_int_equal(parsed.root->count, 9);
    drop(&parsed);
    text_free(&text);
}

static void limits_hold(void **state)
{
    (void)state;
    struct text text = {0};
    text_append(&text, span_of("a: &x 1\nb: ["));
    for (int i = 0; i <= LIMIT_YAML_ALIASES; i++)
        text_append(&text, span_of("*x,"));
    text_append(&text, span_of("]\n"));
    struct parsed parsed = parse((struct span){text.data, text.len});
    assert_null(parsed.root);
    drop(&parsed);
    text_free(&text);

    text_append(&text, span_of("a: "));
    for (int i = 0; i <= LIMIT_YAML_SCALAR; i++)
        text_append(&text, span_of("x"));
    parsed = parse((struct span){text.data, text.len});
    assert_null(parsed.root);
    drop(&parsed);
    text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(skips_a_byte_order_mark), cmocka_unit_test(names_another_encoding),
        cmocka_unit_test(keeps_to_a_budget),       cmocka_unit_test(looks_at_the_clock),
        cmocka_unit_test(refuses_many_directives), cmocka_unit_test(builds_a_tree),
        cmocka_unit_test(nothing_is_a_null),       cmocka_unit_test(marks_duplicates),
        cmocka_unit_test(shares_aliases),          cmocka_unit_test(refuses),
        cmocka_unit_test(a_bomb_does_no_harm),     cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
