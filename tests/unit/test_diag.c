/* Diagnostics: order, form, counts, and what an attacker might write into one. */
#include "base/diag.h"

#include <stdio.h>

#include "unit.h"

static struct position at(struct diag *diag, const char *file, uint32_t line, uint32_t column)
{
    return (struct position){diag_intern(diag, span_of(file)), line, column};
}

static void prints_in_order_of_places(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    (void)diag_intern(diag, span_of("main.yaml"));
    diag_add(diag, DIAG_ERROR, at(diag, "drop-in.yaml", 1, 1), "third");
    diag_add(diag, DIAG_WARNING, at(diag, "main.yaml", 9, 2), "second");
    diag_reason(diag, "because of %d", 1);
    diag_hint(diag, "write %s", "this");
    diag_add(diag, DIAG_FATAL, at(diag, "main.yaml", 2, 7), "first");
    diag_related(diag, at(diag, "main.yaml", 1, 7), "look here");
    diag_add(diag, DIAG_NOTE, at(diag, "main.yaml", 10, 1), "not shown");
    diag_add(diag, DIAG_ERROR, (struct position){0}, "nowhere");
    diag_print(diag, DIAG_WARNING, &text);
    assert_string_equal(text.data, "main.yaml:2:7: error: first\n"
                                   "main.yaml:1:7: note: look here\n"
                                   "main.yaml:9:2: warning: second\n"
                                   "    why: because of 1\n"
                                   "    fix: write this\n"
                                   "drop-in.yaml:1:1: error: third\n"
                                   "error: nowhere\n");
    assert_int_equal(diag_count(diag, DIAG_FATAL), 1);
    assert_int_equal(diag_count(diag, DIAG_ERROR), 2);
    assert_int_equal(diag_count(diag, DIAG_WARNING), 1);
    assert_int_equal(diag_count(diag, DIAG_NOTE), 1);
    text_free(&text);
    diag_free(diag);
}

static void says_the_same_once(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    for (int i = 0; i < 100; i++) {
        diag_add(diag, DIAG_ERROR, at(diag, "a", 1, 1), "same");
        diag_reason(diag, "reason");
    }
    diag_add(diag, DIAG_ERROR, at(diag, "a", 1, 2), "same");
    assert_int_equal(diag_count(diag, DIAG_ERROR), 2);
    diag_print(diag, DIAG_NOTE, &text);
    assert_string_equal(text.data, "a:1:1: error: same\n    why: reason\na:1:2: error: same\n");
    text_free(&text);
    diag_free(diag);
}

static void no_line_can_be_forged(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    diag_add(diag, DIAG_ERROR, at(diag, "a\nb", 1, 1), "bad \"%s\"",
             "x\n/etc/passwd:1:1: error\x1b[2J");
    diag_add(diag, DIAG_ERROR, at(diag, "b\xc2\x85", 1, 1),
             /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what is tested */
             "b\xc3\xbc\xc2\x9b"
             "2J\xe2\x80\xae\xe2\x82\xac \x9b");
    diag_print(diag, DIAG_NOTE, &text);
    assert_string_equal(text.data, "a?b:1:1: error: bad \"x?/etc/passwd:1:1: error?[2J\"\n"
                                   "b?:1:1: error: b\xc3\xbc?2J?\xe2\x82\xac ?\n");
    text_free(&text);
    diag_free(diag);
}

static void prints_json(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    diag_add(diag, DIAG_ERROR, at(diag, "a", 3, 4), "quote \" here");
    diag_hint(diag, "write it");
    diag_related(diag, at(diag, "a", 1, 2), "first");
    diag_add(diag, DIAG_FATAL, (struct position){0}, "out of memory");
    diag_print_json(diag, NULL, DIAG_NOTE, &text);
    assert_string_equal(
        text.data,
        "[\n{\"file\":\"a\",\"line\":3,\"column\":4,\"level\":\"error\",\"scope\":\"domain\","
        "\"message\":\"quote \\\" here\",\"reason\":null,\"hint\":\"write it\","
        "\"related\":[{\"file\":\"a\",\"line\":1,\"column\":2,\"message\":\"first\"}]},"
        "\n{\"file\":null,\"line\":null,\"column\":null,\"level\":\"error\",\"scope\":\"file\","
        "\"message\":\"out of memory\",\"reason\":null,\"hint\":null,\"related\":[]}]");
    text_free(&text);
    diag_free(diag);
}

static void keeps_only_some_of_a_file(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    diag_limit(diag, diag_intern(diag, span_of("a")), 2);
    for (uint32_t i = 1; i <= 5; i++) {
        diag_add(diag, DIAG_WARNING, at(diag, "a", 9, i), "advice %u", i);
        assert_int_equal(diag_is_kept(diag), i <= 2);
        diag_add(diag, DIAG_ERROR, at(diag, "b", i, 1), "b");
        diag_add(diag, DIAG_ERROR, at(diag, "a", i == 2 ? 1 : i, 1), "a");
        diag_hint(diag, "hint");
    }
    diag_print(diag, DIAG_NOTE, &text);
    assert_string_equal(text.data, "a: warning: the file has more warnings, which are left out\n"
                                   "a: error: the file has more errors, which are left out\n"
                                   "a:1:1: error: a\n    fix: hint\n"
                                   "a:3:1: error: a\n    fix: hint\n"
                                   "a:9:1: warning: advice 1\na:9:2: warning: advice 2\n"
                                   "b:1:1: error: b\nb:2:1: error: b\nb:3:1: error: b\n"
                                   "b:4:1: error: b\nb:5:1: error: b\n");
    assert_int_equal(diag_count(diag, DIAG_ERROR), 5 + 2 + 1);
    assert_int_equal(diag_count(diag, DIAG_WARNING), 2 + 1);
    text_free(&text);
    diag_free(diag);
}

static void add_lost(struct diag *diag, const char *file, uint32_t line, const char *host)
{
    diag_add(diag, DIAG_WARNING, at(diag, file, line, 1), "nothing covers %s", host);
    diag_reason(diag, "why");
    diag_subject(diag, "%s", host);
}

static void puts_one_cause_together(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    char host[16];
    for (uint32_t i = 1; i <= 3; i++) {
        (void)snprintf(host, sizeof(host), "a%u", i);
        add_lost(diag, "a", i, host);
    }
    diag_print(diag, DIAG_NOTE, &text);
    assert_string_equal(text.data, "a:1:1: warning: nothing covers a1\n    why: why\n"
                                   "a:2:1: warning: nothing covers a2\n    why: why\n"
                                   "a:3:1: warning: nothing covers a3\n    why: why\n");
    text_free(&text);
    for (uint32_t i = 4; i <= 20; i++) {
        (void)snprintf(host, sizeof(host), "a%u", i);
        add_lost(diag, "a", i, host);
    }
    add_lost(diag, "b", 1, "b1");
    diag_add(diag, DIAG_WARNING, at(diag, "b", 2, 1), "nothing covers %s", "c");
    diag_print(diag, DIAG_NOTE, &text);
    /* A file does not hide another. */
    assert_string_equal(text.data, "a:1:1: warning: nothing covers a1; the same holds for 20 more: "
                                   "b1, a2, a3, a4, a5, a6, a7, a8, a9, a10 and 10 others\n"
                                   "    why: why\nb:2:1: warning: nothing covers c\n");
    text_free(&text);
    diag_print_json(diag, NULL, DIAG_NOTE, &text);
    assert_non_null(strstr(text.data, "\"nothing covers a20\""));
    text_free(&text);
    diag_free(diag);
}

static bool is_of_line_two(void *context, const struct diag_entry *entry)
{
    (void)context;
    return entry->at.line == 2;
}

static void shows_what_is_wanted(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text text = {0};
    diag_add(diag, DIAG_WARNING, at(diag, "a", 1, 1), "one");
    diag_add(diag, DIAG_FATAL, at(diag, "a", 2, 1), "two");
    diag_choose(diag, is_of_line_two, NULL);
    diag_print(diag, DIAG_NOTE, &text);
    assert_string_equal(text.data, "a:2:1: error: two\n");
    text_free(&text);
    diag_free(diag);
}

static void shortens_foreign_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word, *key;
    } examples[] = {
        {"", "", ""},
        {"mail.example.com", "mail.example.com", "mail.example.com"},
        {"*.a_b-c.\xc3\xbc", "*.a_b-c.\xc3\xbc", "*.a_b-c.\xc3\xbc"},
        {"<<", "<<", "<<"},
        {"a, b", "a, b", "a..."},
        {"root:$6$salt$hash:19000:0", "root:$6$salt$hash:19000:0", "root..."},
        {"a_long_word_before_it = secret", "a_long_word_before_it = secret", "a_long_word_befo..."},
        {": secret", ": secret", "..."},
        {"root:$y$j9T$0123456789abcdefghijkl$0123456789012345678901234567890123456789012:1:",
         "root:$y$j9T$0123456789abcdefghijkl$01234567890123456789012345678...", "root..."},
    };
    for (size_t i = 0; i < COUNT(examples); i++) {
        assert_string_equal(diag_word(span_of(examples[i].text)).text, examples[i].word);
        assert_string_equal(diag_key(span_of(examples[i].text)).text, examples[i].key);
    }
    char name[1000];
    memset(name, 'a', sizeof(name));
    memcpy(name + 255, "\xc3\xbc", 2);
    struct diag_word word = diag_word((struct span){name, sizeof(name)});
    assert_int_equal(strlen(word.text), 255 + 3); /* no half of a character */
    assert_int_equal(strlen(diag_key((struct span){name, sizeof(name)}).text), 64 + 3);
}

static void interns_many_names(void **state)
{
    (void)state;
    struct diag *diag = diag_new();
    struct text name = {0};
    const char *first = diag_intern(diag, span_of("file 0"));
    for (int i = 0; i < 3000; i++) {
        name.len = 0;
        text_printf(&name, "file %d", i);
        const char *interned = diag_intern(diag, (struct span){name.data, name.len});
        assert_string_equal(interned, name.data);
    }
    assert_ptr_equal(diag_intern(diag, span_of("file 0")), first);
    text_free(&name);
    diag_free(diag);
    diag_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_in_order_of_places), cmocka_unit_test(says_the_same_once),
        cmocka_unit_test(no_line_can_be_forged),     cmocka_unit_test(prints_json),
        cmocka_unit_test(interns_many_names),        cmocka_unit_test(keeps_only_some_of_a_file),
        cmocka_unit_test(puts_one_cause_together),   cmocka_unit_test(shows_what_is_wanted),
        cmocka_unit_test(shortens_foreign_words),
    };
    return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
